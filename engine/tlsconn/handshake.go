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
	// Secured is called once, on the loop, unless the handshake is cancelled before; the owner is the connection's handler
	// again. With nil the connection speaks TLS, as s says. Otherwise it does not, and the peer was told why, if anything;
	// it is the owner's to close.
	Secured(s State, err error)
}

// State is what a handshake has agreed on, as people write it: "TLS 1.3", "TLS_AES_128_GCM_SHA256", "www.example.com"; and the
// distinguished name in the certificate of a client, if one was demanded: "CN=alice,O=Example". The slices are the owner's from then on.
type State struct {
	Version, Cipher string
	ServerName      []byte
	ClientSubject   []byte
	// Protocol is what ALPN has agreed on: "h2". It is "" if one side offers none, and if a client with "http/1.1" comes to a
	// server that offers "h2" only, with which crypto/tls goes on. A session that is resumed has it agreed on anew (RFC 7301
	// section 3.1).
	Protocol string
	// Resumed says that the handshake went on with a session of before.
	Resumed bool
}

// Errors with which a handshake ends; Is-able through what wraps them. Others are crypto/tls's.
var (
	// ErrHandshakeTimeout means that it took too long.
	ErrHandshakeTimeout = errors.New("tls: the handshake took too long")
	// ErrPlainHTTP means that the client has sent an HTTP request instead of beginning a handshake.
	ErrPlainHTTP = errors.New("tls: a plain HTTP request came instead of a handshake")
	// ErrSilent means that the client has left before its first byte, as those do that only look whether the port is open.
	ErrSilent = errors.New("tls: the client left without a byte")
	// ErrHandshakeCut means that the peer has ended the connection inside the handshake, or that a client has reset it. Whether somebody cut it off is not
	// known; nothing is lost.
	ErrHandshakeCut = errors.New("tls: the peer ended the connection inside the handshake")
	// ErrEarlyBytes means that a host has sent bytes before it was greeted.
	ErrEarlyBytes = errors.New("tls: the host sent bytes before the handshake")

	errCancelled = errors.New("tls: the handshake was given up")
)

// idleCoroutines is how many coroutines a loop keeps for the next handshakes.
const idleCoroutines = 32

// Handshaker makes handshakes on one loop. Its methods belong to the loop's goroutine.
type Handshaker struct {
	loop  *engine.Loop
	hello HelloReader
	idle  []*coroutine
	free  engine.FreeList[Handshake]
}

// NewHandshaker makes a handshaker for loop.
func NewHandshaker(loop *engine.Loop) *Handshaker { return &Handshaker{loop: loop} }

// Close ends the coroutines that are kept. Handshakes must be over, and the loop not run any more.
func (h *Handshaker) Close() {
	for _, k := range h.idle {
		k.stop()
	}
	h.idle = nil
}

// step is what a handshake waits for.
type step uint8

const (
	stepHello     step = iota // the rest of the ClientHello
	stepPeer                  // the peer's next records
	stepSignature             // a signature that is made beside the loop
	stepTurn                  // its turn: others are served first
)

func (s step) String() string { return [...]string{"hello", "peer", "signature", "turn"}[s] }

// Handshake is one connection's handshake. It exists only until the outcome is known.
type Handshake struct {
	set    *Handshaker
	conn   *engine.Conn
	owner  Owner
	config *tls.Config // nil if the hello is only read
	client bool
	prompt bool // the owner will write at once
	layer  *layer
	coro   *coroutine // while it runs
	timer  engine.Timer
	serial uint64 // tells a late signature from one for this use of the struct
	step   step
	turns  int8 // that are still given to others
	spoke  bool // the client has sent something
	gone   bool // it was cancelled
	err    error
}

// Accept begins to make the open connection c, a client's of which nothing was read, one that speaks TLS as s says. The handshake
// is valid until Secured is called, which is never before this returns, or Cancel has been.
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

// Connect begins to make the open connection c to a host one that speaks TLS as t says. There is no deadline: the owner has one.
// Prompt says that the owner has bytes to send at once, with which the last of the handshake may travel. The handshake is
// valid until Secured is called or Cancel has been; it is nil if Secured was called already.
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

// Peek waits for the ClientHello of the open connection c, a client's of which nothing was read, and reads the name in it. The
// owner is told of that name only, and all bytes are still to be read: c does not speak TLS. It takes a handshake's timeout; zero
// is no bound. Otherwise it is as Accept.
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
		hs.greet()
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
func (hs *Handshake) Expired(*engine.Timer) { hs.give(ErrHandshakeTimeout) }

// greet begins when the ClientHello is there. Until then it stays in the socket, and costs no memory here.
func (hs *Handshake) greet() {
	if !hs.conn.RawReadable() {
		return
	}
	p := hs.set.loop.Scratch()
	n, err := hs.conn.Peek(p)
	switch {
	case again(err):
		return
	case err != nil && !hs.spoke:
		hs.end(ErrSilent) // a reset says no more than an end
		return
	case err != nil:
		if errors.Is(err, io.EOF) || errors.Is(err, unix.ECONNRESET) {
			err = ErrHandshakeCut
		}
		hs.end(fmt.Errorf("while waiting for the client's hello: %w", err))
		return
	}
	hs.spoke = true
	switch hello, size, err := hs.set.hello.Read(p[:n]); {
	case err == nil && size == 0 && n < len(p) && !hs.conn.Ending():
		// More is needed.
	case hs.config == nil && err == nil && size == 0:
		hs.end(fmt.Errorf("while waiting for the client's hello: %w", ErrHandshakeCut)) // or it is longer than any we know
	case hs.config == nil && err == nil:
		hs.conclude(State{ServerName: bytes.Clone(hello.ServerName)}, nil)
	case hs.config == nil:
		hs.end(fmt.Errorf("while reading the client's hello: %w", err))
	case errors.Is(err, ErrNotTLS) && LooksLikeHTTP(p[:n]):
		hs.end(ErrPlainHTTP)
	default:
		hs.start() // crypto/tls tells the client what is wrong, if anything is
	}
}

// start begins the handshake proper.
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

// run is the handshake, on its coroutine.
func (hs *Handshake) run() {
	hs.err = hs.layer.tls.HandshakeContext(context.WithValue(context.Background(), handshakeKey{}, hs))
}

// handshakeKey is what a handshake is found by in the context of crypto/tls's callbacks.
type handshakeKey struct{}

// handshakeOf is the handshake that crypto/tls calls back for.
func handshakeOf(ctx context.Context) *Handshake { return ctx.Value(handshakeKey{}).(*Handshake) }

// awaitPeer lets the peer have what was written, and waits until it may have sent something. It is called on the coroutine.
func (hs *Handshake) awaitPeer() error {
	if err := hs.layer.flush(); err != nil && !again(err) {
		return err
	}
	hs.layer.quickAck() // of a flight that comes in pieces
	hs.step = stepPeer
	return hs.wait()
}

// giveWay lets others be served between two costly parts of the handshake, each of which takes longer than a request. It is
// called on the coroutine.
func (hs *Handshake) giveWay() error {
	hs.step, hs.turns = stepTurn, 2 // the first comes before new events are asked for
	hs.set.loop.Again(hs.conn)
	return hs.wait()
}

// wait returns to the loop until the handshake is resumed. It is called on the coroutine.
func (hs *Handshake) wait() error {
	if hs.gone {
		return errCancelled
	}
	hs.coro.wait()
	if hs.gone {
		return errCancelled
	}
	return nil
}

// resume goes on with the coroutine, and ends the handshake if it has come to its end.
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
	if hs.gone {
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

// secured puts the layer into place.
func (hs *Handshake) secured() {
	l := hs.layer
	// The last records of the handshake, if nobody waits for them, go with the first that the owner writes: the ticket of
	// a TLS 1.3 server, and a client's Finished.
	state := l.tls.ConnectionState()
	hold := hs.prompt
	if !hs.client {
		hold = state.Version >= tls.VersionTLS13
	}
	if !hold {
		if err := l.flush(); err != nil && !again(err) {
			l.free()
			hs.end(err)
			return
		}
	}
	l.hs = nil
	hs.conn.SetLayer(l)
	hs.conn.HasMore(true) // the peer's first bytes may have come along
	hs.conclude(State{
		Version: tls.VersionName(state.Version), Cipher: tls.CipherSuiteName(state.CipherSuite),
		ServerName: []byte(state.ServerName), ClientSubject: hs.clientSubject(&state),
		Protocol: state.NegotiatedProtocol, Resumed: state.DidResume,
	}, nil)
}

// clientSubject is who the client is by its certificate, nil if it has shown none. That was verified, by this handshake or by the one
// that this one resumes.
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

// give ends a handshake for a reason that is not its own.
func (hs *Handshake) give(err error) {
	hs.unwind()
	hs.end(err)
}

// Cancel gives the handshake up, and Secured is not called. The connection is the owner's to close; it has no handler.
func (hs *Handshake) Cancel() {
	hs.unwind()
	hs.recycle()
}

// unwind has the coroutine come to its end.
func (hs *Handshake) unwind() {
	hs.gone = true
	if hs.coro != nil {
		hs.resume()
		hs.layer.free()
	}
}

// recycle makes the handshake ready for another use.
func (hs *Handshake) recycle() {
	h := hs.set
	h.loop.Disarm(&hs.timer)
	hs.serial++
	hs.conn, hs.owner, hs.config, hs.layer, hs.err, hs.gone, hs.prompt, hs.spoke = nil, nil, nil, nil, nil, false, false, false
	h.free.Put(hs)
}
