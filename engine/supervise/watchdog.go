package supervise

import (
	"fmt"
	"time"
)

// checkInterval returns the interval between two checks of the heartbeats.
func (m *Master) checkInterval(watchdog time.Duration) time.Duration {
	d := min(time.Second, m.o.AnswerTimeout/4)
	if watchdog > 0 {
		d = min(d, watchdog/4)
	}
	return max(d, time.Millisecond)
}

// watch kills processes that hang. time.Now includes a CLOCK_MONOTONIC reading, so setting the clock has no effect.
func (m *Master) watch() {
	now := time.Now()
	since, plan := now.Sub(m.looked), m.plan
	m.looked = now
	if m.change != nil && m.change.first {
		plan = m.change.plan
	}
	limit := plan.watchdog()
	most := 2 * m.checkInterval(limit)
	for _, p := range m.processes() {
		silent := p.pulse.look(m.beats.of(p.slot.n).Load(), since, most)
		switch {
		case p.state == Starting && m.change != nil && p.sent == m.change.number:
			p.waited = 0 // the trial has its own timer, and may be waiting for other processes
		case p.state == Starting:
			if p.waited += min(since, most); p.waited >= m.o.AnswerTimeout {
				m.kill(p, fmt.Sprintf("not serving after %v", m.o.AnswerTimeout))
			}
		case limit > 0 && silent >= limit:
			m.kill(p, fmt.Sprintf("no heartbeat for %v", limit))
		}
	}
}
