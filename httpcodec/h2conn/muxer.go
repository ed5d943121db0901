package h2conn

import (
	"errors"
	"fmt"
	"time"

	"kroxy-ev/engine"
	"kroxy-ev/httpcodec/http2"
)

// Limits bounds what a connection's peer may do. It is immutable.
type Limits struct {
	MaxStreams int // that a client may have open at once, or that this side opens to a host at once
	Window     int // initial window of a stream: bytes received and not yet read; at least 65535
	ConnWindow int // the same for a connection, over all its streams
}

// DefaultLimits are the basis for connections to hosts. The configuration sets the limits for clients.
var DefaultLimits = Limits{MaxStreams: 100, Window: 64 << 10, ConnWindow: 1 << 20}

// Timeouts bound waits for a peer. Zero means no bound.
type Timeouts struct {
	Head time.Duration // for the preface, the first SETTINGS, the first request, and the rest of a head
	Idle time.Duration // for a client's next request while no stream is open
	Send time.Duration // for the peer to take some of what is sent to it
}

// Owner is notified of events on a connection, on the loop's goroutine.
type Owner interface {
	// Opened is called when a client has begun a request and its head is complete. Opened must attach the stream before it returns,
	// otherwise the stream is refused. It must not read yet: the handler's Ready is called next.
	Opened(s *Stream)
	// Refused is called when a stream was refused before its owner or user was notified of it. It is for logs.
	Refused(err *http2.Error)
	// Changed is called when a host's SETTINGS have arrived, the first or later ones, so Free may have changed; and when the host
	// has refused streams by GOAWAY, so Served has changed. It is called while frames are being read, and must not open a stream
	// before it returns.
	Changed()
	// Closed is called once, when the connection is closed and its streams have failed. Err is nil if the connection has ended in
	// good order.
	Closed(err error)
}

// Errors of connections and streams.
var (
	// ErrRefused means that the host has not processed the request, which may be sent again whatever its method (RFC 9113 section 8.7).
	ErrRefused = errors.New("http2: the host has refused the stream")
	// ErrMoved is an ErrRefused by a host that sent GOAWAY after it had served other requests on the connection. The request belongs
	// on a new connection.
	ErrMoved = fmt.Errorf("%w: it is closing the connection", ErrRefused)
	// ErrLost means that the connection below the stream has ended.
	ErrLost = errors.New("http2: the connection has ended")
	// ErrSilent means that the peer did not send in time what was due: a preface, SETTINGS, a request, or the rest of a head.
	ErrSilent = errors.New("http2: the peer was silent for too long")
	// ErrStalled means that the peer takes nothing of what is sent to it.
	ErrStalled = errors.New("http2: the peer takes no bytes")
	// ErrAborted means that this side has ended the connection.
	ErrAborted = errors.New("http2: the connection was aborted")

	errOver     = errors.New("http2: the message is over")
	errHeadText = errors.New("http2: an incomplete head")
)

// Muxer makes the connections of one loop and has what they share. All of this package must be used on the loop's goroutine.
type Muxer struct {
	loop    *engine.Loop
	free    engine.FreeList[Conn]
	streams engine.FreeList[Stream]
	head    []byte // a head in the form of HTTP/1.1, while it is passed on
	block   []byte // a header block, while it is written
}

// NewMuxer makes a muxer for loop.
func NewMuxer(loop *engine.Loop) *Muxer { return &Muxer{loop: loop} }

// role says which end of a connection this side is.
type role uint8

const (
	server role = iota
	client
)

func (r role) String() string { return [...]string{"server", "client"}[r] }

// Serve makes socket carry HTTP/2 from now on. The socket is open, and its client must send the preface next. Socket must not
// move in memory until Closed is called. Bytes that have already arrived are read at the next event, or when Ready is called.
func (m *Muxer) Serve(socket *engine.Conn, o Owner, l *Limits, t Timeouts) *Conn {
	return m.begin(socket, o, l, t, server)
}

// Dial is Serve for an established connection to a host.
func (m *Muxer) Dial(socket *engine.Conn, o Owner, l *Limits, t Timeouts) *Conn {
	return m.begin(socket, o, l, t, client)
}

func (m *Muxer) begin(socket *engine.Conn, o Owner, l *Limits, t Timeouts, r role) *Conn {
	c := m.free.Get()
	if c == nil {
		c = &Conn{}
		c.timer.Handler = c
	}
	now := m.loop.Now()
	*c = Conn{
		muxer: m, loop: m.loop, socket: socket, owner: o, role: r, timer: c.timer, timeouts: t, limits: *l,
		peer: http2.NewPeerSettings(), decoder: http2.NewDecoder(), closed: c.closed[:0], armed: engine.Never, began: now, idleSince: now,
	}
	c.sendWindow, c.recvWindow = firstWindow, firstWindow
	c.grant.Size = uint32(max(l.ConnWindow, firstWindow))
	if r == client {
		c.next = 1
	}
	c.writePreface()
	socket.SetHandler(c)
	m.loop.Again(socket)
	return c
}

// firstWindow is the initial window of a connection (RFC 9113 section 6.9.2).
const firstWindow = 65535

// codes has the errors of streams that a peer has reset, indexed by error code.
var codes = func() (list [http2.HTTP11Required + 2]error) {
	for i := range list {
		code := http2.Code(i)
		list[i] = fmt.Errorf("the peer has reset the stream: %w", &http2.Error{Code: code, Stream: true, Reason: code.String()})
	}
	list[len(list)-1] = errors.New("the peer has reset the stream with an unknown code")
	return list
}()

// resetBy returns the error of a stream that the peer has reset with the given code.
func resetBy(c http2.Code) error { return codes[min(int(c), len(codes)-1)] }
