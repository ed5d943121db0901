package supervise

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// change is a plan on trial. The processes of its slots prepare it, and new processes start with it. When all have prepared it,
// it becomes the current plan and they are told to follow it.
type change struct {
	plan      Plan
	number    uint32
	first     bool        // there is no plan to go back to
	committed bool        // it is the current plan, but some processes have not confirmed it yet
	losses    map[int]int // by slot: processes that ended during the trial
	timer     *time.Timer
	outcome   chan error // one slot
}

func newChange(plan Plan) *change {
	return &change{plan: plan, losses: map[int]int{}, outcome: make(chan error, 1)}
}

// Apply makes the workers follow another plan. All of them prepare it; if none refuses and all answer in time, all
// switch to it. Otherwise the error says which worker failed and why, and the workers continue with the old plan as if nothing had
// happened. New slots get a worker, for which Apply waits. Workers for which the plan has no slot drain, for which Apply does not wait. A
// worker that is still draining returns to service if the plan has a slot for it.
//
// A worker that dies meanwhile is replaced; the plan fails only if the replacement dies too. A slot whose
// processes keep dying and that waits for its next one is ignored, unless all slots are like that.
//
// Only one Apply or Upgrade is in progress at a time, and one Apply may wait; if another Apply comes, the waiting one returns ErrReplaced.
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

// take waits until no other Apply or Upgrade is in progress. Without an error, the caller must call release.
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
				m.trialTimedOut()
			}
		})
	})
	if c.first {
		m.tick.Reset(m.checkInterval(c.plan.watchdog()))
	}
	for len(m.slots) < c.plan.Workers {
		m.slots = append(m.slots, &slot{n: len(m.slots)})
	}
	for _, s := range m.slots[:c.plan.Workers] {
		if m.change != c {
			return // it has already failed
		}
		switch p := s.process; {
		case p != nil && p.state != Starting && !p.halted:
			m.prepare(p, c.plan, c.number)
		case p == nil && s.retry == nil:
			m.fill(s)
		}
		// A starting process is asked later, when it serves. If a process is being stopped, or the slot waits for its next
		// process, that next process starts with the plan.
	}
	m.settle()
}

// prepare asks a process to prepare a plan.
func (m *Master) prepare(p *process, plan Plan, number uint32) {
	p.sent, p.ready, p.committed = number, false, false
	body, files, err := plan.For(p.slot.n)
	if err == nil {
		err = p.channel.sendPayload(message{kind: kindPrepare, id: number}, body, files)
		switch {
		case err == nil || hungUp(err): // its end will be reported soon
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
		return // a reply about a plan that was withdrawn
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

// refused handles a process that could not prepare its plan, or to which the plan could not be sent.
func (m *Master) refused(p *process, err error) {
	if c := m.change; c != nil && p.sent == c.number && !c.committed {
		m.fail(fmt.Errorf("supervise: worker %d: %w", p.slot.n, err))
		return
	}
	if p.state == Starting {
		m.kill(p, "cannot follow its plan: "+err.Error())
	}
}

// commit tells a process to follow the plan that it has prepared.
func (m *Master) commit(p *process) {
	p.committed = true
	m.sendOrKill(p, message{kind: kindCommit, id: p.sent})
}

// serving handles a process's confirmation that it follows its plan.
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

// settle takes the next step if everything it waits for has happened: it ends the master, or adopts or concludes the plan on trial.
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

// agreed reports whether all slots that must prepare the plan on trial have done so, and at least one has.
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
	m.tick.Reset(m.checkInterval(c.plan.watchdog()))
	for _, s := range m.slots {
		p := s.process
		switch {
		case s.n >= m.plan.Workers:
			s.stopRetry()
			s.backoff = backoff{}
			if p != nil && !p.asked {
				m.drain(p, m.plan.DrainTimeout)
			}
		case p != nil && p.sent == c.number:
			if p.asked { // it was draining, and returns to service
				p.asked, p.state = false, Serving
				m.stopTimer(p)
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

// countLoss handles the loss of a process during the trial of a plan: a second loss in one slot fails the plan.
func (m *Master) countLoss(s *slot) {
	c := m.change
	c.losses[s.n]++
	switch {
	case c.first:
		m.fail(fmt.Errorf("supervise: worker %d %s", s.n, s.last))
	case !c.committed && c.losses[s.n] > 1:
		m.fail(fmt.Errorf("supervise: worker %d and its successor died while they prepared the plan: the latter %s", s.n, s.last))
	}
}

// trialTimedOut ends the trial if processes have not answered in time.
func (m *Master) trialTimedOut() {
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
		m.conclude(nil) // the replacements of killed processes follow the plan
	}
	m.settle()
}

// fail ends the trial of a plan that some process cannot follow. The processes return to the current plan, or leave.
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
			m.sendOrKill(p, message{kind: kindAbort, id: c.number})
		case p.slot.n < m.plan.Workers:
			m.sendOrKill(p, message{kind: kindAbort, id: c.number})
			m.prepare(p, m.plan, m.number)
		default:
			p.asked = true
			m.kill(p, "it was no longer needed")
		}
	}
}

// conclude reports the outcome of a trial.
func (m *Master) conclude(err error) {
	m.change.timer.Stop()
	m.change.outcome <- err
	m.change = nil
}
