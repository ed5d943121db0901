package admin

import (
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"io"
	"log/slog"
	"maps"
	"net"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/valyala/fasthttp"
)

// Bounds for each client.
const (
	readTimeout  = 10 * time.Second       // to receive a request
	writeTimeout = 10 * time.Second       // to send an answer
	idleTimeout  = 30 * time.Second       // between two requests
	maxHead      = 8 << 10                // bytes of a request's head
	maxBody      = 64 << 10               // bytes of a request's body
	acceptPause  = 100 * time.Millisecond // after accept has failed, for example for lack of file descriptors
	closeTimeout = time.Second            // for answers under way when a listener closes
	fullTimeout  = 2 * time.Second        // to receive a request or send a piece of an answer while the gate is full
	leastTimeout = 250 * time.Millisecond // lower bound of fullTimeout's reductions while idle clients keep coming
	piece        = 64 << 10               // bytes of an answer that the client must take within that time
	fullPause    = 100 * time.Millisecond // between two searches for idle clients while the gate is full
)

// Rules are what a listener requires of its clients and allows them.
type Rules struct {
	Token       []byte // that requests must have; nil if none is required
	MetricsOnly bool
}

// Listener answers the clients of one listening socket on goroutines of its own.
type Listener struct {
	backend Backend
	flights *flights
	log     *slog.Logger
	address netip.Addr // listening address; not valid for a Unix socket
	rules   atomic.Pointer[ruling]

	http   fasthttp.Server
	socket *gate
	served chan struct{} // closed when accepting has ended
}

// ruling is Rules and the hash that tokens are compared by.
type ruling struct {
	Rules
	sum [sha256.Size]byte
}

// NewListener makes a Listener for a listening socket, which it owns. Address is the socket's address, or the zero value for a Unix socket.
// Connections bounds the open connections; further clients wait to be accepted. Requests are not answered before Start.
func NewListener(socket net.Listener, address netip.Addr, connections int, b Backend, log *slog.Logger) *Listener {
	l := &Listener{backend: b, flights: newFlights(), log: log, address: address, socket: newGate(socket, connections), served: make(chan struct{})}
	l.http = fasthttp.Server{
		Handler: l.handle, ErrorHandler: l.malformed, Name: "kroxy-ev", Logger: quiet{},
		Concurrency: 2 * connections, ReadTimeout: readTimeout, WriteTimeout: writeTimeout, IdleTimeout: idleTimeout,
		ReadBufferSize: maxHead, MaxRequestBodySize: maxBody, ReduceMemoryUsage: true, CloseOnShutdown: true,
	}
	return l
}

// SetRules changes the rules from the next request on. It may be called from any goroutine, and must be called before Start.
func (l *Listener) SetRules(r Rules) { l.rules.Store(&ruling{r, sha256.Sum256(r.Token)}) }

// Start begins to answer.
func (l *Listener) Start() {
	go func() {
		defer close(l.served)
		if err := l.http.Serve(l.socket); err != nil && !errors.Is(err, net.ErrClosed) {
			l.log.Error("admin: a listener has failed", "error", err)
		}
	}()
}

// Retire is Close without waiting: the caller may be part of an answer that Close would wait for. When Retire returns, accepting has ended.
func (l *Listener) Retire() {
	l.socket.shut()
	go l.Close()
}

// Close stops accepting, waits for answers under way, but for a second at most, and closes all connections. It may be called before Start.
func (l *Listener) Close() {
	l.socket.shut()
	done := make(chan struct{})
	go func() {
		_ = l.http.Shutdown()
		close(done)
	}()
	select {
	case <-done:
	case <-time.After(closeTimeout):
	}
	l.socket.closeAll()
}

// admits reports whether the value of Authorization has the token. The time that this takes does not depend on the token.
func (r *ruling) admits(authorization []byte) bool {
	const scheme = "bearer "
	if len(authorization) < len(scheme) || !equalFold(authorization[:len(scheme)], scheme) {
		return false
	}
	sum := sha256.Sum256(authorization[len(scheme):])
	return subtle.ConstantTimeCompare(sum[:], r.sum[:]) == 1
}

// quiet is a logger that discards messages about clients' errors.
type quiet struct{}

// Printf implements fasthttp.Logger.
func (quiet) Printf(string, ...any) {}

// gate is a listening socket that bounds the open connections; further clients wait in the socket's queue. When the bound is reached, the gate
// closes connections that have been idle for fullTimeout, without sending a request or taking any of their answer: otherwise a few dozen idle
// clients could keep all others out. If idle clients replace them, that time is halved, down to leastTimeout: a client with a request has
// usually sent it by the time it is accepted.
type gate struct {
	net.Listener
	room     chan struct{} // has an element per open connection
	closed   chan struct{}
	since    time.Time     // when the gate's clock began
	limit    time.Duration // how long a client may be idle while there is no room; used only by Accept
	expelled int64         // when a client was last evicted, on the gate's clock; used only by Accept

	mu    sync.Mutex
	conns map[*guest]struct{}
}

func newGate(l net.Listener, connections int) *gate {
	return &gate{Listener: l, room: make(chan struct{}, connections), closed: make(chan struct{}), since: time.Now(), limit: fullTimeout, conns: make(map[*guest]struct{})}
}

// now returns the time on the gate's monotonic clock: at least one nanosecond.
func (g *gate) now() int64 { return int64(time.Since(g.since)) + 1 }

// Accept implements net.Listener. It fails only when the gate is shut.
func (g *gate) Accept() (net.Conn, error) {
	for {
		if !g.enter() {
			return nil, io.EOF // tells fasthttp that the listener was closed
		}
		c, err := g.Listener.Accept()
		if err == nil {
			in := &guest{Conn: c, gate: g}
			in.silent.Store(g.now())
			g.mu.Lock()
			g.conns[in] = struct{}{}
			g.mu.Unlock()
			return in, nil
		}
		<-g.room
		select {
		case <-g.closed:
			return nil, io.EOF
		case <-time.After(acceptPause):
		}
	}
}

// enter waits until there is room for one more connection. It returns false once the gate is shut.
func (g *gate) enter() bool {
	if g.now()-g.expelled > int64(2*fullTimeout) {
		g.limit = fullTimeout
	}
	for {
		select {
		case g.room <- struct{}{}:
			return true
		case <-g.closed:
			return false
		case <-time.After(fullPause):
			if g.expel() {
				g.limit, g.expelled = max(g.limit/2, leastTimeout), g.now()
			}
		}
	}
}

// expel closes the connections that have been idle for longer than the limit. It reports whether there were any.
func (g *gate) expel() (found bool) {
	before := g.now() - int64(g.limit)
	for _, c := range g.guests() {
		if c.leaveIfIdle(before) {
			found = true
		}
	}
	return found
}

// crowded reports whether the gate is more than half full: then connections are closed after one answer.
func (g *gate) crowded() bool { return len(g.room) > cap(g.room)/2 }

// shut ends accepting. It may be called again.
func (g *gate) shut() {
	g.mu.Lock()
	defer g.mu.Unlock()
	select {
	case <-g.closed:
	default:
		close(g.closed)
		_ = g.Close()
	}
}

// closeAll closes all connections.
func (g *gate) closeAll() {
	for _, c := range g.guests() {
		_ = c.Close()
	}
}

// guests returns the open connections.
func (g *gate) guests() []*guest {
	g.mu.Lock()
	defer g.mu.Unlock()
	return slices.Collect(maps.Keys(g.conns))
}

// guest is a connection accepted through a gate.
type guest struct {
	net.Conn
	gate   *gate
	once   sync.Once
	silent atomic.Int64 // since when a request is awaited, in nanoseconds on the gate's clock; or answering, or left
	offers atomic.Int64 // since when a piece of an answer waits to be taken, on the same clock; 0 if none does
}

// Values of guest.silent that are not times.
const (
	answering = 0
	left      = -1 // closed because it was silent for too long
)

// asks notes that a request has arrived. It returns false if the connection was closed before.
func (c *guest) asks() bool { return c.silent.Swap(answering) != left }

// leaveIfIdle closes the connection if it has waited since before that time for a request, or for the client to take a piece of an answer. It
// reports whether it did.
func (c *guest) leaveIfIdle(before int64) bool {
	silent, offers := c.silent.Load(), c.offers.Load()
	if silent > 0 && silent < before && c.silent.CompareAndSwap(silent, left) || offers > 0 && offers < before {
		_ = c.Close()
		return true
	}
	return false
}

// Read implements net.Conn. The first Read after an answer begins the wait for the next request.
func (c *guest) Read(p []byte) (int, error) {
	c.silent.CompareAndSwap(answering, c.gate.now())
	return c.Conn.Read(p)
}

// Write implements net.Conn. It writes in pieces, each of which the client must take in time.
func (c *guest) Write(p []byte) (n int, err error) {
	defer c.offers.Store(0)
	for n < len(p) && err == nil {
		c.offers.Store(c.gate.now())
		var m int
		m, err = c.Conn.Write(p[n:min(len(p), n+piece)])
		n += m
	}
	return n, err
}

// Close implements net.Conn.
func (c *guest) Close() error {
	c.once.Do(func() {
		c.gate.mu.Lock()
		delete(c.gate.conns, c)
		c.gate.mu.Unlock()
		<-c.gate.room
	})
	return c.Conn.Close()
}
