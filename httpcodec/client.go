package httpcodec

import (
	"errors"
	"io"
	"time"

	"golang.org/x/sys/unix"

	"kroxy-ev/engine"
	"kroxy-ev/engine/opening"
)

// client is what an exchange has of its client, be that a connection of HTTP/1 or a stream of HTTP/2.
type client struct {
	server   *Server
	entry    *Entry    // of the listener
	settings *Settings // the entry's, as they were when the last request was there, or the client came
	x        *exchange // nil if there is none
	conn     engine.Conn
	timer    engine.Timer
	peer     opening.Peer
	pieces   pieces
	served   bool // it has had a response
}

// arm has the client told when that time has come, in ms on the loop's clock.
func (c *client) arm(at int64) {
	if at != engine.Never {
		c.server.loop.Arm(&c.timer, at)
	}
}

// downstream is how an exchange goes on from its client, where a connection of HTTP/1 differs from a stream of HTTP/2. The
// methods from keep on are called once the exchange was given back, as the last that it does.
type downstream interface {
	// protocol is the version of HTTP, for logs, of a request whose head has this minor one.
	protocol(minor uint8) string
	// isLast reports whether a response whose head is written now is the client's last.
	isLast() bool
	// keep waits for the client's next request, behind a response that was not its last. Nothing of it is there.
	keep()
	// wait waits for the client's request, of which nothing has come.
	wait()
	// end ends the client behind its last response. Expected says that it may send more.
	end(expected bool)
	// close ends a client that is owed no answer.
	close()
	// fail ends the client in a way that cannot be taken for the end of a response. If it is not the client that is to blame, it gets what
	// was sent to it before, but that is not waited for when it takes nothing for so long.
	fail(why cause, patience time.Duration)
}

// again reports whether err only means that the descriptor is not ready.
func again(err error) bool { return errors.Is(err, unix.EAGAIN) }

// ended reports whether err is the end of a stream.
func ended(err error) bool { return errors.Is(err, io.EOF) }
