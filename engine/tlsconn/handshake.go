package tlsconn

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"time"

	"golang.org/x/sys/unix"

	"kroxy-ev/engine"
)

// Owner is told the outcome of a handshake.
type Owner interface {
	engine.Handler
	// Secured is called once, on the loop, unless the handshake is cancelled first; the owner is then the connection's handler
	// again. If err is nil, the connection speaks TLS, as described by s. Otherwise the handshake has failed, any alert was sent to the
	// peer, and the owner must close the connection.
	Secured(s State, err error)
}

// State is the result of a handshake, in text form: "TLS 1.3", "TLS_AES_128_GCM_SHA256", "www.example.com"; and the
// distinguished name in the client's certificate, if one was required: "CN=alice,O=Example". The owner may keep the slices.
type State struct {
	Version, Cipher string
	ServerName      []byte
	ClientSubject   []byte
	// Protocol is the result of ALPN, for example "h2". It is "" if one side offers none, and also if a client offers only "http/1.1" to a
	// server that offers only "h2", which crypto/tls allows. A resumed session negotiates it again (RFC 7301
	// section 3.1).
	Protocol string
	// Resumed says that the handshake resumed an earlier session.
	Resumed bool
}

// Errors with which a handshake ends. They may be wrapped; use errors.Is. All other errors come from crypto/tls.
var (
	// ErrHandshakeTimeout means that the handshake took too long.
	ErrHandshakeTimeout = errors.New("tls: the handshake took too long")
	// ErrPlainHTTP means that the client sent an HTTP request instead of a ClientHello.
	ErrPlainHTTP = errors.New("tls: a plain HTTP request came instead of a handshake")
	// ErrSilent means that the client left before its first byte, as port checks do.
	ErrSilent = errors.New("tls: the client left without sending a byte")
	// ErrHandshakeCut means that the peer ended the connection during the handshake, or that a client reset it. It is unknown whether an
	// attacker cut it off, but no data is lost.
	ErrHandshakeCut = errors.New("tls: the peer ended the connection during the handshake")
	// ErrEarlyBytes means that a host sent bytes before the handshake began.
	ErrEarlyBytes = errors.New("tls: the host sent bytes before the handshake")

	errCancelled = errors.New("tls: the handshake was cancelled")
)

// idleCoroutines is how many idle coroutines a loop keeps.
const idleCoroutines = 32

// Handshaker makes handshakes on one loop. Its methods may only be called on the loop's goroutine.
type Handshaker struct {
	loop  *engine.Loop
	hello HelloReader
	idle  []*coroutine
	free  engine.FreeList[Handshake]
}

// NewHandshaker makes a handshaker for loop.
func NewHandshaker(loop *engine.Loop) *Handshaker { return &Handshaker{loop: loop} }

// Close ends the idle coroutines. All handshakes must be over, and the loop must have stopped.
func (h *Handshaker) Close() {
	for _, k := range h.idle {
		k.stop()
	}
	h.idle = nil
}

// step says what a handshake waits for.
type step uint8

const (
	stepHello     step = iota // the rest of the ClientHello
	stepPeer                  // the peer's next records
	stepSignature             // a signature from Signers
	stepTurn                  // its turn: other connections are served first
)

func (s step) String() string { return [...]string{"hello", "peer", "signature", "turn"}[s] }

// Handshake is one connection's handshake. It exists only until the outcome is known.
type Handshake struct {
	set       *Handshaker
	conn      *engine.Conn
	owner     Owner
	config    *tls.Config // nil if only the hello is read
	client    bool
	prompt    bool // the owner will write at once
	layer     *layer
	coro      *coroutine // the coroutine that runs it, or nil
	timer     engine.Timer
	serial    uint64 // changes with each use of the struct, so that a late signature is recognized
	step      step
	turns     int8 // how many more turns other connections get
	gotBytes  bool // the client has sent something
	cancelled bool // it was cancelled, or has timed out
	err       error
}

// Accept begins a handshake with settings s on c, an open connection from a client of which nothing was read. The returned handshake
// is valid until Secured is called, which never happens before Accept returns, or until Cancel has returned.
func (h *Handshaker) Accept(c *engine.Conn, s *Server, owner Owner) *Handshake {
	hs := h.begin(c, s.config, owner)
	hs.await(s.timeout)
	return hs
}

// await begins to wait for a client's hello.
func (hs *Handshake) await(timeout time.Duration) {
	hs.client, hs.step = false, stepHello
	if loop := hs.set.loop; timeout > 0 {
		loop.Arm(&hs.timer, loop.Now()+timeout.Milliseconds())
	}
}

// Connect begins a handshake with settings t on c, an open connection to a host. It sets no timeout; the owner must.
// Prompt says that the owner has bytes to send at once, so that the last handshake message may travel with them. The returned handshake is
// valid until Secured is called or Cancel has returned; it is nil if Secured was called already.
func (h *Handshaker) Connect(c *engine.Conn, t *Client, prompt bool, owner Owner) *Handshake {
	hs := h.begin(c, t.config, owner)
	hs.client, hs.prompt = true, prompt
	if c.RawReadable() {
		var one [1]byte
		if n, _ := c.Peek(one[:]); n > 0 {
			hs.end(ErrEarlyBytes)
			return nil
		}
	}
	serial := hs.serial
	hs.start()
	if hs.serial != serial {
		return nil
	}
	return hs
}

// Peek waits for the ClientHello on c, an open connection from a client of which nothing was read, and reads the server name in it. Secured
// gets only that name. All bytes stay in the socket, and c does not speak TLS. A timeout of zero means no bound. Otherwise Peek is
// like Accept.
func (h *Handshaker) Peek(c *engine.Conn, timeout time.Duration, owner Owner) *Handshake {
	hs := h.begin(c, nil, owner)
	hs.await(timeout)
	return hs
}

func (h *Handshaker) begin(c *engine.Conn, config *tls.Config, owner Owner) *Handshake {
	hs := h.free.Get()
	if hs == nil {
		hs = &Handshake{set: h}
		hs.timer.Handler = hs
	}
	hs.conn, hs.config, hs.owner = c, config, owner
	c.SetHandler(hs)
	return hs
}

// Ready implements engine.Handler.
func (hs *Handshake) Ready(c *engine.Conn) {
	switch hs.step {
	case stepHello:
		hs.readHello()
	case stepPeer:
		hs.layer.Writable(c)
		if c.RawReadable() {
			hs.resume()
		}
	case stepTurn:
		if hs.turns--; hs.turns > 0 {
			hs.set.loop.Again(c)
			return
		}
		hs.resume()
	case stepSignature:
	}
}

// Expired implements engine.Handler.
func (hs *Handshake) Expired(*engine.Timer) { hs.abort(ErrHandshakeTimeout) }

// readHello starts the handshake when the ClientHello has arrived. Until then the hello stays in the socket and takes no memory here.
func (hs *Handshake) readHello() {
	if !hs.conn.RawReadable() {
		return
	}
	p := hs.set.loop.Scratch()
	n, err := hs.conn.Peek(p)
	switch {
	case isAgain(err):
		return
	case err != nil && !hs.gotBytes:
		hs.end(ErrSilent) // a reset means the same as an end here
		return
	case err != nil:
		if errors.Is(err, io.EOF) || errors.Is(err, unix.ECONNRESET) {
			err = ErrHandshakeCut
		}
		hs.end(fmt.Errorf("while waiting for the client's hello: %w", err))
		return
	}
	hs.gotBytes = true
	switch hello, size, err := hs.set.hello.Read(p[:n]); {
	case err == nil && size == 0 && n < len(p) && !hs.conn.Ending():
		// More bytes are needed.
	case hs.config == nil && err == nil && size == 0:
		hs.end(fmt.Errorf("while waiting for the client's hello: %w", ErrHandshakeCut)) // or it is longer than any known hello
	case hs.config == nil && err == nil:
		hs.conclude(State{ServerName: bytes.Clone(hello.ServerName)}, nil)
	case hs.config == nil:
		hs.end(fmt.Errorf("while reading the client's hello: %w", err))
	case errors.Is(err, ErrNotTLS) && LooksLikeHTTP(p[:n]):
		hs.end(ErrPlainHTTP)
	default:
		hs.start() // crypto/tls tells the client what is wrong, if anything
	}
}

// start starts the handshake proper.
func (hs *Handshake) start() {
	h := hs.set
	l := &layer{conn: hs.conn, hs: hs}
	if hs.client {
		l.tls = tls.Client((*wire)(l), hs.config)
	} else {
		l.tls = tls.Server((*wire)(l), hs.config)
	}
	hs.layer, hs.step = l, stepPeer
	if n := len(h.idle); n > 0 {
		hs.coro = h.idle[n-1]
		h.idle = h.idle[:n-1]
	} else {
		hs.coro = newCoroutine()
	}
	hs.coro.hs = hs
	hs.resume()
}

// run makes the handshake, on its coroutine.
func (hs *Handshake) run() {
	hs.err = hs.layer.tls.HandshakeContext(context.WithValue(context.Background(), handshakeKey{}, hs))
}

// handshakeKey is the key of the Handshake in the context that crypto/tls passes to callbacks.
type handshakeKey struct{}

// handshakeOf returns the handshake for which crypto/tls calls back.
func handshakeOf(ctx context.Context) *Handshake { return ctx.Value(handshakeKey{}).(*Handshake) }

// awaitPeer sends what was written, and waits until the peer may have sent something. It is called on the coroutine.
func (hs *Handshake) awaitPeer() error {
	if err := hs.layer.flush(); err != nil && !isAgain(err) {
		return err
	}
	hs.layer.quickAck() // the peer's messages may come in pieces
	hs.step = stepPeer
	return hs.wait()
}

// yieldTurn lets other connections be served between two expensive parts of the handshake, each of which takes longer than a request. It is
// called on the coroutine.
func (hs *Handshake) yieldTurn() error {
	hs.step, hs.turns = stepTurn, 2 // the first turn comes before the loop polls for new events
	hs.set.loop.Again(hs.conn)
	return hs.wait()
}

// wait returns control to the loop until the handshake is resumed. It is called on the coroutine.
func (hs *Handshake) wait() error {
	if hs.cancelled {
		return errCancelled
	}
	hs.coro.wait()
	if hs.cancelled {
		return errCancelled
	}
	return nil
}

// resume continues the coroutine, and ends the handshake if it is done.
func (hs *Handshake) resume() {
	k := hs.coro
	k.resume()
	if k.hs != nil {
		return
	}
	h := hs.set
	hs.coro = nil
	if len(h.idle) < idleCoroutines {
		h.idle = append(h.idle, k)
	} else {
		k.stop()
	}
	if hs.cancelled {
		return
	}
	if hs.err != nil {
		_ = hs.layer.flush() // the alert
		hs.layer.free()
		err := hs.layer.ending(hs.err)
		if errors.Is(err, ErrTruncated) || !hs.client && errors.Is(err, unix.ECONNRESET) {
			err = ErrHandshakeCut
		}
		hs.end(err)
		return
	}
	hs.secured()
}

// secured installs the layer.
func (hs *Handshake) secured() {
	l := hs.layer
	// If the peer does not wait for the last records of the handshake, they travel with the first bytes that the owner writes: the ticket of
	// a TLS 1.3 server, and a client's Finished.
	state := l.tls.ConnectionState()
	hold := hs.prompt
	if !hs.client {
		hold = state.Version >= tls.VersionTLS13
	}
	if !hold {
		if err := l.flush(); err != nil && !isAgain(err) {
			l.free()
			hs.end(err)
			return
		}
	}
	l.hs = nil
	hs.conn.SetLayer(l)
	hs.conn.HasMore(true) // the peer's first bytes may have arrived with the handshake
	hs.conclude(State{
		Version: tls.VersionName(state.Version), Cipher: tls.CipherSuiteName(state.CipherSuite),
		ServerName: []byte(state.ServerName), ClientSubject: hs.clientSubject(&state),
		Protocol: state.NegotiatedProtocol, Resumed: state.DidResume,
	}, nil)
}

// clientSubject returns the subject of the client's certificate, nil if there is none. The certificate was verified, by this handshake or by
// the one that this one resumes.
func (hs *Handshake) clientSubject(s *tls.ConnectionState) []byte {
	if hs.client || len(s.VerifiedChains) == 0 || len(s.PeerCertificates) == 0 {
		return nil
	}
	return []byte(s.PeerCertificates[0].Subject.String())
}

// end reports a failure to the owner.
func (hs *Handshake) end(err error) { hs.conclude(State{}, err) }

// conclude reports the outcome to the owner.
func (hs *Handshake) conclude(s State, err error) {
	owner := hs.owner
	hs.conn.SetHandler(owner)
	hs.recycle()
	owner.Secured(s, err)
}

// abort ends a handshake for an external reason.
func (hs *Handshake) abort(err error) {
	hs.unwind()
	hs.end(err)
}

// Cancel abandons the handshake and does not call Secured. The owner must close the connection, which has no handler.
func (hs *Handshake) Cancel() {
	hs.unwind()
	hs.recycle()
}

// unwind lets the coroutine run to its end.
func (hs *Handshake) unwind() {
	hs.cancelled = true
	if hs.coro != nil {
		hs.resume()
		hs.layer.free()
	}
}

// recycle resets the handshake and returns it to the free list.
func (hs *Handshake) recycle() {
	h := hs.set
	h.loop.Disarm(&hs.timer)
	hs.serial++
	hs.conn, hs.owner, hs.config, hs.layer, hs.err, hs.cancelled, hs.prompt, hs.gotBytes = nil, nil, nil, nil, nil, false, false, false
	h.free.Put(hs)
}
