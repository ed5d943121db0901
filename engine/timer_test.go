package engine

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"testing"
)

// turnMillis is a turn of the wheel.
const turnMillis = wheelSlots * tickMillis

// model drives a wheel and compares it with a simple table of deadlines.
type model struct {
	tb     testing.TB
	wheel  wheel
	timers []modelTimer
	now    int64 // ms
	seen   int64 // the first tick that no advance has processed
	calls  int   // of Expired, in the current advance
	limit  int   // for calls; zero is none
	inside func(i int)
}

type modelTimer struct {
	Timer
	m     *model
	index int
	armed bool
	due   int64 // deadline
	tick  int64 // the tick at which it must have expired
	fired int
}

func newModel(tb testing.TB, timers int) *model {
	m := &model{tb: tb, timers: make([]modelTimer, timers)}
	for i := range m.timers {
		t := &m.timers[i]
		t.m, t.index, t.Handler = m, i, t
	}
	return m
}

// Ready implements Handler.
func (t *modelTimer) Ready(*Conn) {}

// Expired implements Handler.
func (t *modelTimer) Expired(got *Timer) {
	m := t.m
	m.calls++
	switch {
	case got != &t.Timer:
		m.tb.Fatal("called with another timer")
	case !t.armed:
		m.tb.Fatalf("at %d: a timer that is not armed expired", m.now)
	case t.due > m.now:
		m.tb.Fatalf("at %d: a timer for %d expired", m.now, t.due)
	case got.linked():
		m.tb.Fatal("linked while it expires")
	case m.limit > 0 && m.calls > m.limit:
		m.tb.Fatalf("at %d: one advance made more than %d calls", m.now, m.limit)
	}
	t.armed = false
	t.fired++
	if m.inside != nil {
		m.inside(t.index)
	}
}

func (m *model) arm(i int, deadline int64) {
	t := &m.timers[i]
	fresh := !t.armed
	t.armed, t.due = true, deadline
	t.tick = max((deadline+tickMillis-1)/tickMillis, m.seen)
	at := m.wheel.arm(&t.Timer, deadline)
	if at > t.tick {
		m.tb.Fatalf("at %d: arming for %d asks for a look at tick %d, want %d or before", m.now, deadline, at, t.tick)
	}
	if fresh && at < t.tick && m.wheel.tick == m.seen && t.tick < m.seen+wheelSlots-10 {
		m.tb.Fatalf("at %d: arming for %d asks for a look at tick %d, too early by %d", m.now, deadline, at, t.tick-at)
	}
}

func (m *model) disarm(i int) {
	t := &m.timers[i]
	t.armed = false
	if t.linked() {
		m.wheel.remove(&t.Timer)
	}
}

// advance advances to now and checks that all due timers have expired.
func (m *model) advance(now int64) {
	m.now, m.calls = now, 0
	m.seen = max(m.seen, now/tickMillis+1) // a timer that a handler arms for the past is due at the next tick
	m.wheel.advance(now)
	m.check()
}

func (m *model) check() {
	armed, first := 0, Never
	for i := range m.timers {
		t := &m.timers[i]
		if t.armed != t.linked() {
			m.tb.Fatalf("at %d: timer %d armed %v, in the wheel %v", m.now, i, t.armed, t.linked())
		}
		if !t.armed {
			continue
		}
		armed++
		first = min(first, t.tick)
		if t.tick < m.seen {
			m.tb.Fatalf("at %d: timer %d, for %d, is late", m.now, i, t.due)
		}
	}
	if m.wheel.count != armed {
		m.tb.Fatalf("at %d: the wheel counts %d timers, want %d", m.now, m.wheel.count, armed)
	}
	switch next, ok := m.wheel.next(); {
	case ok != (armed > 0):
		m.tb.Fatalf("at %d: next says %v with %d timers", m.now, ok, armed)
	case ok && (next > first || next < m.wheel.tick):
		m.tb.Fatalf("at %d: the next look is at tick %d, want %d or before, not before %d", m.now, next, first, m.wheel.tick)
	}
}

// reach returns a random time from now on: soon, near the edges of ticks and turns, or far away.
func reach(r *rand.Rand) int64 {
	switch r.IntN(8) {
	case 0:
		return -r.Int64N(200)
	case 1:
		return r.Int64N(3 * tickMillis)
	case 2:
		return turnMillis + r.Int64N(5*tickMillis) - 2*tickMillis
	case 3:
		return r.Int64N(5 * turnMillis)
	case 4:
		return 64*tickMillis + r.Int64N(65) - 32
	default:
		return r.Int64N(3000)
	}
}

func TestWheelAgainstOracle(t *testing.T) {
	t.Parallel()
	for _, steps := range []struct {
		name string
		step func(r *rand.Rand) int64
	}{
		{"every ms", func(*rand.Rand) int64 { return 1 }},
		{"every tick", func(*rand.Rand) int64 { return tickMillis }},
		{"small", func(r *rand.Rand) int64 { return r.Int64N(100) }},
		{"large", func(r *rand.Rand) int64 { return r.Int64N(2 * turnMillis) }},
		{"mixed", func(r *rand.Rand) int64 { return max(reach(r), 0) }},
	} {
		t.Run(steps.name, func(t *testing.T) {
			t.Parallel()
			seed := rand.Uint64()
			defer func() {
				if t.Failed() {
					t.Logf("seed %d", seed)
				}
			}()
			r := rand.New(rand.NewPCG(seed, 0))
			m := newModel(t, 60)
			m.inside = func(int) {
				for r.IntN(3) == 0 {
					if i := r.IntN(len(m.timers)); r.IntN(3) == 0 {
						m.disarm(i)
					} else {
						m.arm(i, m.now+1+max(reach(r), 0))
					}
				}
			}
			for range 4000 {
				for range r.IntN(4) {
					if i := r.IntN(len(m.timers)); r.IntN(4) == 0 {
						m.disarm(i)
					} else {
						m.arm(i, m.now+reach(r))
					}
				}
				m.check()
				m.advance(m.now + steps.step(r))
			}
		})
	}
}

// Every armed timer expires once, at its tick, even if it is a few turns away.
func TestWheelFiresEachOnceAndInTime(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(1, 2))
	m := newModel(t, 3000)
	at := make([]int64, len(m.timers))
	m.inside = func(i int) { at[i] = m.now }
	for i := range m.timers {
		m.arm(i, r.Int64N(3*turnMillis))
	}
	for m.now <= 3*turnMillis+tickMillis {
		m.now += tickMillis
		m.wheel.advance(m.now)
	}
	m.seen = m.now/tickMillis + 1
	m.check()
	for i := range m.timers {
		tm := &m.timers[i]
		if late := at[i] - tm.due; tm.fired != 1 || late < 0 || late >= tickMillis {
			t.Errorf("timer for %d expired %d times, at %d", tm.due, tm.fired, at[i])
		}
	}
}

func TestWheelPutsOffAndBringsForward(t *testing.T) {
	t.Parallel()
	const far = 3 * turnMillis
	for _, c := range []struct {
		name string
		arm  []int64
	}{
		{"once", []int64{1000}},
		{"later", []int64{1000, 5000}},
		{"later by turns", []int64{1000, far}},
		{"earlier", []int64{5000, 1000}},
		{"earlier by turns", []int64{far, 1000}},
		{"later and back", []int64{1000, far, 1000}},
		{"later and half back", []int64{1000, far, 3000}},
		{"into the past", []int64{1000, -50}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			m := newModel(t, 1)
			var at int64
			m.inside = func(int) { at = m.now }
			for _, d := range c.arm {
				m.arm(0, d)
			}
			for m.now <= far+tickMillis {
				m.advance(m.now + tickMillis)
			}
			if due := max(c.arm[len(c.arm)-1], 0); m.timers[0].fired != 1 || at < due || at > due+tickMillis {
				t.Errorf("expired %d times, at %d, want once at %d", m.timers[0].fired, at, due)
			}
		})
	}
}

// Postponing a timer, which each read and write does, changes only the timer.
func TestPuttingOffIsLazy(t *testing.T) {
	t.Parallel()
	var w wheel
	var tm Timer
	before := w.arm(&tm, 1000)
	for d := int64(1001); d < 1000+turnMillis; d += 777 {
		if at := w.arm(&tm, d); at != before {
			t.Fatalf("put off to %d: in slot %d, was in %d", d, at, before)
		}
	}
}

// A handler that arms its own timer for the past is called at the next tick, not for ever.
func TestRearmingForThePastEnds(t *testing.T) {
	t.Parallel()
	for _, past := range []int64{0, 1, tickMillis, 10 * turnMillis} {
		t.Run(fmt.Sprint(past), func(t *testing.T) {
			t.Parallel()
			m := newModel(t, 2)
			m.inside = func(i int) {
				m.arm(i, m.now-past)
				m.arm(1-i, m.now-past)
			}
			m.arm(0, 0)
			m.arm(1, 0)
			m.advance(0)
			for tick := int64(1); tick < 200; tick++ {
				m.limit = 2
				m.advance(tick * tickMillis)
				if m.calls == 0 {
					t.Fatalf("at tick %d: not called", tick)
				}
			}
			// After a stall it may be called once for each missed tick, but no more.
			const missed = 500
			m.limit = 2 * missed
			m.advance(m.now + missed*tickMillis)
		})
	}
}

// A handler disarms timers in the slot that is being processed, including its neighbours in the list.
func TestDisarmingNeighboursInside(t *testing.T) {
	t.Parallel()
	const timers = 7
	for victim := range timers {
		m := newModel(t, timers)
		m.inside = func(i int) {
			for d := range 3 {
				if j := (victim + d) % timers; j != i {
					m.disarm(j)
				}
			}
		}
		for i := range timers {
			m.arm(i, 100)
		}
		m.advance(1000)
		for i := range timers {
			if m.timers[i].linked() || m.timers[i].fired > 1 {
				t.Errorf("timer %d: linked %v, fired %d", i, m.timers[i].linked(), m.timers[i].fired)
			}
		}
		if m.wheel.used != (wheel{}).used {
			t.Errorf("slots are marked in an empty wheel")
		}
	}
}

// FuzzWheel interprets its input as a script of steps, each with an operation, a timer and a time. The script also says what handlers do.
func FuzzWheel(f *testing.F) {
	step := func(op, timer byte, ms uint32) []byte {
		return binary.LittleEndian.AppendUint32([]byte{op, timer}, ms)
	}
	script := func(steps ...[]byte) (all []byte) {
		for _, s := range steps {
			all = append(all, s...)
		}
		return all
	}
	f.Add(script(step(0, 1, 100), step(2, 0, 200)))
	f.Add(script(step(0, 1, turnMillis-1), step(0, 2, turnMillis), step(0, 3, 3*turnMillis), step(2, 0, turnMillis), step(2, 0, 5*turnMillis)))
	f.Add(script(step(3, 1, 5), step(0, 1, 1), step(2, 0, 16), step(2, 0, 400000)))
	f.Add(script(step(0, 1, 500), step(0, 1, 9000), step(0, 1, 100), step(1, 1, 0), step(2, 0, 70000)))
	f.Add(script(step(4, 1, 5), step(5, 2, 0), step(0, 1, 10), step(0, 2, 10), step(2, 0, 1000)))
	f.Fuzz(func(t *testing.T, script []byte) {
		m := newModel(t, 16)
		type act struct {
			op byte
			ms int64
		}
		acts := make([]act, len(m.timers)) // what the handler of a timer does
		m.inside = func(i int) {
			a := acts[i]
			acts[i] = act{}
			switch j := (i + 1) % len(m.timers); a.op {
			case 3:
				m.arm(i, m.now+a.ms)
			case 4:
				m.arm(j, m.now+a.ms)
			case 5:
				m.disarm(j)
			}
		}
		for n := 0; len(script) >= 6 && n < 500; n++ {
			i, ms := int(script[1])%len(m.timers), int64(int32(binary.LittleEndian.Uint32(script[2:])))%(4*turnMillis)
			switch op := script[0] % 6; op {
			case 0:
				m.arm(i, m.now+ms)
			case 1:
				m.disarm(i)
			case 2:
				m.advance(m.now + max(ms, -ms))
			default:
				acts[i] = act{op, ms}
			}
			m.check()
			script = script[6:]
		}
	})
}
