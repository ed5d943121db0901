package supervise

import (
	"errors"
	"fmt"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// slot is a numbered position for a worker. Processes fill it one after the other.
type slot struct {
	n       int
	process *process    // nil if there is none
	retry   *time.Timer // starts the next process; nil if not set
	backoff backoff
	last    string // why there is no process
	// restarts counts the processes that have ended while the slot still needed one.
	restarts uint64
}

// stopRetry stops the slot's timer.
func (s *slot) stopRetry() {
	if s.retry != nil {
		s.retry.Stop()
		s.retry = nil
	}
}

// process is the master's view of a worker. Only run uses it.
type process struct {
	slot    *slot
	pid     int
	proc    *os.Process
	channel *channel
	state   State

	sent      uint32 // the number of the plan that it was last told to prepare
	ready     bool   // it has prepared that plan
	committed bool   // it was told to follow that plan
	follows   uint32 // the number of the plan that it last confirmed to follow

	asked      bool        // it was told to leave
	halted     bool        // it was told to leave at once
	timer      *time.Timer // set by after
	killReason string      // "" if it was not killed

	since  time.Time // when it began to serve
	waited time.Duration
	pulse  pulse
}

// processes returns the processes of all slots.
func (m *Master) processes() []*process {
	var all []*process
	for _, s := range m.slots {
		if s.process != nil {
			all = append(all, s.process)
		}
	}
	return all
}

// wanted reports whether a slot needs a process.
func (m *Master) wanted(s *slot) bool {
	return !m.stopping && (s.n < m.plan.Workers || m.change != nil && s.n < m.change.plan.Workers)
}

// fill starts a process in an empty slot, with the plan on trial if there is one.
func (m *Master) fill(s *slot) {
	s.stopRetry()
	proc, ch, err := m.startWorker(s.n)
	if err != nil {
		m.emptied(s, "not started", err.Error(), m.change != nil && s.n < m.change.plan.Workers, false, 0)
		m.settle()
		return
	}
	p := &process{slot: s, pid: proc.Pid, proc: proc, channel: ch}
	s.process = p
	heard := make(chan struct{})
	go m.receiveAll(p, heard)
	go m.await(p, heard)
	m.o.Started(s.n, p.pid)
	if c := m.change; c != nil && s.n < c.plan.Workers {
		m.prepare(p, c.plan, c.number)
	} else {
		m.prepare(p, m.plan, m.number)
	}
}

// receiveAll passes on a process's messages until its channel ends.
func (m *Master) receiveAll(p *process, heard chan struct{}) {
	defer close(heard)
	for {
		msg, err := p.channel.receive()
		if err != nil {
			m.post(func() { m.channelClosed(p) })
			return
		}
		closeAll(msg.files) // messages of a worker have no files
		m.post(func() { m.answer(p, msg) })
	}
}

// await reports the end of a process, after its last message.
func (m *Master) await(p *process, heard chan struct{}) {
	state, err := await(p.proc)
	p.channel.giveUp(time.Now().Add(time.Second))
	<-heard
	m.post(func() { m.gone(p, state, err) })
}

// channelClosed kills a process that has closed its channel and does not end soon, because it can no longer be controlled.
func (m *Master) channelClosed(p *process) {
	if p.state != Gone {
		m.after(p, m.o.StopGrace, func() { m.kill(p, "it closed its control channel") })
	}
}

// gone handles the end of a process.
func (m *Master) gone(p *process, state *os.ProcessState, err error) {
	s := p.slot
	reason := ending(state, err)
	if p.killReason != "" {
		reason = p.killReason + " (" + reason + ")"
	}
	var served time.Duration
	if !p.since.IsZero() {
		served = time.Since(p.since)
	}
	orderly := p.asked && state != nil && state.Success()
	tried := m.change != nil && p.sent == m.change.number && !orderly
	p.state = Gone
	m.stopTimer(p)
	p.channel.close()
	s.process = nil
	m.emptied(s, "ended", reason, tried, orderly, served, "pid", p.pid)
	superfluous := !m.wanted(s)
	if !superfluous {
		s.restarts++
	}
	m.o.Gone(Exit{Slot: s.n, PID: p.pid, State: state, Reason: reason, Superfluous: superfluous})
	m.settle()
}

// emptied decides what happens to a slot whose process has ended or could not be started; what says which. tried says that a plan on trial was
// involved, orderly that the process left as it was told to; served is how long it served. A timer starts the next process, after
// emptied returns.
func (m *Master) emptied(s *slot, what, reason string, tried, orderly bool, served time.Duration, who ...any) {
	s.last = what + ": " + reason
	if tried {
		m.countLoss(s)
	}
	log := m.log.With("slot", s.n).With(who...)
	var pause time.Duration
	switch wanted := m.wanted(s); {
	case orderly:
		log.Info("worker left", "reason", reason)
	case wanted:
		pause = s.backoff.next(served >= m.o.Healthy)
		log.Error("worker "+what, "reason", reason, "restart_in", pause)
	default:
		log.Warn("worker "+what, "reason", reason)
	}
	if !m.wanted(s) {
		s.backoff = backoff{}
		return
	}
	var t *time.Timer
	t = time.AfterFunc(pause, func() {
		m.post(func() {
			if s.retry != t {
				return
			}
			if s.retry = nil; m.wanted(s) {
				m.fill(s)
			} else {
				s.backoff = backoff{}
			}
		})
	})
	s.retry = t
}

// ending returns why a process ended.
func ending(state *os.ProcessState, err error) string {
	if state == nil {
		return fmt.Sprintf("unknown: %v", err)
	}
	if w, ok := state.Sys().(syscall.WaitStatus); ok && w.Signaled() {
		name := unix.SignalName(w.Signal())
		if name == "" {
			name = fmt.Sprintf("signal %d", int(w.Signal()))
		}
		if w.CoreDump() {
			name += ", core dumped"
		}
		return name
	}
	return state.String()
}

// sendOrKill sends a message, and kills a process that does not accept it.
func (m *Master) sendOrKill(p *process, msg message) {
	if err := p.channel.send(msg); err != nil && !hungUp(err) {
		if errors.Is(err, unix.EAGAIN) {
			err = errNotReading
		}
		m.kill(p, err.Error())
	}
}

var errNotReading = errors.New("it does not read its control channel")

// hungUp reports whether the other end of a channel was closed, which receiveAll detects too.
func hungUp(err error) bool { return errors.Is(err, unix.EPIPE) || errors.Is(err, unix.ECONNRESET) }

// drain tells a process to finish its sessions and leave; a process that does not serve yet is killed.
func (m *Master) drain(p *process, timeout time.Duration) {
	p.asked = true
	if p.state == Starting {
		m.kill(p, "it was no longer needed")
		return
	}
	if p.halted {
		return
	}
	p.state = Draining
	m.stopTimer(p)
	if timeout > 0 {
		m.after(p, timeout, func() { m.halt(p) })
	}
	m.sendOrKill(p, message{kind: kindDrain, value: int64(timeout)})
}

// halt tells a process to leave at once, and kills it if it does not.
func (m *Master) halt(p *process) {
	p.asked = true
	if p.state == Starting {
		m.kill(p, "it was no longer needed")
		return
	}
	p.state, p.halted = Draining, true
	m.after(p, m.o.StopGrace, func() { m.kill(p, "it did not stop") })
	m.sendOrKill(p, message{kind: kindStop})
}

// kill kills a process; why is for the log.
func (m *Master) kill(p *process, why string) {
	if p.killReason == "" {
		p.killReason = why
	}
	_ = p.proc.Kill() // fails if it has ended, which will be reported soon
}

// after calls f after d, unless the process has ended by then, or after or stopTimer is called again.
func (m *Master) after(p *process, d time.Duration, f func()) {
	m.stopTimer(p)
	var t *time.Timer
	t = time.AfterFunc(d, func() {
		m.post(func() {
			if p.timer == t && p.state != Gone {
				f()
			}
		})
	})
	p.timer = t
}

// stopTimer cancels after.
func (m *Master) stopTimer(p *process) {
	if p.timer != nil {
		p.timer.Stop()
		p.timer = nil
	}
}
