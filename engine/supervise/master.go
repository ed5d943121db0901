package supervise

import (
	"fmt"
	"log/slog"
	"os"
	"time"
)

// Master runs the workers. Its methods may be called from any goroutine except the one that calls Options.Gone.
type Master struct {
	o       Options
	log     *slog.Logger
	null    *os.File
	beats   *heartbeats
	spawner *spawner

	inbox   chan func()   // functions for run to call
	leaving chan struct{} // closed: no more plans are accepted
	done    chan struct{} // closed: run has ended and everything is cleaned up

	applies    turnstile
	seat       chan struct{} // one slot: held by the Apply or Upgrade in progress
	superseded bool          // guarded by seat

	// Used only by run.
	plan     Plan // the current plan; empty until Start has one
	number   uint32
	numbers  uint32 // the last number that was given to a plan
	slots    []*slot
	change   *change // nil if no plan is being tried
	stopping bool
	finished bool
	tick     *time.Ticker
	looked   time.Time // when the heartbeats were last checked
}

// Start starts the workers of a plan and returns when all of them serve. If one cannot, none remains, and the error says
// which and why. A worker that dies during Start is not replaced.
//
// Start sets close-on-exec on all descriptors of this process from 3 on.
func Start(o Options, plan Plan) (*Master, error) {
	if err := plan.check(); err != nil {
		return nil, err
	}
	m, err := newMaster(o)
	if err != nil {
		return nil, err
	}
	c := newChange(plan)
	c.first = true
	go m.run()
	m.post(func() { m.begin(c) })
	if err := <-c.outcome; err != nil {
		<-m.done
		return nil, err
	}
	return m, nil
}

// newMaster makes the resources that all workers share.
func newMaster(o Options) (m *Master, err error) {
	sealDescriptors()
	m = &Master{
		o:       o.withDefaults(),
		inbox:   make(chan func()),
		leaving: make(chan struct{}),
		done:    make(chan struct{}),
		seat:    make(chan struct{}, 1),
	}
	m.log = m.o.Log
	if m.null, err = os.Open(os.DevNull); err != nil {
		return nil, fmt.Errorf("supervise: %w", err)
	}
	if m.beats, err = newHeartbeats(); err != nil {
		m.null.Close()
		return nil, fmt.Errorf("supervise: %w", err)
	}
	if m.spawner, err = newSpawner(m.o.NoNewPrivs); err != nil {
		m.beats.close()
		m.null.Close()
		return nil, fmt.Errorf("supervise: %w", err)
	}
	m.tick = time.NewTicker(time.Second)
	m.looked = time.Now()
	return m, nil
}

// run owns the state of the workers and handles all events.
func (m *Master) run() {
	for !m.finished {
		select {
		case f := <-m.inbox:
			f()
		case <-m.tick.C:
			m.watch()
		}
	}
	m.tick.Stop()
	m.spawner.close()
	m.beats.close()
	m.null.Close()
	close(m.done)
}

// post makes run call f, unless run has ended.
func (m *Master) post(f func()) {
	select {
	case m.inbox <- f:
	case <-m.done:
	}
}

// Done returns a channel that is closed when the master has stopped and no worker is left.
func (m *Master) Done() <-chan struct{} { return m.done }

// Drain tells all workers to finish their work and leave, and returns when they have. After timeout they are told to
// stop, as by Stop; 0 means no limit. Drain and Stop may be called while it waits.
func (m *Master) Drain(timeout time.Duration) {
	m.leave(func(p *process) { m.drain(p, timeout) })
}

// Stop tells all workers to stop at once, kills those that have not stopped after Options.StopGrace, and returns when all are
// gone.
func (m *Master) Stop() { m.leave(m.halt) }

func (m *Master) leave(tell func(*process)) {
	m.post(func() {
		m.close()
		for _, p := range m.processes() {
			tell(p)
		}
		m.settle()
	})
	<-m.done
	m.seat <- struct{}{} // an Upgrade that this has ended must first wait for its process
	m.release()
}

// close makes the master accept no more plans and start no more processes.
func (m *Master) close() {
	if m.stopping {
		return
	}
	m.stopping = true
	close(m.leaving)
	m.fail(ErrStopping)
	for _, s := range m.slots {
		s.stopRetry()
	}
}

// Broadcast sends a notice to all workers, including those that are starting.
func (m *Master) Broadcast(n Notice) {
	m.post(func() {
		for _, p := range m.processes() {
			// Sending fails only if hundreds of notices are unread.
			_ = p.channel.send(message{kind: kindNotice, value: int64(n)})
		}
	})
}

// Status is the state of a slot's process.
type Status struct {
	Slot  int
	PID   int // 0 if there is none
	State State
	// Since is when it began to serve; zero if it has not.
	Since time.Time
	// Restarts is how many of the slot's processes have ended while the slot still needed one, since this master started.
	Restarts uint64
}

// Workers returns the state of all slots that have a process or wait for one.
func (m *Master) Workers() []Status {
	all := make(chan []Status, 1)
	m.post(func() {
		var list []Status
		for _, s := range m.slots {
			if p := s.process; p != nil {
				list = append(list, Status{Slot: s.n, PID: p.pid, State: p.state, Since: p.since, Restarts: s.restarts})
			} else if m.wanted(s) {
				list = append(list, Status{Slot: s.n, State: Gone, Restarts: s.restarts})
			}
		}
		all <- list
	})
	select {
	case list := <-all:
		return list
	case <-m.done:
		return nil
	}
}
