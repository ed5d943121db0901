package engine_test

import (
	"fmt"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"kroxy-ev/engine"
	"kroxy-ev/engine/enginetest"
)

// metronome arms each timer anew, a second later, whenever it expires.
type metronome struct {
	loop    *engine.Loop
	expired int
}

func (m *metronome) Ready(*engine.Conn) {}

func (m *metronome) Expired(t *engine.Timer) {
	m.expired++
	m.loop.Arm(t, m.loop.Now()+1000)
}

// BenchmarkTimers measures what timers cost an otherwise idle loop: timers that expire, spread over each second, and timers
// that are only armed. An op is one second.
func BenchmarkTimers(b *testing.B) {
	for _, standing := range []int{0, 100_000} {
		for _, expiring := range []int{0, 1, 10, 100, 1000, 10_000} {
			b.Run(fmt.Sprintf("standing=%d/expiring=%d", standing, expiring), func(b *testing.B) {
				l := enginetest.Start(b, engine.Options{})
				m := &metronome{loop: l.Loop}
				timers := make([]engine.Timer, standing+expiring)
				l.Do(func() {
					for i := range timers {
						timers[i].Handler = m
						after := int64(1 + i*1000/max(1, expiring))
						if i >= expiring {
							after = time.Hour.Milliseconds()
						}
						l.Arm(&timers[i], l.Now()+after)
					}
				})
				var before, after unix.Rusage
				var from, to int
				l.Do(func() { from = m.expired })
				_ = unix.Getrusage(unix.RUSAGE_SELF, &before)
				b.ResetTimer()
				time.Sleep(time.Duration(b.N) * time.Second)
				b.StopTimer()
				_ = unix.Getrusage(unix.RUSAGE_SELF, &after)
				l.Do(func() { to = m.expired })
				used := after.Utime.Nano() + after.Stime.Nano() - before.Utime.Nano() - before.Stime.Nano()
				b.ReportMetric(0, "ns/op")
				b.ReportMetric(float64(used)/1e3/float64(b.N), "cpu-us/s")
				b.ReportMetric(float64(to-from)/float64(b.N), "expired/s")
				l.Do(func() {
					for i := range timers {
						l.Disarm(&timers[i])
					}
				})
			})
		}
	}
}
