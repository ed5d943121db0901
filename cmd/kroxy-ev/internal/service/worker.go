package service

import (
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/goccy/go-json"
	"golang.org/x/sys/unix"

	"kroxy-ev/balance"
	"kroxy-ev/cmd/kroxy-ev/internal/proxy"
	"kroxy-ev/config"
	"kroxy-ev/engine"
	"kroxy-ev/engine/metrics"
	"kroxy-ev/engine/supervise"
)

// worker is a process that serves: a proxy with one reactor, controlled by a master.
type worker struct {
	link      *supervise.Worker
	log       *slog.Logger
	errors    *errorLog
	proxy     *proxy.Proxy // nil before the first Prepare
	serving   bool
	shared    proxy.Keys // keys of the listening sockets that other processes accept from too
	successor bool       // a new master has the listening sockets, so other processes accept from all of them
	shutdown  *shutdown  // nil unless a drain has begun and was not revoked
	heartbeat *heartbeat

	// Made by Prepare, until Commit or Abort.
	next    *proxy.Snapshot
	out     *errorOutput
	sockets proxy.Sockets
	sharing proxy.Keys // the next value of shared

	toldDebug bool // a notice has set the log level since the plan was made

	ending sync.Once
}

// workerProcs is the number of threads that run Go code in a worker: one for its loop, one for everything else.
const workerProcs = 2

// ServeWorker runs a worker until its master ends it.
func ServeWorker(link *supervise.Worker, stderr io.Writer) error {
	// A terminal sends signals to the whole process group; only the master acts on them.
	signal.Ignore(unix.SIGINT, unix.SIGQUIT, unix.SIGHUP, unix.SIGUSR1, unix.SIGUSR2, unix.SIGTTIN)
	errs := openLog(stderr)
	w := &worker{link: link, log: errs.log.With("worker", link.Slot), errors: errs}
	runtime.GOMAXPROCS(min(workerProcs, runtime.GOMAXPROCS(0)))
	fail(atStart, w)
	err := link.Serve(w)
	errs.close()
	return err
}

// Prepare implements supervise.Handler.
func (w *worker) Prepare(body []byte, files []int) error {
	var a assignment
	err := json.Unmarshal(body, &a)
	if err == nil && len(files) != 2+len(a.Sockets) {
		err = fmt.Errorf("%d files for %d sockets", len(files), len(a.Sockets))
	}
	if err != nil {
		closeAll(files)
		return fmt.Errorf("kroxy-ev: this worker does not understand its assignment: %w", err)
	}
	counters, row, listening := files[0], files[1], make(proxy.Sockets)
	for i, key := range a.Sockets {
		listening[key] = []int{files[2+i]}
	}
	cfg, _, err := a.Source.ParseWith(a.PEM)
	if err != nil {
		closeAll(files)
		return err
	}
	proxy.Expand(cfg, a.Services)
	if w.proxy == nil {
		if err := w.errors.start(cfg); err != nil {
			closeAll(files)
			return err
		}
		if !w.toldDebug {
			w.errors.setDebug(a.Debug)
		}
		return w.prepareFirst(cfg, a, listening, counters, row)
	}
	_, _ = unix.Close(counters), unix.Close(row)
	if w.out, err = w.errors.prepare(cfg); err != nil {
		listening.Close()
		return err
	}
	if w.next, err = w.proxy.Prepare(cfg, a.resources()); err != nil {
		listening.Close()
		w.errors.discard(w.out)
		return err
	}
	w.sockets, w.sharing = listening, a.Shared
	return nil
}

// prepareFirst makes the proxy, which serves only after Commit.
func (w *worker) prepareFirst(cfg *config.Config, a assignment, listening proxy.Sockets, counters, row int) error {
	c, err := balance.MapCounters(counters)
	if err != nil {
		_ = unix.Close(row)
		listening.Close()
		return err
	}
	r, err := metrics.MapRow(row)
	if err != nil {
		listening.Close()
		return err
	}
	w.shared = a.Shared
	w.proxy, err = proxy.New(cfg, listening, proxy.Options{Counters: c, Rows: []int{a.Row}, Metrics: []*metrics.Row{r}, Worker: true, Resources: a.resources()}, w.log)
	if err == nil {
		w.errors.switched = w.proxy.ForgetRepeated
	}
	return err
}

// Commit implements supervise.Handler.
func (w *worker) Commit() {
	p := w.proxy
	if w.next == nil {
		w.serving = true
		w.heartbeat = &heartbeat{worker: w.link, loop: p.FirstLoop()}
		w.heartbeat.timer.Handler = w.heartbeat
		p.Start()
		go w.watch()
		fail(whenServing, w)
	} else {
		if w.shutdown != nil {
			if !w.shutdown.decide() {
				select {} // too late: this process is ending, and the master starts another
			}
			close(w.shutdown.back)
			w.shutdown = nil
			p.Stay()
		} else {
			p.Drop(w.sockets)
		}
		w.errors.commit(w.out, w.next.Config())
		if err := p.Commit(w.next, w.sockets); err != nil {
			w.log.Error("kroxy-ev: switching to a new configuration failed", "error", err)
		}
		w.next, w.out, w.sockets, w.shared = nil, nil, nil, w.sharing
	}
	every := p.Config().WatchdogTimeout / 4
	p.FirstLoop().Post(func() { w.heartbeat.start(every) })
}

// watch ends the process if its reactor fails.
func (w *worker) watch() {
	err := <-w.proxy.Failed()
	w.log.Error("kroxy-ev: the reactor failed", "error", err)
	w.end(ExitError)
}

// Abort implements supervise.Handler.
func (w *worker) Abort() {
	if w.next == nil {
		return // this process never served: the master stops it
	}
	w.proxy.Discard(w.next)
	w.errors.discard(w.out)
	w.sockets.Close()
	w.next, w.out, w.sockets = nil, nil, nil
}

// Drain implements supervise.Handler. The master enforces the timeout.
func (w *worker) Drain(time.Duration) {
	if !w.serving {
		w.end(ExitOK)
	}
	if w.shutdown != nil {
		return
	}
	w.shutdown = &shutdown{back: make(chan struct{})}
	drained := w.proxy.Drain
	if !w.successor {
		drained = func() <-chan struct{} { return w.proxy.Leave(w.shared) }
	}
	go w.endAfter(drained(), w.shutdown)
}

// endAfter ends the process when no session is left, unless the shutdown is revoked.
func (w *worker) endAfter(drained <-chan struct{}, p *shutdown) {
	select {
	case <-drained:
		if p.decide() {
			w.end(ExitOK)
		}
	case <-p.back:
	}
}

// shutdown is a drain of the whole process. It either ends the process or is revoked, whichever calls decide first.
type shutdown struct {
	back    chan struct{} // closed when the shutdown is revoked
	decided atomic.Bool
}

// decide returns true to its first caller only.
func (p *shutdown) decide() bool { return p.decided.CompareAndSwap(false, true) }

// Stop implements supervise.Handler.
func (w *worker) Stop() {
	if w.serving {
		done := w.proxy.Drain()
		w.proxy.Abort()
		<-done
	}
	w.end(ExitOK)
}

// Notice implements supervise.Handler.
func (w *worker) Notice(n supervise.Notice) {
	switch n {
	case supervise.ReopenLogs:
		if w.serving {
			w.proxy.Reopen()
		}
		w.errors.reopen()
	case noticeReplaced:
		w.successor = true
	case noticeDebugOn, noticeDebugOff:
		w.errors.setDebug(n == noticeDebugOn)
		w.toldDebug = true
	}
}

// Orphaned implements supervise.Handler.
func (w *worker) Orphaned() {
	w.log.Error("kroxy-ev: the master has died, this worker ends")
	if w.serving {
		w.proxy.Abort()
	}
	w.end(ExitError)
}

// end flushes the logs and ends the process. It does not return.
func (w *worker) end(status int) {
	w.ending.Do(func() {
		if w.serving {
			w.proxy.Close()
		}
		w.errors.close()
		os.Exit(status)
	})
	select {} // another goroutine is about to exit
}

// faultPoint is a point at which tests can make a worker fail: see fail.
type faultPoint int

const (
	atStart faultPoint = iota
	whenServing
)

const (
	// noticeReplaced tells workers that a new master has the listening sockets.
	noticeReplaced supervise.Notice = iota + 2
	// noticeDebugOn and noticeDebugOff set the log level to debug, and back.
	noticeDebugOn
	noticeDebugOff
)

// heartbeat tells the master that the loop is alive.
type heartbeat struct {
	worker *supervise.Worker
	loop   *engine.Loop
	timer  engine.Timer
	every  int64 // in ms; 0 means never
}

// start sets the interval of the heartbeat. It runs on the loop.
func (h *heartbeat) start(every time.Duration) {
	h.every = every.Milliseconds()
	h.Expired(nil)
}

// Expired implements engine.Handler.
func (h *heartbeat) Expired(*engine.Timer) {
	h.worker.Beat()
	if h.every > 0 {
		h.loop.Arm(&h.timer, h.loop.Now()+h.every)
	}
}

// Ready implements engine.Handler; a heartbeat has no connection.
func (h *heartbeat) Ready(*engine.Conn) {}
