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
	"kroxy-ev/engine/supervise"
)

// worker is a process that serves: a proxy with one reactor, which does what its master says.
type worker struct {
	link    *supervise.Worker
	log     *slog.Logger
	errors  *errorLog
	proxy   *proxy.Proxy // nil before the first plan was prepared
	serving bool
	shared  proxy.Keys // of listening sockets that others accept from when this process does not
	heir    bool       // so it is with all: they are a new master's now
	parting *parting   // the drain that was begun and not taken back
	beat    *beat

	// What was prepared and neither committed nor given up.
	next    *proxy.Snapshot
	out     *errorOutput
	sockets proxy.Sockets
	sharing proxy.Keys // what shared is to become

	toldDebug bool // whether the log is at debug was said since the plan was made

	ending sync.Once
}

// workerProcs is how many threads run Go code in a worker: its loop, and beside it the rest, which is little.
const workerProcs = 2

// ServeWorker runs a worker until its master ends it.
func ServeWorker(link *supervise.Worker, stderr io.Writer) error {
	// What a terminal sends to the whole group is for the master to act upon.
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
	var b brief
	err := json.Unmarshal(body, &b)
	if err == nil && len(files) != 1+len(b.Sockets) {
		err = fmt.Errorf("%d files for %d sockets", len(files), len(b.Sockets))
	}
	if err != nil {
		closeAll(files)
		return fmt.Errorf("kroxy-ev: the master's plan cannot be understood: %w", err)
	}
	counters, listening := files[0], make(proxy.Sockets)
	for i, key := range b.Sockets {
		listening[key] = []int{files[1+i]}
	}
	cfg, _, err := b.Source.ParseWith(b.PEM)
	if err != nil {
		closeAll(files)
		return err
	}
	if w.proxy == nil {
		if err := w.errors.follow(cfg); err != nil {
			closeAll(files)
			return err
		}
		if !w.toldDebug {
			w.errors.setDebug(b.Debug)
		}
		return w.prepareFirst(cfg, b, listening, counters)
	}
	_ = unix.Close(counters)
	if w.out, err = w.errors.prepare(cfg); err != nil {
		listening.Close()
		return err
	}
	if w.next, err = w.proxy.Prepare(cfg, b.given()); err != nil {
		listening.Close()
		w.errors.drop(w.out)
		return err
	}
	w.sockets, w.sharing = listening, b.Shared
	return nil
}

// prepareFirst makes the proxy, which does not serve yet.
func (w *worker) prepareFirst(cfg *config.Config, b brief, listening proxy.Sockets, counters int) error {
	c, err := balance.MapCounters(counters)
	if err != nil {
		listening.Close()
		return err
	}
	w.shared = b.Shared
	w.proxy, err = proxy.New(cfg, listening, proxy.Table{Counters: c, Rows: []int{b.Row}, Given: b.given()}, w.log)
	if err == nil {
		w.errors.fresh = w.proxy.ForgetRepeated
	}
	return err
}

// Commit implements supervise.Handler.
func (w *worker) Commit() {
	p := w.proxy
	if w.next == nil {
		w.serving = true
		w.beat = &beat{worker: w.link, loop: p.FirstLoop()}
		w.beat.timer.Handler = w.beat
		p.Start()
		go w.watch()
		fail(whenServing, w)
	} else {
		if w.parting != nil {
			if !w.parting.decide() {
				select {} // too late: this process ends, and has a successor
			}
			close(w.parting.back)
			w.parting = nil
			p.Stay()
		} else {
			p.Drop(w.sockets)
		}
		w.errors.take(w.out, w.next.Config())
		if err := p.Commit(w.next, w.sockets); err != nil {
			w.log.Error("kroxy-ev: going over to a new configuration", "error", err)
		}
		w.next, w.out, w.sockets, w.shared = nil, nil, nil, w.sharing
	}
	every := p.Config().WatchdogTimeout / 4
	p.FirstLoop().Post(func() { w.beat.start(every) })
}

// watch ends the process if its reactor cannot go on.
func (w *worker) watch() {
	err := <-w.proxy.Failed()
	w.log.Error("kroxy-ev: the reactor failed", "error", err)
	w.end(ExitError)
}

// Abort implements supervise.Handler.
func (w *worker) Abort() {
	if w.next == nil {
		return // it never served, and will be told to stop
	}
	w.proxy.Discard(w.next)
	w.errors.drop(w.out)
	w.sockets.Close()
	w.next, w.out, w.sockets = nil, nil, nil
}

// Drain implements supervise.Handler. The master bounds it.
func (w *worker) Drain(time.Duration) {
	if !w.serving {
		w.end(ExitOK)
	}
	if w.parting != nil {
		return
	}
	w.parting = &parting{back: make(chan struct{})}
	drained := w.proxy.Drain
	if !w.heir {
		drained = func() <-chan struct{} { return w.proxy.Leave(w.shared) }
	}
	go w.endAfter(drained(), w.parting)
}

// endAfter ends the process when no session is left, unless that is taken back.
func (w *worker) endAfter(drained <-chan struct{}, p *parting) {
	select {
	case <-drained:
		if p.decide() {
			w.end(ExitOK)
		}
	case <-p.back:
	}
}

// parting is a drain of the whole process. Either it ends the process or it is taken back.
type parting struct {
	back    chan struct{} // closed: it is taken back
	decided atomic.Bool
}

// decide reports whether the caller is the one to decide.
func (p *parting) decide() bool { return p.decided.CompareAndSwap(false, true) }

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
		w.heir = true
	case noticeDebugOn, noticeDebugOff:
		w.errors.setDebug(n == noticeDebugOn)
		w.toldDebug = true
	}
}

// Orphaned implements supervise.Handler.
func (w *worker) Orphaned() {
	w.log.Error("kroxy-ev: the master is gone, this worker leaves")
	if w.serving {
		w.proxy.Abort()
	}
	w.end(ExitError)
}

// end writes the logs and ends the process.
func (w *worker) end(status int) {
	w.ending.Do(func() {
		if w.serving {
			w.proxy.Close()
		}
		w.errors.close()
		os.Exit(status)
	})
	select {} // another goroutine is about to
}

// moment is when a worker may fail on demand, which it does in tests only: see fail.
type moment int

const (
	atStart moment = iota
	whenServing
)

const (
	// noticeReplaced tells workers that the sockets are a new master's now.
	noticeReplaced supervise.Notice = iota + 2
	// noticeDebugOn and noticeDebugOff tell them whether everything is to be logged.
	noticeDebugOn
	noticeDebugOff
)

// beat tells the master that the loop goes round.
type beat struct {
	worker *supervise.Worker
	loop   *engine.Loop
	timer  engine.Timer
	every  int64 // ms; 0 is not at all
}

// start begins to tell so often, on the loop.
func (b *beat) start(every time.Duration) {
	b.every = every.Milliseconds()
	b.Expired(nil)
}

// Expired implements engine.Handler.
func (b *beat) Expired(*engine.Timer) {
	b.worker.Beat()
	if b.every > 0 {
		b.loop.Arm(&b.timer, b.loop.Now()+b.every)
	}
}

// Ready implements engine.Handler; a beat has no connection.
func (b *beat) Ready(*engine.Conn) {}
