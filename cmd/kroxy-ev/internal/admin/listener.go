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
	"syscall"
	"time"

	"github.com/valyala/fasthttp"
	"golang.org/x/sys/unix"
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
	fullTimeout  = 2 * time.Second        // to receive a request or send a piece of an answer while all connections are in use
	leastTimeout = 250 * time.Millisecond // lower bound of fullTimeout's reductions while idle clients keep coming
	piece        = 64 << 10               // bytes of an answer that the client must take within that time
	lingerTime   = 5 * time.Second        // for a client to take the answer to a request that was not read to its end; longer than fullTimeout
	fullPause    = 100 * time.Millisecond // between two searches for idle clients while all connections are in use
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
	rules   atomic.Pointer[hashedRules]

	http   fasthttp.Server
	socket *limitListener
	served chan struct{} // closed when accepting has ended
}

// hashedRules is Rules and the hash that tokens are compared by.
type hashedRules struct {
	Rules
	sum [sha256.Size]byte
}

// NewListener makes a Listener for a listening socket, which it owns. Address is the socket's address, or the zero value for a Unix socket.
// Connections bounds the open connections; further clients wait to be accepted. Requests are not answered before Start.
func NewListener(socket net.Listener, address netip.Addr, connections int, b Backend, log *slog.Logger) *Listener {
	l := &Listener{backend: b, flights: newFlights(), log: log, address: address, socket: newLimitListener(socket, connections), served: make(chan struct{})}
	l.http = fasthttp.Server{
		Handler: l.handle, ErrorHandler: l.malformed, Name: "kroxy-ev", Logger: quiet{},
		Concurrency: 2 * connections, ReadTimeout: readTimeout, WriteTimeout: writeTimeout, IdleTimeout: idleTimeout,
		ReadBufferSize: maxHead, MaxRequestBodySize: maxBody, ReduceMemoryUsage: true, CloseOnShutdown: true,
	}
	return l
}

// SetRules changes the rules from the next request on. It may be called from any goroutine, and must be called before Start.
func (l *Listener) SetRules(r Rules) { l.rules.Store(&hashedRules{r, sha256.Sum256(r.Token)}) }

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
func (r *hashedRules) admits(authorization []byte) bool {
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

// limitListener is a listening socket that bounds the open connections; further clients wait in the socket's queue. When the bound is reached, it
// closes connections that have been idle for fullTimeout, without sending a request or taking any of their answer: otherwise a few dozen idle
// clients could keep all others out. If idle clients replace them, that time is halved, down to leastTimeout: a client with a request has
// usually sent it by the time it is accepted.
type limitListener struct {
	net.Listener
	room    chan struct{} // has an element per open connection
	closed  chan struct{}
	since   time.Time     // when the listener's clock began
	limit   time.Duration // how long a client may be idle while there is no room; used only by Accept
	evicted int64         // when a client was last evicted, on the listener's clock; used only by Accept

	mu    sync.Mutex
	conns map[*clientConn]struct{}
}

func newLimitListener(l net.Listener, connections int) *limitListener {
	return &limitListener{
		Listener: l, room: make(chan struct{}, connections), closed: make(chan struct{}),
		since: time.Now(), limit: fullTimeout, conns: make(map[*clientConn]struct{}),
	}
}

// now returns the time on the listener's monotonic clock: at least one nanosecond.
func (l *limitListener) now() int64 { return int64(time.Since(l.since)) + 1 }

// Accept implements net.Listener. It fails only after shut.
func (l *limitListener) Accept() (net.Conn, error) {
	for {
		if !l.enter() {
			return nil, io.EOF // tells fasthttp that the listener was closed
		}
		c, err := l.Listener.Accept()
		if err == nil {
			in := &clientConn{Conn: c, listener: l}
			in.awaiting.Store(l.now())
			l.mu.Lock()
			l.conns[in] = struct{}{}
			l.mu.Unlock()
			return in, nil
		}
		<-l.room
		select {
		case <-l.closed:
			return nil, io.EOF
		case <-time.After(acceptPause):
		}
	}
}

// enter waits until there is room for one more connection. It returns false after shut.
func (l *limitListener) enter() bool {
	if l.now()-l.evicted > int64(2*fullTimeout) {
		l.limit = fullTimeout
	}
	for {
		select {
		case l.room <- struct{}{}:
			return true
		case <-l.closed:
			return false
		case <-time.After(fullPause):
			if l.evict() {
				l.limit, l.evicted = max(l.limit/2, leastTimeout), l.now()
			}
		}
	}
}

// evict closes the connections that have been idle for longer than the limit. It reports whether there were any.
func (l *limitListener) evict() (found bool) {
	before := l.now() - int64(l.limit)
	for _, c := range l.open() {
		if c.closeIfIdle(before) {
			found = true
		}
	}
	return found
}

// crowded reports whether more than half of the connections are in use: then connections are closed after one answer.
func (l *limitListener) crowded() bool { return len(l.room) > cap(l.room)/2 }

// shut ends accepting. It may be called again.
func (l *limitListener) shut() {
	l.mu.Lock()
	defer l.mu.Unlock()
	select {
	case <-l.closed:
	default:
		close(l.closed)
		_ = l.Close()
	}
}

// closeAll closes all connections.
func (l *limitListener) closeAll() {
	for _, c := range l.open() {
		_ = c.closeNow()
	}
}

// open returns the open connections.
func (l *limitListener) open() []*clientConn {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Collect(maps.Keys(l.conns))
}

// clientConn is a connection accepted by a limitListener.
type clientConn struct {
	net.Conn
	listener *limitListener
	once     sync.Once
	unread   atomic.Bool  // the request was refused before it was read to its end
	reading  atomic.Bool  // a Read waits, or is about to return
	awaiting atomic.Int64 // since when a request is awaited, in nanoseconds on the listener's clock; or answering, or closedIdle
	writing  atomic.Int64 // since when a piece of an answer waits to be taken, on the same clock; 0 if none does
}

// Values of clientConn.awaiting that are not times.
const (
	answering  = 0
	closedIdle = -1 // closed because it was idle for too long
)

// beginRequest notes that a request has arrived. It returns false if the connection was closed before.
func (c *clientConn) beginRequest() bool { return c.awaiting.Swap(answering) != closedIdle }

// closeIfIdle closes the connection if it has waited since before that time for a request, or for the client to take a piece of an answer. It
// reports whether it did.
func (c *clientConn) closeIfIdle(before int64) bool {
	awaiting, writing := c.awaiting.Load(), c.writing.Load()
	if awaiting > 0 && awaiting < before && c.isSilent() && c.awaiting.CompareAndSwap(awaiting, closedIdle) || writing > 0 && writing < before {
		_ = c.closeNow()
		return true
	}
	return false
}

// isSilent reports whether it is the client that a request waits for: a Read waits, and nothing has arrived. A process that stood still (SIGSTOP, an
// overloaded machine) must not take a client for silent whose request has arrived in the meantime.
func (c *clientConn) isSilent() bool {
	if c.unread.Load() {
		return true // what it sends is not a request any more
	}
	if !c.reading.Load() {
		return false
	}
	socket, ok := c.Conn.(syscall.Conn)
	if !ok {
		return true
	}
	raw, err := socket.SyscallConn()
	if err != nil {
		return true
	}
	n := 0
	err = raw.Control(func(fd uintptr) { n, _ = unix.IoctlGetInt(int(fd), unix.SIOCINQ) })
	return err != nil || n == 0
}

// Read implements net.Conn. The first Read after an answer begins the wait for the next request.
func (c *clientConn) Read(p []byte) (int, error) {
	c.awaiting.CompareAndSwap(answering, c.listener.now())
	c.reading.Store(true)
	defer c.reading.Store(false)
	return c.Conn.Read(p)
}

// Write implements net.Conn. It writes in pieces, each of which the client must take in time.
func (c *clientConn) Write(p []byte) (n int, err error) {
	defer c.writing.Store(0)
	for n < len(p) && err == nil {
		c.writing.Store(c.listener.now())
		var m int
		m, err = c.Conn.Write(p[n:min(len(p), n+piece)])
		n += m
	}
	return n, err
}

// Close implements net.Conn. If it closed a socket with unread bytes, the kernel would send RST, and the client might lose the answer (RFC 9112
// section 9.6): so it first ends the answer, and discards what the client still sends, for at most lingerTime.
func (c *clientConn) Close() error {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok && c.unread.Load() && half.CloseWrite() == nil {
		_ = c.SetReadDeadline(time.Now().Add(lingerTime))
		_, _ = io.Copy(io.Discard, c.Conn)
	}
	return c.closeNow()
}

// closeNow closes the connection at once. Any goroutine may call it.
func (c *clientConn) closeNow() error {
	c.once.Do(func() {
		c.listener.mu.Lock()
		delete(c.listener.conns, c)
		c.listener.mu.Unlock()
		<-c.listener.room
	})
	return c.Conn.Close()
}
