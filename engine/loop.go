package engine

import (
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/panjf2000/gnet/v2/pkg/netpoll"
	"golang.org/x/sys/unix"
)

// Options configures a Loop.
type Options struct {
	// MaxPipes bounds the pipes of this loop, of two descriptors each; zero means that nothing is spliced.
	MaxPipes int
	// MaxSpent bounds the sockets, of each address family, that this loop keeps for reuse; see Conn.CloseEnded.
	MaxSpent int
	// Ran is called on the loop after each wait, with the time that the loop was busy with the batch of events before the wait, and
	// the time that it has waited. It may be nil, which saves one reading of the clock per batch.
	Ran func(busy, waited time.Duration)
}

// Loop is one reactor: an epoll set, the connections in it by descriptor, a timer wheel, and a queue of tasks from other
// goroutines. Run it on its own goroutine. All methods except Post and Stop may only be called on that goroutine or, until Run
// begins, on the goroutine that made the loop.
type Loop struct {
	poller  *netpoll.Poller
	epfd    int
	conns   []*Conn // by descriptor
	events  []unix.EpollEvent
	again   []*Conn // connections whose handlers are called again after this batch
	turn    []*Conn // the again list being served
	wheel   wheel
	epoch   time.Time
	base    int64 // epoch on CLOCK_MONOTONIC, in ms
	began   int64 // when this batch began, in ns since epoch
	recent  int64 // when the clock was last read, in ns since epoch
	now     int64 // began in ms
	ran     func(busy, waited time.Duration)
	waiter  waiter
	scratch []byte
	buffers bufferPool
	pipes   pipePool
	spent   spentSockets
	short   []func() bool // see WhenShort
	wanting []*Listener   // listeners that have paused since they last accepted, the longest wait first

	timerfd Conn
	armed   int64 // the tick at which timerfd is set to fire; see setTimer
	due     int64 // when it fired, if its timers have not been served since; otherwise Never

	wakefd  Conn
	waking  sync.RWMutex // held while wakefd is written to, or closed
	woken   atomic.Bool
	mu      sync.Mutex // guards tasks
	tasks   []func()
	spare   []func()
	stopped bool
}

// Never is a deadline that never comes, in ms on a loop's clock. It is later than every tick, too.
const Never int64 = 1<<63 - 1

// NewLoop makes a loop; Close releases it.
func NewLoop(o Options) (*Loop, error) {
	l := &Loop{
		events:  make([]unix.EpollEvent, 256),
		epoch:   time.Now(),
		base:    monotonic(),
		scratch: make([]byte, ScratchSize),
		pipes:   pipePool{max: o.MaxPipes},
		ran:     o.Ran,
		armed:   Never,
		due:     Never,
	}
	l.spent = spentSockets{loop: l, max: o.MaxSpent}
	l.spent.timer.Handler = &l.spent
	var err error
	if l.poller, err = netpoll.OpenPoller(); err != nil {
		return nil, fmt.Errorf("engine: while opening a poller: %w", err)
	}
	if l.epfd, err = epollFD(l.poller); err != nil {
		_ = l.poller.Close()
		return nil, err
	}
	if err := l.openSpecial(); err != nil {
		l.Close()
		return nil, err
	}
	return l, nil
}

// openSpecial adds the descriptors that are not connections: the timerfd and the eventfd that wakes the loop.
func (l *Loop) openSpecial() error {
	fd, err := unix.TimerfdCreate(unix.CLOCK_MONOTONIC, unix.TFD_NONBLOCK|unix.TFD_CLOEXEC)
	if err != nil {
		return fmt.Errorf("engine: while making a timer: %w", os.NewSyscallError("timerfd_create", err))
	}
	if err := l.watch(&l.timerfd, int32(fd), timerHandler{l}, true); err != nil {
		return err
	}
	fd, err = unix.Eventfd(0, unix.EFD_NONBLOCK|unix.EFD_CLOEXEC)
	if err != nil {
		return fmt.Errorf("engine: while making an eventfd: %w", os.NewSyscallError("eventfd", err))
	}
	return l.watch(&l.wakefd, int32(fd), wakeHandler{l}, true)
}

// Close releases the loop's own descriptors. The connections in it must have been closed, and Run must have returned. Other goroutines may
// still call Post and Stop.
func (l *Loop) Close() {
	l.timerfd.Close()
	l.waking.Lock()
	l.wakefd.Close()
	l.waking.Unlock()
	l.pipes.closeIdle()
	l.spent.close(Never)
	_ = l.poller.Close()
}

// Run serves the loop until Stop, and then returns nil. It returns an error if the loop cannot continue. It raises GOMAXPROCS, if
// necessary, to one more than the number of running loops.
func (l *Loop) Run() error {
	takeProcessor()
	defer giveProcessor()
	defer l.waiter.hold(false)
	for l.readClock(); !l.stopped; {
		n, errno := l.wait()
		if errno != 0 {
			if errno == unix.EINTR {
				continue
			}
			return fmt.Errorf("engine: while waiting for events: %w", os.NewSyscallError("epoll_wait", errno))
		}
		for i := range l.events[:n] {
			ev := &l.events[i]
			// An earlier handler in this batch may have closed the connection and opened the descriptor anew. Then this event is a
			// stale hint, which does no harm.
			if c := l.conns[ev.Fd]; c != nil {
				c.signal(ev.Events)
				c.handler.Ready(c)
			}
		}
		if full := n == len(l.events); l.due != Never && (!full || l.now-l.due >= maxTimersWait) {
			l.expire()
		} else if full && n < maxEvents {
			l.events = make([]unix.EpollEvent, 2*n)
		}
		l.runAgain()
	}
	return nil
}

// wait waits for events, or only checks for them if other work is pending, and reads the clock.
func (l *Loop) wait() (n int, errno syscall.Errno) {
	var from int64
	if l.ran != nil {
		from = l.Clock()
	}
	if len(l.again) > 0 || l.due != Never {
		n, errno = l.waiter.peek(l.epfd, l.events, l.now)
	} else {
		n, errno = l.waiter.wait(l.epfd, l.events, l.now)
	}
	before := l.began
	l.readClock()
	if l.ran != nil {
		l.ran(time.Duration(from-before), time.Duration(l.began-from))
	}
	return n, errno
}

// maxEvents bounds the events of a batch.
const maxEvents = 1024

// runAgain calls the handlers that Again has queued.
func (l *Loop) runAgain() {
	l.again, l.turn = l.turn[:0], l.again
	for i, c := range l.turn {
		l.turn[i] = nil
		if c.bits&bitQueued != 0 && c.loop == l {
			c.bits &^= bitQueued
			c.handler.Ready(c)
		}
	}
}

// Again makes the loop call c's handler once more after this batch of events. A handler that stops early to let other
// connections run must call it, because the edge that woke the handler does not come again.
func (l *Loop) Again(c *Conn) {
	if c.bits&bitQueued == 0 {
		c.bits |= bitQueued
		l.again = append(l.again, c)
	}
}

// readClock reads the monotonic clock, which time.Since and the timerfd also use. Setting the time of day, by NTP or by hand, moves no
// deadline. All times that this program compares or adds to are monotonic, except the dates of certificates;
// cmd/kroxy-ev/clocks_test.go lists the few places that may read the time of day.
func (l *Loop) readClock() {
	l.began = l.Clock()
	l.now = l.began / int64(time.Millisecond)
}

// Clock reads the loop's clock, in ns, for measurements that need more precision than a deadline. It costs a vDSO clock reading.
func (l *Loop) Clock() int64 {
	l.recent = int64(time.Since(l.epoch))
	return l.recent
}

// Recent returns the last reading of the loop's clock, in ns: from the beginning of this batch of events, or later. It costs nothing.
func (l *Loop) Recent() int64 { return l.recent }

// Began returns when the current batch of events began, in ns on the loop's clock. It costs nothing.
func (l *Loop) Began() int64 { return l.began }

// Now returns the loop's clock: milliseconds since the loop was made, monotonic, read once per batch of events.
func (l *Loop) Now() int64 { return l.now }

// Monotonic returns the loop's clock in a form that all processes of the machine share: milliseconds on CLOCK_MONOTONIC, also
// read once per batch of events.
func (l *Loop) Monotonic() int64 { return l.base + l.now }

// monotonic reads CLOCK_MONOTONIC, in ms.
func monotonic() int64 {
	var t unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_MONOTONIC, &t) // cannot fail
	return t.Nano() / int64(time.Millisecond)
}

// Scratch returns the loop's read buffer of ScratchSize bytes. Any later call on the loop may overwrite it.
func (l *Loop) Scratch() []byte { return l.scratch }

// Buffer returns a buffer of n > 0 bytes, for bytes that must outlive the current call.
func (l *Loop) Buffer(n int) []byte { return l.buffers.get(n) }

// FreeBuffer takes back a buffer from Buffer.
func (l *Loop) FreeBuffer(b []byte) { l.buffers.put(b) }

// WhenShort registers giveUp, which is called on the loop when descriptors have run out and a client waits for one. giveUp must close
// descriptors that are kept for later, and report whether there were any.
func (l *Loop) WhenShort(giveUp func() bool) { l.short = append(l.short, giveUp) }

// giveUp closes descriptors that are kept for later, because descriptors have run out. It reports whether there were any.
func (l *Loop) giveUp() bool {
	had := l.spent.giveUp()
	for _, giveUp := range l.short {
		had = giveUp() || had
	}
	return had
}

// TakePipe returns an empty pipe, or nil if the loop has reached MaxPipes; the caller then copies instead.
func (l *Loop) TakePipe() *Pipe { return l.pipes.take() }

// GivePipe takes back a pipe; a pipe that still holds bytes is destroyed.
func (l *Loop) GivePipe(p *Pipe) { l.pipes.give(p) }

// Attach makes c the owner of fd, a non-blocking connected socket, and registers it, edge-triggered, for reading. c is assumed to
// be writable, as a new connection is. On an error the caller still owns fd.
func (l *Loop) Attach(c *Conn, fd int32, h Handler) error {
	l.adopt(c, fd, h)
	if err := l.poller.AddRead(&netpoll.PollAttachment{FD: int(fd)}, true); err != nil {
		l.detach(c)
		return fmt.Errorf("engine: while registering a connection: %w", err)
	}
	c.bits = bitWritable
	return nil
}

// attachConnecting is like Attach, for a socket whose connection is not yet established.
func (l *Loop) attachConnecting(c *Conn, fd int32, h Handler) error {
	l.adopt(c, fd, h)
	if err := l.poller.AddReadWrite(&netpoll.PollAttachment{FD: int(fd)}, true); err != nil {
		l.detach(c)
		return fmt.Errorf("engine: while registering a connection: %w", err)
	}
	c.bits = bitWatchesOut
	return nil
}

// attachSpent is like Attach if stands is true, otherwise like attachConnecting, for a socket that is already in the epoll set.
func (l *Loop) attachSpent(c *Conn, s spentSocket, stands bool, h Handler) error {
	l.adopt(c, s.fd, h)
	if s.watchesOut {
		c.bits = bitWatchesOut
	}
	if stands {
		c.bits |= bitWritable
	} else if !s.watchesOut && !l.watchOut(c) {
		l.detach(c)
		return fmt.Errorf("engine: while registering a connection: %w", unix.ENOMEM)
	}
	return nil
}

// watchOut registers c for write events, so that c's handler is called when c is writable again: the second and last epoll_ctl
// call for a connection. It reports whether it succeeded.
func (l *Loop) watchOut(c *Conn) bool {
	c.bits |= bitWatchesOut
	return l.poller.ModReadWrite(&netpoll.PollAttachment{FD: int(c.fd)}, true) == nil
}

func (l *Loop) adopt(c *Conn, fd int32, h Handler) {
	for int(fd) >= len(l.conns) {
		l.conns = append(l.conns, make([]*Conn, max(64, len(l.conns)))...)
	}
	l.conns[fd] = c
	c.loop, c.handler, c.layer, c.fd, c.bits, c.family = l, h, nil, fd, 0, 0
}

// watch makes c the owner of fd and registers it for reading only. It closes fd on an error.
func (l *Loop) watch(c *Conn, fd int32, h Handler, edge bool) error {
	l.adopt(c, fd, h)
	err := l.watchAgain(c, edge)
	if err != nil {
		c.Close()
	}
	return err
}

// watchAgain registers the descriptor that c owns and that is not in the epoll set.
func (l *Loop) watchAgain(c *Conn, edge bool) error {
	if err := l.poller.AddRead(&netpoll.PollAttachment{FD: int(c.fd)}, edge); err != nil {
		return fmt.Errorf("engine: while registering a descriptor: %w", err)
	}
	return nil
}

// detach removes c from the loop's table. Closing the descriptor removes it from the epoll set.
func (l *Loop) detach(c *Conn) {
	l.conns[c.fd] = nil
	c.loop, c.handler, c.layer, c.bits = nil, nil, nil, 0
}

// Arm schedules a call of t's handler at deadline, in ms on the loop's clock, or up to one tick (16 ms) later. If t is armed
// already, Arm moves it.
func (l *Loop) Arm(t *Timer, deadline int64) {
	if tick := l.wheel.arm(t, deadline); tick < l.armed {
		l.setTimer(tick)
	}
}

// Disarm stops t. Disarming a timer that is not armed does nothing.
func (l *Loop) Disarm(t *Timer) {
	if t.linked() {
		l.wheel.remove(t)
	}
}

// setTimer sets the timerfd to fire at tick.
func (l *Loop) setTimer(tick int64) {
	l.armed = tick
	wait := max(time.Duration(tick*tickMillis)*time.Millisecond-time.Since(l.epoch), 1)
	spec := unix.ItimerSpec{Value: unix.NsecToTimespec(int64(wait))}
	_ = unix.TimerfdSettime(int(l.timerfd.fd), 0, &spec, nil)
}

// timerHandler notes that the timerfd has fired.
type timerHandler struct{ l *Loop }

// Ready implements Handler. The timerfd is edge-triggered and set anew each time, so it need not be read.
func (h timerHandler) Ready(*Conn) { h.l.due = min(h.l.due, h.l.now) }

// maxTimersWait is how long, in ms, full batches of events may delay timers.
const maxTimersWait = 100

// expire runs the timers that are due. It runs after all pending events. A process that stood still (SIGSTOP, a debugger, a
// suspended or overloaded machine) finds that bytes have arrived and that deadlines have passed in the meantime. It must not
// take a peer for silent whose bytes have arrived.
func (l *Loop) expire() {
	l.armed, l.due = Never, Never
	l.wheel.advance(l.now)
	if tick, ok := l.wheel.next(); ok && tick < l.armed {
		l.setTimer(tick)
	}
}

// Expired implements Handler; the timerfd has no timers of its own.
func (timerHandler) Expired(*Timer) {}

// Post schedules a call of fn on the loop's goroutine. It never blocks and may be called from any goroutine, including the loop's
// own. Functions posted after Stop may never be called.
func (l *Loop) Post(fn func()) {
	l.mu.Lock()
	l.tasks = append(l.tasks, fn)
	l.mu.Unlock()
	if l.woken.CompareAndSwap(false, true) {
		l.wake()
	}
}

// wake makes the loop run the posted functions. It must not write when the loop is closed: the descriptor's number may then belong to
// somebody's connection, which would carry these bytes.
func (l *Loop) wake() {
	l.waking.RLock()
	defer l.waking.RUnlock()
	if l.wakefd.Open() {
		one := [8]byte{1}
		_, _ = unix.Write(int(l.wakefd.fd), one[:])
	}
}

// Stop makes Run return after the current batch of events. It may be called from any goroutine.
func (l *Loop) Stop() { l.Post(func() { l.stopped = true }) }

// wakeHandler runs the posted functions.
type wakeHandler struct{ l *Loop }

// Ready implements Handler. The eventfd is edge-triggered: each write makes an edge, so it need not be read.
func (h wakeHandler) Ready(*Conn) {
	l := h.l
	l.woken.Store(false) // before the tasks are taken, so that a later Post wakes the loop again
	l.mu.Lock()
	tasks := l.tasks
	l.tasks, l.spare = l.spare[:0], tasks
	l.mu.Unlock()
	for i, fn := range tasks {
		tasks[i] = nil
		fn()
	}
}

// Expired implements Handler; the eventfd has no timers.
func (wakeHandler) Expired(*Timer) {}
