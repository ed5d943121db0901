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

// Rules say what comes before a codec: one of Senders, TLS and PeekName at least, for where nothing does there is nothing to open.
// They are immutable.
type Rules struct {
	// Senders are the networks whose peers must send a PROXY header; others are refused, but for the peers of a unix socket. Nil
	// if no header is expected: then one is taken for what the codec reads, which refuses it.
	Senders []netip.Prefix
	// TLS is how clients are spoken to; nil for plain TCP.
	TLS *tlsconn.Server
	// PeekName has the name read that a client asks for when it speaks TLS to somebody behind this proxy. TLS is nil then.
	PeekName bool
	// Plain, with PeekName, has clients who do not speak TLS go on without a name. Otherwise they are refused.
	Plain bool
	// Timeout bounds the wait for a PROXY header, and after that the one for the hello with PeekName; zero is no bound. TLS has a
	// bound of its own.
	Timeout time.Duration
	// Place is where the server is counted.
	Place metrics.Place
}

// Owner is told the outcome of an opening.
type Owner interface {
	engine.Handler
	// Opened is called once, on the loop, unless the opening is cancelled before; the owner is the connection's handler again. With
	// nil the Peer is complete, and the connection may have bytes to read for which no event will come. Otherwise nothing of what
	// the client has sent must be taken for a request, and the connection is the owner's to close: by a reset if err is a
	// *HeaderError, else as tlsconn.Owner says.
	Opened(err error)
}

// HeaderError says why a connection has no PROXY header that is taken. The Peer is that of the connection.
type HeaderError struct{ err error }

// Error implements error.
func (e *HeaderError) Error() string { return "while waiting for a PROXY header: " + e.err.Error() }

// Unwrap is the reason: one of the errors below, a *proxyproto.Error, or a system call's.
func (e *HeaderError) Unwrap() error { return e.err }

// Reasons of a HeaderError.
var (
	// ErrStranger means that the peer is not one from whom headers are taken.
	ErrStranger = errors.New("the peer is not in the networks that send one")
	// ErrHeaderTimeout means that it took too long.
	ErrHeaderTimeout = errors.New("it did not come in time (tls_handshake_timeout)")
	// ErrHeaderCut means that the peer has ended the connection inside the header.
	ErrHeaderCut = errors.New("the peer ended the connection inside it")
	// ErrSilent means that the peer has left before its first byte, as those do that only look whether the port is open.
	ErrSilent = errors.New("the peer left without a byte")
)

// Silent reports whether an opening has failed because the peer left before its first byte.
func Silent(err error) bool {
	return errors.Is(err, ErrSilent) || errors.Is(err, tlsconn.ErrSilent)
}

// Opener opens connections on one loop. Its methods belong to the loop's goroutine.
type Opener struct {
	loop    *engine.Loop
	tls     *tlsconn.Handshaker
	metrics *metrics.Row
	free    engine.FreeList[Opening]
}

// NewOpener makes an opener for loop, which makes handshakes by tls; that may be nil where no Rules ask for any. It counts in m.
func NewOpener(loop *engine.Loop, tls *tlsconn.Handshaker, m *metrics.Row) *Opener {
	return &Opener{loop: loop, tls: tls, metrics: m}
}

// Opening is one connection's. It exists only until the outcome is known.
type Opening struct {
	opener    *Opener
	conn      *engine.Conn
	owner     Owner
	peer      *Peer
	rules     *Rules
	handshake *tlsconn.Handshake
	timer     engine.Timer
	spoke     bool // the peer has sent something
}

// Open begins to open c, which was just accepted and attached: nothing was read from it. Peer has the addresses of its socket; it is
// completed, and must stay where it is until then. The opening is valid until Opened is called or Cancel has been; it is nil if
// Opened was called already.
func (v *Opener) Open(c *engine.Conn, rules *Rules, peer *Peer, owner Owner) *Opening {
	if rules.Senders != nil && !rules.hears(peer.Client.Addr()) {
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

// hears reports whether a peer at addr may send a header.
func (r *Rules) hears(addr netip.Addr) bool {
	return !addr.IsValid() || slices.ContainsFunc(r.Senders, func(p netip.Prefix) bool { return p.Contains(addr) })
}

// Ready implements engine.Handler, while a header is waited for.
func (o *Opening) Ready(c *engine.Conn) {
	if !c.RawReadable() {
		return
	}
	p := o.opener.loop.Scratch()[:proxyproto.MaxHeader]
	n, err := c.Peek(p)
	switch {
	case errors.Is(err, unix.EAGAIN):
		return
	case err != nil && !o.spoke:
		o.refuse(ErrSilent) // a reset says no more than an end
		return
	case errors.Is(err, io.EOF):
		o.refuse(ErrHeaderCut)
		return
	case err != nil:
		o.refuse(err)
		return
	}
	o.spoke = true
	h, size, err := proxyproto.Parse(p[:n])
	switch {
	case err != nil:
		o.refuse(err)
		return
	case size == 0 && c.Ending():
		o.refuse(ErrHeaderCut)
		return
	case size > 0:
		// Exactly the header is taken out: whoever comes next finds the rest in the socket.
		if _, err := c.RawRead(p[:size]); err != nil {
			o.refuse(err)
			return
		}
	}
	if size == 0 || size == n {
		c.QuickAck() // there is more to come
	}
	if size > 0 {
		o.heard(&h)
	}
}

// heard goes on behind the header.
func (o *Opening) heard(h *proxyproto.Header) {
	o.opener.loop.Disarm(&o.timer)
	if h.Source.IsValid() {
		o.peer.Client, o.peer.tell().to = h.Source, h.Destination
	}
	o.secure()
}

// secure makes the handshake, or looks at the hello, if one of these is wanted. The opening may be over then.
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
	if hs, c := o.handshake, o.conn; c.RawReadable() { // what came along with a header makes no event
		hs.Ready(c)
	}
}

// Secured implements tlsconn.Owner.
func (o *Opening) Secured(s tlsconn.State, err error) {
	switch {
	case err == nil:
		told := o.peer.tell()
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

// refuse ends the opening because of the header.
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

// Cancel gives the opening up, and Opened is not called. The connection is the owner's to close; it has no handler.
func (o *Opening) Cancel() {
	if o.handshake != nil {
		o.handshake.Cancel()
	}
	o.recycle()
}

// recycle makes the opening ready for another use.
func (o *Opening) recycle() {
	o.opener.loop.Disarm(&o.timer)
	o.conn, o.owner, o.peer, o.rules, o.handshake, o.spoke = nil, nil, nil, nil, nil, false
	o.opener.free.Put(o)
}
