package opening

import (
	"errors"
	"io"
	"net/netip"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"kroxy-ev/engine"
	"kroxy-ev/engine/metrics"
	"kroxy-ev/engine/proxyproto"
	"kroxy-ev/engine/tlsconn"
	"kroxy-ev/logformat"
)

// Rules say what comes before the codec. At least one of Senders, TLS and PeekName must be set; otherwise there is nothing to open.
// They are immutable.
type Rules struct {
	// Senders are the networks whose peers must send a PROXY header; other peers are refused, except on a unix socket. Nil
	// means that no header is expected; the codec then refuses one as malformed input.
	Senders []netip.Prefix
	// TLS holds the TLS settings for clients; nil for plain TCP.
	TLS *tlsconn.Server
	// PeekName means that the proxy reads the server name from the hello of a client that speaks TLS to a host. TLS must be nil.
	PeekName bool
	// Plain, with PeekName, lets clients that do not speak TLS continue without a name. Otherwise they are refused.
	Plain bool
	// Timeout bounds the wait for a PROXY header and then, with PeekName, the wait for the hello; zero means no bound. TLS has its
	// own timeout.
	Timeout time.Duration
	// Place is the server's place in the metrics.
	Place metrics.Place
}

// Owner is told the outcome of an opening.
type Owner interface {
	engine.Handler
	// Opened is called once, on the loop, unless the opening is cancelled first; the owner is then the connection's handler again. If
	// err is nil, the Peer is complete, and the connection may have bytes to read for which no event will come. Otherwise nothing that
	// the client has sent may be treated as a request, and the owner must close the connection: by a reset if err is a
	// *HeaderError, otherwise as tlsconn.Owner says.
	Opened(err error)
}

// HeaderError says why a connection has no acceptable PROXY header. The Peer then has the addresses of the connection.
type HeaderError struct{ err error }

// Error implements error.
func (e *HeaderError) Error() string { return "while waiting for a PROXY header: " + e.err.Error() }

// Unwrap returns the reason: one of the errors below, a *proxyproto.Error, or an error of a system call.
func (e *HeaderError) Unwrap() error { return e.err }

// Reasons of a HeaderError.
var (
	// ErrStranger means that the peer may not send a header.
	ErrStranger = errors.New("the peer is not in the networks that may send one")
	// ErrHeaderTimeout means that the header did not arrive in time.
	ErrHeaderTimeout = errors.New("it did not arrive in time (tls_handshake_timeout)")
	// ErrHeaderCut means that the peer ended the connection within the header.
	ErrHeaderCut = errors.New("the peer ended the connection within the header")
	// ErrSilent means that the peer left before its first byte, as port checks do.
	ErrSilent = errors.New("the peer left without sending a byte")
)

// Silent reports whether an opening has failed because the peer left before its first byte.
func Silent(err error) bool {
	return errors.Is(err, ErrSilent) || errors.Is(err, tlsconn.ErrSilent)
}

// Opener opens connections on one loop. Its methods may only be called on the loop's goroutine.
type Opener struct {
	loop    *engine.Loop
	tls     *tlsconn.Handshaker
	metrics *metrics.Row
	free    engine.FreeList[Opening]
}

// NewOpener makes an opener for loop. It makes handshakes by tls, which may be nil if no Rules have TLS or PeekName, and counts in m.
func NewOpener(loop *engine.Loop, tls *tlsconn.Handshaker, m *metrics.Row) *Opener {
	return &Opener{loop: loop, tls: tls, metrics: m}
}

// Opening is the opening of one connection. It exists only until the outcome is known.
type Opening struct {
	opener    *Opener
	conn      *engine.Conn
	owner     Owner
	peer      *Peer
	rules     *Rules
	handshake *tlsconn.Handshake
	timer     engine.Timer
	gotBytes  bool // the peer has sent something
}

// Open begins to open c, which was just accepted and attached, and from which nothing was read. peer has the addresses of the socket; Open
// completes it, and it must not be moved until then. The returned opening is valid until Opened is called or Cancel has returned; it is nil
// if Opened was called already.
func (v *Opener) Open(c *engine.Conn, rules *Rules, peer *Peer, owner Owner) *Opening {
	if rules.Senders != nil && !rules.maySend(peer.Client.Addr()) {
		err := &HeaderError{ErrStranger}
		v.count(rules, err)
		owner.Opened(err)
		return nil
	}
	o := v.free.Get()
	if o == nil {
		o = &Opening{opener: v}
		o.timer.Handler = o
	}
	o.conn, o.owner, o.peer, o.rules = c, owner, peer, rules
	if rules.Senders == nil {
		o.secure()
		return o
	}
	c.SetHandler(o)
	if rules.Timeout > 0 {
		v.loop.Arm(&o.timer, v.loop.Now()+rules.Timeout.Milliseconds())
	}
	return o
}

// maySend reports whether a peer at addr may send a header.
func (r *Rules) maySend(addr netip.Addr) bool {
	return !addr.IsValid() || slices.ContainsFunc(r.Senders, func(p netip.Prefix) bool { return p.Contains(addr) })
}

// Ready implements engine.Handler, for the wait for a header.
func (o *Opening) Ready(c *engine.Conn) {
	if !c.RawReadable() {
		return
	}
	p := o.opener.loop.Scratch()[:proxyproto.MaxHeader]
	n, err := c.Peek(p)
	switch {
	case errors.Is(err, unix.EAGAIN):
		return
	case err != nil && !o.gotBytes:
		o.refuse(ErrSilent) // a reset means the same as an end here
		return
	case errors.Is(err, io.EOF):
		o.refuse(ErrHeaderCut)
		return
	case err != nil:
		o.refuse(err)
		return
	}
	o.gotBytes = true
	h, size, err := proxyproto.Parse(p[:n])
	switch {
	case err != nil:
		o.refuse(err)
		return
	case size == 0 && c.Ending():
		o.refuse(ErrHeaderCut)
		return
	case size > 0:
		// Take exactly the header out of the socket, so that the next reader finds the rest there.
		if _, err := c.RawRead(p[:size]); err != nil {
			o.refuse(err)
			return
		}
	}
	if size == 0 || size == n {
		c.QuickAck() // more bytes are expected
	}
	if size > 0 {
		o.afterHeader(&h)
	}
}

// afterHeader continues after the header.
func (o *Opening) afterHeader(h *proxyproto.Header) {
	o.opener.loop.Disarm(&o.timer)
	if h.Source.IsValid() {
		o.peer.Client, o.peer.ensureTold().to = h.Source, h.Destination
	}
	o.secure()
}

// secure makes the handshake or reads the hello, if the rules require it. The opening may have ended when it returns.
func (o *Opening) secure() {
	switch {
	case o.rules.TLS != nil:
		o.handshake = o.opener.tls.Accept(o.conn, o.rules.TLS, o)
	case o.rules.PeekName:
		o.handshake = o.opener.tls.Peek(o.conn, o.rules.Timeout, o)
	default:
		o.conclude(nil)
		return
	}
	if hs, c := o.handshake, o.conn; c.RawReadable() { // bytes that arrived with the header cause no event
		hs.Ready(c)
	}
}

// Secured implements tlsconn.Owner.
func (o *Opening) Secured(s tlsconn.State, err error) {
	switch {
	case err == nil:
		told := o.peer.ensureTold()
		told.hello, told.h2, told.tls = true, s.Protocol == protocolHTTP2, logformat.TLS{Version: s.Version, Cipher: s.Cipher, ServerName: s.ServerName, ClientSubject: s.ClientSubject}
		if o.rules.TLS != nil {
			o.opener.metrics.Server(o.rules.Place).Handshakes.Count(versionNumber(s.Version), s.Resumed)
		}
	case o.rules.Plain && errors.Is(err, tlsconn.ErrNotTLS):
		err = nil
	}
	o.conclude(err)
}

// Expired implements engine.Handler.
func (o *Opening) Expired(*engine.Timer) { o.refuse(ErrHeaderTimeout) }

// refuse ends the opening with a HeaderError.
func (o *Opening) refuse(err error) { o.conclude(&HeaderError{err}) }

// conclude reports the outcome to the owner.
func (o *Opening) conclude(err error) {
	if err != nil {
		o.opener.count(o.rules, err)
	}
	owner := o.owner
	o.conn.SetHandler(owner)
	o.recycle()
	owner.Opened(err)
}

// Cancel abandons the opening and does not call Opened. The owner must close the connection, which has no handler.
func (o *Opening) Cancel() {
	if o.handshake != nil {
		o.handshake.Cancel()
	}
	o.recycle()
}

// recycle resets the opening and returns it to the free list.
func (o *Opening) recycle() {
	o.opener.loop.Disarm(&o.timer)
	o.conn, o.owner, o.peer, o.rules, o.handshake, o.gotBytes = nil, nil, nil, nil, nil, false
	o.opener.free.Put(o)
}
