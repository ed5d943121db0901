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

// What bounds a client.
const (
	readTimeout  = 10 * time.Second       // until a request is there
	writeTimeout = 10 * time.Second       // until an answer is taken
	idleTimeout  = 30 * time.Second       // between two requests
	maxHead      = 8 << 10                // bytes of a request's head
	maxBody      = 64 << 10               // bytes of a request's body
	acceptPause  = 100 * time.Millisecond // after accept has failed, as for want of files
	closeTimeout = time.Second            // for answers that are under way when a listener closes
	fullTimeout  = 2 * time.Second        // until a request is there, or a piece of an answer is taken, while as many clients are in as may be
	leastTimeout = 250 * time.Millisecond // what fullTimeout comes down to when many have had to leave
	piece        = 64 << 10               // bytes of an answer that have to be taken in that time
	fullPause    = 100 * time.Millisecond // between two looks at them, as long as that is so
)

// Rules are what a listener asks of its clients, and lets them do.
type Rules struct {
	Token       []byte // that requests have to show; nil is none
	MetricsOnly bool
}

// Listener answers the clients of one listening socket, on goroutines of its own.
type Listener struct {
	backend Backend
	flights *flights
	log     *slog.Logger
	address netip.Addr // that it listens on; not valid for a Unix-domain socket
	rules   atomic.Pointer[ruling]

	http   fasthttp.Server
	socket *gate
	served chan struct{} // closed when no more is accepted
}

// ruling is Rules, with the token as it is compared.
type ruling struct {
	Rules
	sum [sha256.Size]byte
}

// NewListener makes a Listener of a listening socket, which it owns. Address is where that listens, the zero value if it is a Unix-domain
// socket. So many connections are open at once; more wait to be accepted. Nobody is answered before Start.
func NewListener(socket net.Listener, address netip.Addr, connections int, b Backend, log *slog.Logger) *Listener {
	l := &Listener{backend: b, flights: newFlights(), log: log, address: address, socket: newGate(socket, connections), served: make(chan struct{})}
	l.http = fasthttp.Server{
		Handler: l.handle, ErrorHandler: l.malformed, Name: "kroxy-ev", Logger: quiet{},
		Concurrency: 2 * connections, ReadTimeout: readTimeout, WriteTimeout: writeTimeout, IdleTimeout: idleTimeout,
		ReadBufferSize: maxHead, MaxRequestBodySize: maxBody, ReduceMemoryUsage: true, CloseOnShutdown: true,
	}
	return l
}

// SetRules changes what is asked of clients, from the next request on. It may be called from any goroutine, and has to be before Start.
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

// Retire is Close, but waits for nobody: what is being answered may be what this is a part of. Nothing is accepted any more when it returns.
func (l *Listener) Retire() {
	l.socket.shut()
	go l.Close()
}

// Close stops accepting, and ends connections when the requests that are being answered are, but after a second in any case. It may be called before
// Start.
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

// admits reports whether the value of Authorization shows the token, in a time that does not depend on it.
func (r *ruling) admits(authorization []byte) bool {
	const scheme = "bearer "
	if len(authorization) < len(scheme) || !equalFold(authorization[:len(scheme)], scheme) {
		return false
	}
	sum := sha256.Sum256(authorization[len(scheme):])
	return subtle.ConstantTimeCompare(sum[:], r.sum[:]) == 1
}

// quiet is a logger for what clients do wrong, which is nobody's business.
type quiet struct{}

// Printf implements fasthttp.Logger.
func (quiet) Printf(string, ...any) {}

// gate is a listening socket that lets only so many in at a time; the others wait in its queue. Once that many are in, it closes connections that
// have been idle for fullTimeout, without a request or without taking any of their answer: otherwise a few dozen idle clients could keep all others
// out. If idle clients come in their place, that time is halved, down to leastTimeout: a client with a request has sent it by the time it is let in.
type gate struct {
	net.Listener
	room     chan struct{} // has an element for each connection that is open
	closed   chan struct{}
	since    time.Time     // when its clock began
	limit    time.Duration // how long a client may be idle while there is no room; only Accept uses it
	expelled int64         // when a client last had to leave, on the gate's clock; only Accept uses it

	mu    sync.Mutex
	conns map[*guest]struct{}
}

func newGate(l net.Listener, connections int) *gate {
	return &gate{Listener: l, room: make(chan struct{}, connections), closed: make(chan struct{}), since: time.Now(), limit: fullTimeout, conns: make(map[*guest]struct{})}
}

// now is the gate's clock, which nobody can set: at least a nanosecond.
func (g *gate) now() int64 { return int64(time.Since(g.since)) + 1 }

// Accept implements net.Listener. It fails only when the gate is shut.
func (g *gate) Accept() (net.Conn, error) {
	for {
		if !g.enter() {
			return nil, io.EOF // fasthttp's word for a listener that was closed
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

// enter waits until there is room for one more. It returns false once the gate is shut.
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

// expel closes the connections that have been idle for longer than the limit. It reports whether there was one.
func (g *gate) expel() (found bool) {
	before := g.now() - int64(g.limit)
	for _, c := range g.guests() {
		if c.leaveIfIdle(before) {
			found = true
		}
	}
	return found
}

// crowded reports whether more than half of those who may be in at a time are: then each is to leave after its answer.
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

// closeAll ends all connections.
func (g *gate) closeAll() {
	for _, c := range g.guests() {
		_ = c.Close()
	}
}

// guests are the connections that are open.
func (g *gate) guests() []*guest {
	g.mu.Lock()
	defer g.mu.Unlock()
	return slices.Collect(maps.Keys(g.conns))
}

// guest is a connection that has come through a gate.
type guest struct {
	net.Conn
	gate   *gate
	once   sync.Once
	silent atomic.Int64 // since when a request is awaited, in nanoseconds on the gate's clock; or answering, or left
	offers atomic.Int64 // since when a piece of an answer waits to be taken, on the same clock; 0 if none does
}

// Values of guest.silent that are no time.
const (
	answering = 0
	left      = -1 // it was silent for too long
)

// asks notes that a request is there. It returns false if it came too late: the connection is closed.
func (c *guest) asks() bool { return c.silent.Swap(answering) != left }

// leaveIfIdle closes the connection if a request has been awaited, or a piece of an answer has waited to be taken, since before that time. It
// reports whether it did.
func (c *guest) leaveIfIdle(before int64) bool {
	silent, offers := c.silent.Load(), c.offers.Load()
	if silent > 0 && silent < before && c.silent.CompareAndSwap(silent, left) || offers > 0 && offers < before {
		_ = c.Close()
		return true
	}
	return false
}

// Read implements net.Conn. The first behind an answer begins to await a request.
func (c *guest) Read(p []byte) (int, error) {
	c.silent.CompareAndSwap(answering, c.gate.now())
	return c.Conn.Read(p)
}

// Write implements net.Conn. It writes in pieces, each of which the client has to take in time.
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
