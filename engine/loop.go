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
	// MaxPipes bounds the pipes of this loop, each two descriptors; zero means that nothing is spliced.
	MaxPipes int
	// MaxSpent bounds the sockets of this loop that wait to be used again, of each address family; see Conn.CloseEnded.
	MaxSpent int
	// Ran is told after each wait, on the loop, how long the batch of events before it had kept the loop busy, and how long the loop
	// has waited since. Nil is allowed, and costs a reading of the clock less for each batch.
	Ran func(busy, waited time.Duration)
}

// Loop is one reactor: an epoll set, the connections in it by descriptor, a timer wheel, and a queue of tasks from other
// goroutines. Run it on a goroutine of its own; all methods but Post and Stop belong to that goroutine (and to the one
// that made the loop, until Run begins).
type Loop struct {
	poller  *netpoll.Poller
	epfd    int
	conns   []*Conn // by descriptor
	events  []unix.EpollEvent
	again   []*Conn // connections that have more to do after this batch
	turn    []*Conn // the again list being served
	wheel   wheel
	epoch   time.Time
	base    int64 // epoch on CLOCK_MONOTONIC, in ms
	began   int64 // ns since epoch, read once a batch
	recent  int64 // likewise, as it was read last
	now     int64 // the same in ms
	ran     func(busy, waited time.Duration)
	waiter  waiter
	scratch []byte
	buffers bufferPool
	pipes   pipePool
	spent   spentSockets
	short   []func() bool // see WhenShort
	wanting []*Listener   // that have had to pause since they last accepted, the longest ago first

	timerfd Conn
	armed   int64 // the tick at which timerfd is set to fire; see setTimer
	due     int64 // when it fired, if its timers have not been served since; else Never

	wakefd  Conn
	woken   atomic.Bool
	mu      sync.Mutex // guards tasks
	tasks   []func()
	spare   []func()
	stopped bool
}

// Never is a deadline that does not come, in ms on a loop's clock. It is later than every tick, too.
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

// openSpecial adds the descriptors that are not connections: the timer and the wake-up.
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
		return fmt.Errorf("engine: while making a wake-up: %w", os.NewSyscallError("eventfd", err))
	}
	return l.watch(&l.wakefd, int32(fd), wakeHandler{l}, true)
}

// Close releases the loop's own descriptors. The connections in it must have been closed, and Run must have returned.
func (l *Loop) Close() {
	l.timerfd.Close()
	l.wakefd.Close()
	l.pipes.closeIdle()
	l.spent.close(Never)
	_ = l.poller.Close()
}

// Run serves the loop until Stop. It returns nil then, or the reason why the loop cannot go on. It raises GOMAXPROCS, if that is
// necessary, to one more than there are loops that run.
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
			// A connection may have been closed earlier in this batch, and its descriptor opened anew: then this is a
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

// wait waits for events, not if there is more to do anyway, and reads the clock.
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

// maxEvents bounds a batch.
const maxEvents = 1024

// runAgain serves the connections that gave way to others although they had more to do.
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

// Again has c's handler called once more after this batch of events: what a handler asks for when it stops for the sake
// of other connections, since the edge that woke it will not come again.
func (l *Loop) Again(c *Conn) {
	if c.bits&bitQueued == 0 {
		c.bits |= bitQueued
		l.again = append(l.again, c)
	}
}

// readClock reads a monotonic clock, as time.Since does and as the timerfd has it. Nobody can set that one: a jump of the time of day, by
// NTP or by hand, moves no deadline. All times that this program compares or adds to are such, but for dates of certificates;
// cmd/kroxy-ev/clocks_test.go has the few places that may read the time of day.
func (l *Loop) readClock() {
	l.began = l.Clock()
	l.now = l.began / int64(time.Millisecond)
}

// Clock reads the loop's clock, in ns, for what is to be measured more exactly than a deadline. It costs what reading the vDSO's clock does.
func (l *Loop) Clock() int64 {
	l.recent = int64(time.Since(l.epoch))
	return l.recent
}

// Recent is the loop's clock, in ns, as it was read last: at the beginning of this batch of events, or later. It costs nothing.
func (l *Loop) Recent() int64 { return l.recent }

// Began is when the present batch of events was there, in ns on the loop's clock. It costs nothing.
func (l *Loop) Began() int64 { return l.began }

// Now is the loop's clock: milliseconds since the loop was made, monotonic, read once a batch of events.
func (l *Loop) Now() int64 { return l.now }

// Monotonic is the loop's clock as all processes of the machine have it: milliseconds on CLOCK_MONOTONIC, read once a batch
// of events too.
func (l *Loop) Monotonic() int64 { return l.base + l.now }

// monotonic reads CLOCK_MONOTONIC, in ms.
func monotonic() int64 {
	var t unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_MONOTONIC, &t) // it is always there
	return t.Nano() / int64(time.Millisecond)
}

// Scratch is the loop's read buffer, ScratchSize bytes. Its contents are anybody's after the current call.
func (l *Loop) Scratch() []byte { return l.scratch }

// Buffer returns a buffer of n > 0 bytes for bytes that must outlive the current call.
func (l *Loop) Buffer(n int) []byte { return l.buffers.get(n) }

// FreeBuffer takes back what Buffer returned.
func (l *Loop) FreeBuffer(b []byte) { l.buffers.put(b) }

// WhenShort has giveUp called, on the loop, when descriptors have run out and a client waits for one: it is to close what is kept for
// later, and to report whether there was something.
func (l *Loop) WhenShort(giveUp func() bool) { l.short = append(l.short, giveUp) }

// giveUp closes what is kept for later, because descriptors have run out. It reports whether there was something.
func (l *Loop) giveUp() bool {
	had := l.spent.giveUp()
	for _, giveUp := range l.short {
		had = giveUp() || had
	}
	return had
}

// TakePipe returns an empty pipe, or nil if the loop has as many as it may: then copy.
func (l *Loop) TakePipe() *Pipe { return l.pipes.take() }

// GivePipe takes back a pipe; one with bytes left in it is destroyed.
func (l *Loop) GivePipe(p *Pipe) { l.pipes.give(p) }

// Attach makes c own fd, a non-blocking connected socket, and registers it, edge-triggered, for reading. It is taken for
// writable, as a new connection is. On an error fd stays the caller's.
func (l *Loop) Attach(c *Conn, fd int32, h Handler) error {
	l.adopt(c, fd, h)
	if err := l.poller.AddRead(&netpoll.PollAttachment{FD: int(fd)}, true); err != nil {
		l.detach(c)
		return fmt.Errorf("engine: while registering a connection: %w", err)
	}
	c.bits = bitWritable
	return nil
}

// attachConnecting is Attach for a socket whose connection is being made.
func (l *Loop) attachConnecting(c *Conn, fd int32, h Handler) error {
	l.adopt(c, fd, h)
	if err := l.poller.AddReadWrite(&netpoll.PollAttachment{FD: int(fd)}, true); err != nil {
		l.detach(c)
		return fmt.Errorf("engine: while registering a connection: %w", err)
	}
	c.bits = bitWatchesOut
	return nil
}

// attachSpent is Attach or attachConnecting, as stands says, for a socket that is in the epoll set.
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

// watchOut has c's handler called when c can be written again: the second and last time that epoll_ctl hears of a
// connection. It reports whether that worked.
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

// watch makes c own fd and registers it for reading only. It closes fd on an error.
func (l *Loop) watch(c *Conn, fd int32, h Handler, edge bool) error {
	l.adopt(c, fd, h)
	err := l.watchAgain(c, edge)
	if err != nil {
		c.Close()
	}
	return err
}

// watchAgain registers an owned descriptor that is not in the epoll set.
func (l *Loop) watchAgain(c *Conn, edge bool) error {
	if err := l.poller.AddRead(&netpoll.PollAttachment{FD: int(c.fd)}, edge); err != nil {
		return fmt.Errorf("engine: while registering a descriptor: %w", err)
	}
	return nil
}

// detach forgets c. Closing the descriptor removes it from the epoll set.
func (l *Loop) detach(c *Conn) {
	l.conns[c.fd] = nil
	c.loop, c.handler, c.layer, c.bits = nil, nil, nil, 0
}

// Arm has t's handler called at deadline, in ms on the loop's clock, or up to a tick (16 ms) later. Arming an armed
// timer moves it.
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

// setTimer has the timerfd fire at tick.
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

// maxTimersWait is how long, in ms, timers wait for batches that are full.
const maxTimersWait = 100

// expire serves the timers whose time has come. It comes behind all events: a process that stood still (SIGSTOP, a debugger, a
// machine that was suspended or too busy) finds what has come meanwhile and deadlines that have passed meanwhile at once, and must
// not take a peer for silent whose bytes are there.
func (l *Loop) expire() {
	l.armed, l.due = Never, Never
	l.wheel.advance(l.now)
	if tick, ok := l.wheel.next(); ok && tick < l.armed {
		l.setTimer(tick)
	}
}

// Expired implements Handler; the timerfd has no timers of its own.
func (timerHandler) Expired(*Timer) {}

// Post has fn called on the loop's goroutine, soon. It never waits and may be called from any goroutine, the loop's own
// included. What is posted after Stop may never be called.
func (l *Loop) Post(fn func()) {
	l.mu.Lock()
	l.tasks = append(l.tasks, fn)
	l.mu.Unlock()
	if l.woken.CompareAndSwap(false, true) {
		one := [8]byte{1}
		_, _ = unix.Write(int(l.wakefd.fd), one[:])
	}
}

// Stop has Run return after the current batch of events. It may be called from any goroutine.
func (l *Loop) Stop() { l.Post(func() { l.stopped = true }) }

// wakeHandler runs the tasks that were posted.
type wakeHandler struct{ l *Loop }

// Ready implements Handler. The eventfd is edge-triggered: each write makes an edge, so it need not be read.
func (h wakeHandler) Ready(*Conn) {
	l := h.l
	l.woken.Store(false) // before the tasks are taken: what is posted later wakes again
	l.mu.Lock()
	tasks := l.tasks
	l.tasks, l.spare = l.spare[:0], tasks
	l.mu.Unlock()
	for i, fn := range tasks {
		tasks[i] = nil
		fn()
	}
}

// Expired implements Handler; the wake-up has no timers.
func (wakeHandler) Expired(*Timer) {}
