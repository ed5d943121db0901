package h2conn

import (
	"errors"
	"fmt"
	"time"

	"kroxy-ev/engine"
	"kroxy-ev/httpcodec/http2"
)

// Limits is what a connection's peer is allowed. It is immutable.
type Limits struct {
	MaxStreams int // that a client may have open at once, and that a host is asked for at once
	Window     int // of a stream, at first: bytes that were received and not yet read; at least 65535
	ConnWindow int // of a connection likewise, over all its streams
}

// DefaultLimits are those of a Limits whose fields are zero.
var DefaultLimits = Limits{MaxStreams: 100, Window: 64 << 10, ConnWindow: 1 << 20}

// Timeouts bound waits for a peer; zero is no bound.
type Timeouts struct {
	Head time.Duration // for the preface, the first settings, the first request, and the rest of a head
	Idle time.Duration // for the next request of a client, when no stream is open
	Send time.Duration // for the peer to take some of what is sent to it
}

// Owner is told what happens on a connection, on the loop.
type Owner interface {
	// Opened is told that a client has begun a request, whose head is there. The stream is to be attached before it returns, or is
	// refused; what is there is to be read later: Ready of the handler is called next.
	Opened(s *Stream)
	// Refused is told that something of a stream was malformed, and that nobody else is told of: for logs.
	Refused(err *http2.Error)
	// Changed is told that the settings of a host have come, the first ones or others: Free may be another than before. It is called while
	// frames are being read, and must not open a stream before it returns.
	Changed()
	// Closed is called once: the connection is closed, and its streams have failed. The reason is nil if it has ended in good order.
	Closed(err error)
}

// Errors of connections and streams.
var (
	// ErrRefused means that the host has not begun with the request, which may be sent again whatever it asks for (RFC 9113 section 8.7).
	ErrRefused = errors.New("http2: the host has refused the stream")
	// ErrMoved is ErrRefused by a host that has sent GOAWAY after it had served other requests on the connection: this one belongs on a new connection.
	ErrMoved = fmt.Errorf("%w: it leaves the connection", ErrRefused)
	// ErrLost means that the connection has ended below the stream.
	ErrLost = errors.New("http2: the connection has ended")
	// ErrSilent means that the peer did not send in time what it owes: a preface, settings, a request, or the rest of a head.
	ErrSilent = errors.New("http2: the peer was silent for too long")
	// ErrStalled means that the peer takes nothing of what is sent to it.
	ErrStalled = errors.New("http2: the peer takes no bytes")
	// ErrAborted means that this side has ended the connection.
	ErrAborted = errors.New("http2: the connection was aborted")

	errOver     = errors.New("http2: the message is over")
	errHeadText = errors.New("http2: a head that is not whole")
)

// Muxer makes the connections of one loop, and has what they share. Its methods, and all of this package, belong to the loop's goroutine.
type Muxer struct {
	loop    *engine.Loop
	free    engine.FreeList[Conn]
	streams engine.FreeList[Stream]
	head    []byte // in the form of HTTP/1.1, while it is passed on
	block   []byte // while it is written
}

// NewMuxer makes a muxer for loop.
func NewMuxer(loop *engine.Loop) *Muxer { return &Muxer{loop: loop} }

// role is which end of a connection this side is.
type role uint8

const (
	server role = iota
	client
)

func (r role) String() string { return [...]string{"server", "client"}[r] }

// Serve has the open connection socket, whose peer is a client that is to send the preface next, carry HTTP/2 from now on. Socket stays where it
// is until Closed. What is there is read when the loop tells of the socket next, or Ready is called.
func (m *Muxer) Serve(socket *engine.Conn, o Owner, l *Limits, t Timeouts) *Conn {
	return m.begin(socket, o, l, t, server)
}

// Dial is Serve for a connection to a host that stands.
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
	c.greet()
	socket.SetHandler(c)
	m.loop.Again(socket)
	return c
}

// firstWindow is the window of a connection before anybody has said anything (RFC 9113 section 6.9.2).
const firstWindow = 65535

// codes are the errors of streams that a peer has reset, by its code.
var codes = func() (list [http2.HTTP11Required + 2]error) {
	for i := range list {
		code := http2.Code(i)
		list[i] = fmt.Errorf("the peer has reset the stream: %w", &http2.Error{Code: code, Stream: true, Reason: code.String()})
	}
	list[len(list)-1] = errors.New("the peer has reset the stream with an unknown code")
	return list
}()

// resetBy is the error of a stream that the peer has reset with that code.
func resetBy(c http2.Code) error { return codes[min(int(c), len(codes)-1)] }
