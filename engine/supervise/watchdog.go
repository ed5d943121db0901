package supervise

import (
	"fmt"
	"time"
)

// rhythm returns how often the heartbeats are looked at.
func (m *Master) rhythm(watchdog time.Duration) time.Duration {
	d := min(time.Second, m.o.AnswerTimeout/4)
	if watchdog > 0 {
		d = min(d, watchdog/4)
	}
	return max(d, time.Millisecond)
}

// watch kills the processes that hang. time.Now is CLOCK_MONOTONIC here: setting the clock kills nobody.
func (m *Master) watch() {
	now := time.Now()
	since, plan := now.Sub(m.looked), m.plan
	m.looked = now
	if m.change != nil && m.change.first {
		plan = m.change.plan
	}
	limit := plan.watchdog()
	most := 2 * m.rhythm(limit)
	for _, p := range m.processes() {
		silent := p.pulse.look(m.beats.of(p.slot.n).Load(), since, most)
		switch {
		case p.state == Starting && m.change != nil && p.sent == m.change.number:
			p.waited = 0 // the trial has a timer, and it is perhaps the others that are waited for
		case p.state == Starting:
			if p.waited += min(since, most); p.waited >= m.o.AnswerTimeout {
				m.kill(p, fmt.Sprintf("not serving after %v", m.o.AnswerTimeout))
			}
		case limit > 0 && silent >= limit:
			m.kill(p, fmt.Sprintf("no heartbeat for %v", limit))
		}
	}
}
