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
	maxRecord = 16 << 10 // bytes of plaintext in a record (RFC 8446 section 5.1)
	// window is how much plaintext is encrypted before it is known whether the socket accepts the records. Including the
	// TLS overhead it fits into the largest buffer that a loop keeps.
	window = 3 * maxRecord
	// maxUnsent bounds the records of one connection that wait for the socket. More than a window can come from replies
	// that a peer makes crypto/tls write without reading them, and from the messages of a handshake.
	maxUnsent = 128 << 10

	// A peer cannot use any of a record before all of it has arrived, and the first bytes arrive in as many segments as the
	// kernel's congestion window allows: ten at the beginning (RFC 6928) and after a pause. So the first bytes go in records of one segment
	// each; after that, full records cost less.
	smallRecord = 1300     // bytes of plaintext: fits into a segment together with the overhead of TLS, IPv6 and a tunnel
	smallBytes  = 16 << 10 // bytes that are sent in small records
	smallAgain  = 1000     // ms without a write after which small records are used again
)

// ErrTruncated means that the peer closed the connection without close_notify (RFC 8446 section 6.1), so the stream may have been
// cut off by an attacker.
var ErrTruncated = errors.New("tls: the connection ended without close_notify")

// errUnsent is the error of a connection whose peer does not read.
var errUnsent = errors.New("tls: the peer does not read its replies")

// layer is TLS on one connection. It is the engine.Layer and, under its other name wire, the net.Conn below crypto/tls.
type layer struct {
	tls  *tls.Conn
	conn *engine.Conn // set during a call, and during the handshake
	hs   *Handshake   // nil when the handshake is over
	in   boundaries

	out   []byte // records that the socket has not accepted, in a buffer of the loop; nil if there are none
	sent  int    // how many bytes of out the socket has accepted
	begun int32  // bytes written since the last pause, up to smallBytes
	wrote int64  // when bytes were last written, in ms on the loop's clock
	// owed is how many bytes of the last call of Write are encrypted, and in out or partly sent, although Write did not count
	// them as accepted because the socket became full. The caller will pass them again.
	owed int

	rawEnd   bool // the socket's end of stream was reached
	unacked  bool // bytes have arrived since the last write, and none of them were for the reader
	corked   bool // records are collected in out, because more of them follow at once
	last     bool // the end of the stream follows what is written
	notified bool // close_notify was written
	closing  bool // a FIN must follow what is in out
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
		more = !isAgain(err) // an error would be returned by the next read as well
	}
	if !more {
		l.in.consumed()
	}
	c.HasMore(more)
	if n > 0 {
		l.unacked = false
		return n, nil
	}
	if isAgain(err) && l.in.atBoundary() {
		l.quickAck() // for the last message of a handshake, tickets and key updates
	}
	return 0, l.ending(err)
}

// quickAck acknowledges bytes to which no reply will be written. A peer may hold back its next bytes until then.
func (l *layer) quickAck() {
	if l.unacked {
		l.unacked = false
		l.conn.QuickAck()
	}
}

// ending returns ErrTruncated if the socket's stream has ended without close_notify; crypto/tls returns the same error for both ends.
func (l *layer) ending(err error) error {
	if l.rawEnd && (errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)) {
		return ErrTruncated
	}
	return err
}

// Write implements engine.Layer. If it returns EAGAIN, the first owed bytes of those it did not accept are already encrypted.
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
			if isAgain(err) {
				l.owed = len(piece)
			}
			return n, err
		}
		n += len(piece)
	}
	return n, nil
}

// encrypt makes records of p, which is not empty. Several records are collected in out.
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

// flush writes the waiting records to the socket; it returns unix.EAGAIN if the socket does not accept all.
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

// rawWrite writes b to the socket. Acknowledgements travel with it.
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

// keep appends b to the records that wait for the socket.
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

// CloseWrite implements engine.Layer: it sends close_notify and then a FIN.
func (l *layer) CloseWrite(c *engine.Conn) error {
	l.conn = c
	l.notify()
	if err := l.flush(); isAgain(err) {
		l.closing = true
		return nil
	} else if err != nil {
		return err
	}
	return c.RawCloseWrite()
}

// notify writes close_notify. A failure will show when the records are flushed or the socket is closed.
func (l *layer) notify() {
	if !l.notified {
		l.notified, l.last = true, true
		_ = l.tls.CloseWrite()
	}
}

// Writable implements engine.Layer. If bytes are owed, the caller of Write will write again.
func (l *layer) Writable(c *engine.Conn) {
	if l.owed > 0 || l.sent == len(l.out) {
		return
	}
	l.conn = c
	if l.flush() == nil && l.closing {
		l.closing = false
		_ = c.RawCloseWrite() // if it fails, the connection is gone, and reading it will tell
	}
}

// Unsent implements engine.Layer.
func (l *layer) Unsent() int { return len(l.out) - l.sent }

// Closing implements engine.Layer. It sends close_notify if the peer gets the whole stream.
func (l *layer) Closing(c *engine.Conn, reset bool) {
	l.conn = c
	if !reset && l.owed == 0 {
		l.notify()
		_ = l.flush()
	}
	l.free()
}

// wire is a layer as seen by crypto/tls: the connection that carries the records. It never blocks, except that Read during a
// handshake returns control to the loop while it waits.
type wire layer

// Read implements net.Conn. Outside of a handshake it returns unix.EAGAIN when the socket is empty. crypto/tls treats that
// as a temporary error, so the read can be repeated.
func (w *wire) Read(p []byte) (int, error) {
	for {
		if w.conn.RawReadable() {
			n, err := w.conn.RawRead(p)
			if errors.Is(err, io.EOF) {
				w.rawEnd = true
			}
			w.in.add(p[:n])
			w.unacked = w.unacked || n > 0
			if !isAgain(err) {
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

// Write implements net.Conn. It always accepts everything, because crypto/tls does not continue after a write error. During a handshake,
// writes are collected until the handshake waits.
func (w *wire) Write(b []byte) (int, error) {
	l, rest := (*layer)(w), b
	if l.hs == nil && !l.corked && l.sent == len(l.out) {
		n, err := l.rawWrite(b)
		if err != nil && !isAgain(err) {
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

// Close implements net.Conn. It is never called: the engine.Conn closes the socket.
func (w *wire) Close() error { return nil }

// LocalAddr implements net.Conn.
func (w *wire) LocalAddr() net.Addr { return noAddr{} }

// RemoteAddr implements net.Conn.
func (w *wire) RemoteAddr() net.Addr { return noAddr{} }

// SetDeadline implements net.Conn. It does nothing, because timers enforce the deadlines.
func (w *wire) SetDeadline(time.Time) error { return nil }

// SetReadDeadline implements net.Conn, like SetDeadline.
func (w *wire) SetReadDeadline(time.Time) error { return nil }

// SetWriteDeadline implements net.Conn, like SetDeadline.
func (w *wire) SetWriteDeadline(time.Time) error { return nil }

// noAddr is the address of a wire. crypto/tls uses it only if there is no server name.
type noAddr struct{}

// Network implements net.Addr.
func (noAddr) Network() string { return "tcp" }

// String implements net.Addr.
func (noAddr) String() string { return "" }

// isAgain reports whether err only means that the socket is not ready.
func isAgain(err error) bool { return errors.Is(err, unix.EAGAIN) }
