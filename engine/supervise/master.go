package supervise

import (
	"fmt"
	"log/slog"
	"os"
	"time"
)

// Master runs the workers. Its methods may be called from any goroutine but that of Options.Gone.
type Master struct {
	o       Options
	log     *slog.Logger
	null    *os.File
	beats   *heartbeats
	spawner *spawner

	inbox   chan func()   // what run is to do
	leaving chan struct{} // closed: no plan is taken up any more
	done    chan struct{} // closed: run has ended, everything is cleaned up

	applies    turnstile
	seat       chan struct{} // one slot: held by the Apply or Upgrade that is at work
	superseded bool          // of the seat's holder

	// Of run only.
	plan     Plan // the current one; none yet while Start is at work
	number   uint32
	numbers  uint32 // that were given to plans
	slots    []*slot
	change   *change // nil if no plan is being tried
	stopping bool
	finished bool
	tick     *time.Ticker
	looked   time.Time // at the heartbeats
}

// Start starts the workers of a plan and returns when all of them serve. If one cannot, none remains, and the error says
// which and why. A worker that dies meanwhile is not given a second chance.
//
// It sets close-on-exec on all descriptors of this process from 3 on.
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

// newMaster makes what all workers share.
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

// run owns what a master knows of its workers, and does all that happens to them.
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

// post has run do f, unless it has ended.
func (m *Master) post(f func()) {
	select {
	case m.inbox <- f:
	case <-m.done:
	}
}

// Done is closed when the master has stopped and no worker is left.
func (m *Master) Done() <-chan struct{} { return m.done }

// Drain tells all workers to finish what they do and leave, and returns when they have. After timeout they are told to
// stop, as by Stop; 0 is no limit. It may be called again, and Stop may be, while it waits.
func (m *Master) Drain(timeout time.Duration) {
	m.leave(func(p *process) { m.drain(p, timeout) })
}

// Stop tells all workers to stop at once, kills those that have not after Options.StopGrace, and returns when all are
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
	m.seat <- struct{}{} // an Upgrade that this ended has yet to see the last of its process
	m.release()
}

// close takes up no plan and starts no process any more.
func (m *Master) close() {
	if m.stopping {
		return
	}
	m.stopping = true
	close(m.leaving)
	m.fail(ErrStopping)
	for _, s := range m.slots {
		s.rest()
	}
}

// Broadcast tells all workers something, also those that are just starting.
func (m *Master) Broadcast(n Notice) {
	m.post(func() {
		for _, p := range m.processes() {
			// There is no room only if hundreds of notices wait to be read already.
			_ = p.channel.send(message{kind: kindNotice, value: int64(n)})
		}
	})
}

// Status is what a slot's process is doing.
type Status struct {
	Slot  int
	PID   int // 0 if there is none
	State State
	// Since is when it began to serve; zero if it has not.
	Since time.Time
	// Restarts is how many processes of the slot have ended although it still needed one, since this master started.
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
