package tlsconn

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"time"

	"golang.org/x/sys/unix"

	"kroxy-ev/engine"
)

const (
	maxRecord = 16 << 10 // of plaintext in a record (RFC 8446 section 5.1)
	// window is how much plaintext is encrypted before it is known whether the socket takes the records: with what is
	// added to it, it fits into the largest buffer that a loop keeps.
	window = 3 * maxRecord
	// maxUnsent bounds the records of one connection that wait for the socket to take them. What is above a window are
	// answers that a peer makes crypto/tls write without reading them, and the flights of a handshake.
	maxUnsent = 128 << 10

	// A peer can use nothing of a record before all of it is there, and what is sent first comes in so many segments as the
	// kernel's congestion window has, ten in the beginning (RFC 6928) and after a pause. So the first bytes go in records of a segment
	// each; after them whole records cost less.
	smallRecord = 1300     // of plaintext: fits into a segment together with what TLS, IPv6, and a tunnel around that add
	smallBytes  = 16 << 10 // that go in such records
	smallAgain  = 1000     // ms without a byte written, after which they do again
)

// ErrTruncated means that the peer closed the connection without saying that its stream ends there (close_notify, RFC
// 8446 section 6.1): somebody may have cut it off.
var ErrTruncated = errors.New("tls: the connection ended without close_notify")

// errUnsent ends a connection whose peer does not read.
var errUnsent = errors.New("tls: the peer takes nothing of what it is answered")

// layer is TLS on one connection: the engine.Layer, and by its other name, wire, the net.Conn below crypto/tls.
type layer struct {
	tls  *tls.Conn
	conn *engine.Conn // during a call, and during the handshake
	hs   *Handshake   // nil when it is over
	in   boundaries

	out   []byte // the loop's buffer while records wait in it that the socket has not taken
	sent  int    // how much of it the socket took
	begun int32  // bytes written since the last pause, until there were smallBytes of them
	wrote int64  // when bytes were last written; ms on the loop's clock
	// owed is how many bytes of what Write was given last are in out, or were on their way through it when the socket
	// became full: Write has not said that they are taken, and will be given them again.
	owed int

	rawEnd   bool // the socket's end was reached
	unacked  bool // bytes came since something was last written, and nothing in them was for a reader
	corked   bool // records are gathered in out: more of them follow at once
	last     bool // what is written is followed by the end of the stream
	notified bool // close_notify was written
	closing  bool // a FIN is to follow what is in out
}

// Read implements engine.Layer.
func (l *layer) Read(c *engine.Conn, p []byte) (n int, err error) {
	l.conn = c
	more := true
	for more && n < len(p) && err == nil {
		var k int
		k, err = l.tls.Read(p[n:])
		n += k
		more = n == len(p) || !l.in.isOne()
	}
	if err != nil {
		more = !again(err) // an error is the answer to the next read as well
	}
	if !more {
		l.in.consumed()
	}
	c.HasMore(more)
	if n > 0 {
		l.unacked = false
		return n, nil
	}
	if again(err) && l.in.atBoundary() {
		l.quickAck() // for the last of a handshake, tickets, new keys
	}
	return 0, l.ending(err)
}

// quickAck acknowledges bytes that nothing will be written in answer to. A peer may hold back what it says next until then.
func (l *layer) quickAck() {
	if l.unacked {
		l.unacked = false
		l.conn.QuickAck()
	}
}

// ending tells the end of the socket's stream from the end of the stream in it, for which crypto/tls has one word.
func (l *layer) ending(err error) error {
	if l.rawEnd && (errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)) {
		return ErrTruncated
	}
	return err
}

// Write implements engine.Layer. When it answers EAGAIN, p[:owed] of what it did not take is encrypted already.
func (l *layer) Write(c *engine.Conn, p []byte, last bool) (n int, err error) {
	l.conn, l.last = c, last
	if l.owed > 0 {
		if err := l.flush(); err != nil {
			return 0, err
		}
		n, l.owed = l.owed, 0
	}
	for n < len(p) {
		piece := p[n:min(len(p), n+window)]
		if err := l.encrypt(piece); err != nil {
			return n, err
		}
		if err := l.flush(); err != nil {
			if again(err) {
				l.owed = len(piece)
			}
			return n, err
		}
		n += len(piece)
	}
	return n, nil
}

// encrypt makes records of p, which is not empty. If they are several they are left in out.
func (l *layer) encrypt(p []byte) error {
	now := l.conn.Loop().Now()
	if now-l.wrote >= smallAgain {
		l.begun = 0
	}
	l.wrote = now
	size := maxRecord
	if l.begun < smallBytes {
		size = smallRecord
	}
	for l.corked = len(p) > size; l.begun < smallBytes && len(p) > 0; {
		n, err := l.tls.Write(p[:min(len(p), smallRecord)])
		if err != nil {
			return err
		}
		l.begun += int32(n)
		p = p[n:]
	}
	if len(p) == 0 {
		return nil
	}
	_, err := l.tls.Write(p)
	return err
}

// flush has the socket take what waits for it; unix.EAGAIN if it does not take all.
func (l *layer) flush() error {
	l.corked = false
	if l.sent == len(l.out) {
		return nil
	}
	n, err := l.rawWrite(l.out[l.sent:])
	if l.sent += n; l.sent == len(l.out) {
		l.free()
	}
	return err
}

// rawWrite has the socket take b, with which acknowledgements travel.
func (l *layer) rawWrite(b []byte) (int, error) {
	l.unacked = false
	return l.conn.RawWrite(b, l.last)
}

func (l *layer) free() {
	if l.out != nil {
		l.conn.Loop().FreeBuffer(l.out)
		l.out, l.sent = nil, 0
	}
}

// keep adds b to what waits for the socket.
func (l *layer) keep(b []byte) error {
	need := len(l.out) - l.sent + len(b)
	if need > maxUnsent {
		return errUnsent
	}
	if cap(l.out) < len(l.out)+len(b) {
		loop := l.conn.Loop()
		bigger := loop.Buffer(max(need, min(4*cap(l.out), engine.ScratchSize)))
		n := copy(bigger, l.out[l.sent:])
		l.free()
		l.out = bigger[:n]
	}
	l.out = append(l.out, b...)
	return nil
}

// CloseWrite implements engine.Layer: close_notify, and a FIN behind it.
func (l *layer) CloseWrite(c *engine.Conn) error {
	l.conn = c
	l.notify()
	if err := l.flush(); again(err) {
		l.closing = true
		return nil
	} else if err != nil {
		return err
	}
	return c.RawCloseWrite()
}

// notify writes close_notify. A failure shows when the rest is flushed or the socket closed.
func (l *layer) notify() {
	if !l.notified {
		l.notified, l.last = true, true
		_ = l.tls.CloseWrite()
	}
}

// Writable implements engine.Layer. Who is owed an answer to Write writes again.
func (l *layer) Writable(c *engine.Conn) {
	if l.owed > 0 || l.sent == len(l.out) {
		return
	}
	l.conn = c
	if l.flush() == nil && l.closing {
		l.closing = false
		_ = c.RawCloseWrite() // if that fails the connection is gone, which reading it tells
	}
}

// Unsent implements engine.Layer.
func (l *layer) Unsent() int { return len(l.out) - l.sent }

// Closing implements engine.Layer. The peer is told that the stream ends here if it has got all of it.
func (l *layer) Closing(c *engine.Conn, reset bool) {
	l.conn = c
	if !reset && l.owed == 0 {
		l.notify()
		_ = l.flush()
	}
	l.free()
}

// wire is a layer as crypto/tls sees it: the connection that records go through. Neither of its ends ever blocks, except
// that a handshake's Read returns to the loop meanwhile.
type wire layer

// Read implements net.Conn. Without a handshake it answers unix.EAGAIN when the socket has nothing, which crypto/tls takes
// for a passing error (Temporary), so that the read can be repeated.
func (w *wire) Read(p []byte) (int, error) {
	for {
		if w.conn.RawReadable() {
			n, err := w.conn.RawRead(p)
			if errors.Is(err, io.EOF) {
				w.rawEnd = true
			}
			w.in.add(p[:n])
			w.unacked = w.unacked || n > 0
			if !again(err) {
				return n, err
			}
		}
		if w.hs == nil {
			return 0, unix.EAGAIN
		}
		if err := w.hs.awaitPeer(); err != nil {
			return 0, err
		}
	}
}

// Write implements net.Conn. It takes everything at once: crypto/tls does not go on after an error of this. Handshakes gather
// what they write until they wait.
func (w *wire) Write(b []byte) (int, error) {
	l, rest := (*layer)(w), b
	if l.hs == nil && !l.corked && l.sent == len(l.out) {
		n, err := l.rawWrite(b)
		if err != nil && !again(err) {
			return n, err
		}
		rest = b[n:]
	}
	if len(rest) > 0 {
		if err := l.keep(rest); err != nil {
			return 0, err
		}
	}
	return len(b), nil
}

// Close implements net.Conn. Nobody calls it: sockets are closed by their engine.Conn.
func (w *wire) Close() error { return nil }

// LocalAddr implements net.Conn.
func (w *wire) LocalAddr() net.Addr { return noAddr{} }

// RemoteAddr implements net.Conn.
func (w *wire) RemoteAddr() net.Addr { return noAddr{} }

// SetDeadline implements net.Conn. Deadlines are the business of timers.
func (w *wire) SetDeadline(time.Time) error { return nil }

// SetReadDeadline implements net.Conn, as SetDeadline.
func (w *wire) SetReadDeadline(time.Time) error { return nil }

// SetWriteDeadline implements net.Conn, as SetDeadline.
func (w *wire) SetWriteDeadline(time.Time) error { return nil }

// noAddr is the address of a wire. crypto/tls asks for it only where there is no server name.
type noAddr struct{}

// Network implements net.Addr.
func (noAddr) Network() string { return "tcp" }

// String implements net.Addr.
func (noAddr) String() string { return "" }

// again reports whether err only means that the descriptor is not ready.
func again(err error) bool { return errors.Is(err, unix.EAGAIN) }
