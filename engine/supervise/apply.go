package supervise

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// change is a plan on trial. The processes of its slots prepare it, and a new process of a slot begins with it. When all have prepared it,
// it becomes the current plan and they are told to follow it.
type change struct {
	plan      Plan
	number    uint32
	first     bool        // there is no plan to go back to
	committed bool        // it is the current plan, and some process has not yet said that it follows it
	losses    map[int]int // by slot: processes that ended during the trial
	timer     *time.Timer
	outcome   chan error // one slot
}

func newChange(plan Plan) *change {
	return &change{plan: plan, losses: map[int]int{}, outcome: make(chan error, 1)}
}

// Apply has the workers follow another plan: all of them prepare it, and if none refuses and all answer in time, all
// switch to it. Else the error says who and why, and they go on by the old plan as if nothing had happened. Slots that
// are new get a worker, which is awaited; those that the plan has no place for drain, which is not. One of those that
// are still draining is taken back if the plan has a place for it.
//
// A worker that dies meanwhile is replaced, and only if its successor dies as well does the plan fail. A slot whose
// processes die in a loop and which waits for its next one has no say, if any other has.
//
// One Apply is at work at a time (nor is an Upgrade) and one waits; the latter returns ErrReplaced when another comes.
func (m *Master) Apply(plan Plan) error {
	if err := plan.check(); err != nil {
		return err
	}
	if err := m.applies.enter(m.leaving); err != nil {
		return err
	}
	defer m.applies.leave()
	if err := m.take(); err != nil {
		return err
	}
	defer m.release()
	c := newChange(plan)
	m.post(func() { m.begin(c) })
	select {
	case err := <-c.outcome:
		return err
	case <-m.done:
		return ErrStopping
	}
}

// take waits until no other Apply or Upgrade is at work. If it returns no error the caller has to call release.
func (m *Master) take() error {
	select {
	case m.seat <- struct{}{}:
	case <-m.leaving:
		return ErrStopping
	}
	if m.superseded {
		m.release()
		return ErrSuperseded
	}
	return nil
}

func (m *Master) release() { <-m.seat }

// begin puts a plan on trial.
func (m *Master) begin(c *change) {
	if m.stopping {
		c.outcome <- ErrStopping
		return
	}
	m.change = c
	m.numbers++
	c.number = m.numbers
	c.timer = time.AfterFunc(m.o.AnswerTimeout, func() {
		m.post(func() {
			if m.change == c {
				m.overdue()
			}
		})
	})
	if c.first {
		m.tick.Reset(m.rhythm(c.plan.watchdog()))
	}
	for len(m.slots) < c.plan.Workers {
		m.slots = append(m.slots, &slot{n: len(m.slots)})
	}
	for _, s := range m.slots[:c.plan.Workers] {
		if m.change != c {
			return // it has failed already
		}
		switch p := s.process; {
		case p != nil && p.state != Starting && !p.halted:
			m.prepare(p, c.plan, c.number)
		case p == nil && s.retry == nil:
			m.fill(s)
		}
		// A process that is starting is asked later, when it serves. Where one is being stopped, or the slot waits for its next
		// process, that begins with the plan.
	}
	m.settle()
}

// prepare asks a process to get ready for a plan.
func (m *Master) prepare(p *process, plan Plan, number uint32) {
	p.sent, p.ready, p.committed = number, false, false
	body, files, err := plan.For(p.slot.n)
	if err == nil {
		err = p.channel.sendPayload(message{kind: kindPrepare, id: number}, body, files)
		switch {
		case err == nil || hungUp(err): // its end is reported soon
			return
		case errors.Is(err, unix.EAGAIN):
			err = errNotReading
		}
	}
	m.refused(p, err)
}

// answer handles a message from a process.
func (m *Master) answer(p *process, msg message) {
	if p.state == Gone || msg.id != p.sent {
		return // it answers a plan that was taken back
	}
	switch msg.kind {
	case kindPrepared:
		if msg.value != 0 {
			m.refused(p, errors.New(msg.text))
			return
		}
		p.ready = true
		if msg.id == m.number {
			m.commit(p)
		}
	case kindCommitted:
		m.serving(p)
	}
	m.settle()
}

// refused handles a process that could not prepare its plan, or could not be sent it.
func (m *Master) refused(p *process, err error) {
	if c := m.change; c != nil && p.sent == c.number && !c.committed {
		m.fail(fmt.Errorf("supervise: worker %d: %w", p.slot.n, err))
		return
	}
	if p.state == Starting {
		m.kill(p, "cannot follow its plan: "+err.Error())
	}
}

// commit tells a process to follow what it prepared.
func (m *Master) commit(p *process) {
	p.committed = true
	m.tell(p, message{kind: kindCommit, id: p.sent})
}

// serving handles a process that has said that it follows the plan it was sent.
func (m *Master) serving(p *process) {
	if !p.committed {
		return
	}
	if p.state == Starting {
		p.since = time.Now()
		m.log.Info("worker serving", "slot", p.slot.n, "pid", p.pid)
	}
	if !p.asked {
		p.state = Serving
	}
	p.follows = p.sent
	p.pulse.silent = 0
	if c := m.change; c != nil && p.sent != c.number && p.slot.n < c.plan.Workers {
		m.prepare(p, c.plan, c.number)
	}
}

// settle takes the next step if everything that it waits for has happened: end the master, adopt the plan on trial, or conclude it.
func (m *Master) settle() {
	c := m.change
	switch {
	case m.stopping:
		m.finished = len(m.processes()) == 0
	case c == nil:
	case !c.committed && m.agreed():
		m.adopt()
	case c.committed && m.followed():
		m.conclude(nil)
	}
}

// agreed reports whether every slot that has to, and at least one, has prepared the plan on trial.
func (m *Master) agreed() bool {
	c := m.change
	some := false
	for _, s := range m.slots[:c.plan.Workers] {
		p := s.process
		switch {
		case p != nil && p.sent == c.number && p.ready && !p.halted:
			some = true
		case p == nil && s.n < m.plan.Workers && c.losses[s.n] == 0:
			// Its processes kept dying before the trial began.
		default:
			return false
		}
	}
	return some
}

// adopt makes the plan on trial the current one.
func (m *Master) adopt() {
	c := m.change
	m.plan, m.number, c.committed = c.plan, c.number, true
	c.timer.Reset(m.o.AnswerTimeout)
	m.tick.Reset(m.rhythm(c.plan.watchdog()))
	for _, s := range m.slots {
		p := s.process
		switch {
		case s.n >= m.plan.Workers:
			s.rest()
			s.backoff = backoff{}
			if p != nil && !p.asked {
				m.drain(p, m.plan.DrainTimeout)
			}
		case p != nil && p.sent == c.number:
			if p.asked { // it was draining, and is taken back
				p.asked, p.state = false, Serving
				m.still(p)
			}
			m.commit(p)
		}
	}
	m.settle()
}

// followed reports whether all processes that have prepared the plan follow it.
func (m *Master) followed() bool {
	for _, p := range m.processes() {
		if p.slot.n < m.plan.Workers && p.sent == m.change.number && p.follows != p.sent {
			return false
		}
	}
	return true
}

// lost handles the loss of a process during the trial of a plan: the second in one slot fails the plan.
func (m *Master) lost(s *slot) {
	c := m.change
	c.losses[s.n]++
	switch {
	case c.first:
		m.fail(fmt.Errorf("supervise: worker %d %s", s.n, s.last))
	case !c.committed && c.losses[s.n] > 1:
		m.fail(fmt.Errorf("supervise: worker %d and its successor died while they prepared the plan: the latter %s", s.n, s.last))
	}
}

// overdue ends the trial when processes have not answered in time.
func (m *Master) overdue() {
	var silent []string
	for _, s := range m.slots[:m.change.plan.Workers] {
		p := s.process
		switch {
		case m.change.committed:
			if p != nil && p.sent == m.change.number && p.follows != p.sent {
				m.kill(p, fmt.Sprintf("did not take up its plan within %v", m.o.AnswerTimeout))
				silent = append(silent, fmt.Sprintf("worker %d did not take up its plan within %v", s.n, m.o.AnswerTimeout))
			}
		case p == nil:
			silent = append(silent, fmt.Sprintf("worker %d %s", s.n, s.last))
		case p.sent != m.change.number || !p.ready:
			silent = append(silent, fmt.Sprintf("worker %d did not answer within %v", s.n, m.o.AnswerTimeout))
		}
	}
	switch {
	case !m.change.committed || m.change.first:
		m.fail(errors.New("supervise: " + strings.Join(silent, "; ")))
	default:
		m.conclude(nil) // their successors follow the plan
	}
	m.settle()
}

// fail ends the trial of a plan that not all can follow. The processes go back to the current plan, or leave.
func (m *Master) fail(err error) {
	c := m.change
	if c == nil {
		return
	}
	m.conclude(err)
	if c.first {
		m.close()
	}
	for _, p := range m.processes() {
		switch {
		case c.first:
			p.asked = true
			m.kill(p, "another worker could not serve")
		case m.stopping || c.committed || p.sent != c.number:
		case p.state != Starting:
			m.tell(p, message{kind: kindAbort, id: c.number})
		case p.slot.n < m.plan.Workers:
			m.tell(p, message{kind: kindAbort, id: c.number})
			m.prepare(p, m.plan, m.number)
		default:
			p.asked = true
			m.kill(p, "it was not needed any more")
		}
	}
}

// conclude reports the outcome of a trial.
func (m *Master) conclude(err error) {
	m.change.timer.Stop()
	m.change.outcome <- err
	m.change = nil
}
