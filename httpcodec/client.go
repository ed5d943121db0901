package httpcodec

import (
	"errors"
	"io"
	"time"

	"golang.org/x/sys/unix"

	"kroxy-ev/engine"
	"kroxy-ev/engine/opening"
)

// client is what an exchange knows of its client: an HTTP/1 connection or a stream of an HTTP/2 connection.
type client struct {
	server   *Server
	entry    *Entry    // of the client's listener
	settings *Settings // the entry's settings when the last request arrived, or when the client connected
	x        *exchange // nil if the client has no exchange
	conn     engine.Conn
	timer    engine.Timer
	peer     opening.Peer
	pieces   pieces
	served   bool // the client has had a response
}

// arm sets the client's timer to a time in ms on the loop's clock.
func (c *client) arm(at int64) {
	if at != engine.Never {
		c.server.loop.Arm(&c.timer, at)
	}
}

// downstream is the client side of an exchange, as far as HTTP/1 connections and HTTP/2 streams differ. The methods from keep on
// are called after the exchange has been recycled, as its last action.
type downstream interface {
	// protocol returns the HTTP version, for logs, of a request whose head has this minor version.
	protocol(minor uint8) string
	// isLast reports whether a response whose head is written now is the client's last.
	isLast() bool
	// keep waits for the client's next request after a response that was not its last. Nothing of that request has arrived.
	keep()
	// wait waits for the client's request. Nothing of it has arrived.
	wait()
	// end ends the connection or stream after its last response. Expected means that the client may send more.
	end(expected bool)
	// close ends a client to which no response is owed.
	close()
	// fail ends the client in a way that it cannot mistake for the end of a response. If the client is not to blame, it first gets
	// what was already sent to it, unless it acknowledges nothing for the given timeout.
	fail(why cause, timeout time.Duration)
}

// again reports whether err only means that the descriptor is not ready.
func again(err error) bool { return errors.Is(err, unix.EAGAIN) }

// ended reports whether err is the end of a stream.
func ended(err error) bool { return errors.Is(err, io.EOF) }
