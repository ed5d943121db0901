package balance

import (
	"math"
	"math/rand/v2"
	"testing"
	"time"
)

// A cost equals the textbook's moving average, except for rounding to whole microseconds and the approximation of the curve.
func TestCostIsPeakEWMA(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(5, 6))
	for range 50 {
		var c cost
		var want float64 // in us
		now, stamp := int64(r.Uint32()), int64(0)
		steps := []int64{1, 20, 500, 9000}[r.IntN(4)]
		for range 300 {
			now += r.Int64N(2 * steps)
			latency := time.Duration(math.Exp(r.Float64()*12)) * time.Microsecond
			us := max(float64(latency.Microseconds()), 1)
			if us < want {
				us += (want - us) * math.Exp(-float64(now-stamp)/10_000)
			}
			want, stamp = us, now
			c = c.after(latency, now)
			if got := float64(c >> 32); math.Abs(got-want) > want/20+5 {
				t.Fatalf("%.0f us, want %.0f", got, want)
			}
			later := now + r.Int64N(60_000)
			seen := want * math.Exp(-float64(later-stamp)/10_000)
			if got := float64(c.at(later)); math.Abs(got-seen) > want/20+5 {
				t.Fatalf("%.0f us after %d ms, want %.0f", got, later-now, seen)
			}
		}
	}
}

// Latencies in quick succession pull a peak down too, although each moves it by less than a microsecond.
func TestCostFadesAmongManyLatencies(t *testing.T) {
	t.Parallel()
	c := cost(0).after(5*time.Millisecond, 0)
	for now := range int64(10_000) {
		for range 10 {
			c = c.after(time.Millisecond, now)
		}
	}
	if want := 1000 + 4000/math.E; math.Abs(float64(c.at(10_000))-want) > want/10 {
		t.Errorf("%d us after 10 s, want about %.0f", c.at(10_000), want)
	}
}

func TestCostAtTheEdges(t *testing.T) {
	t.Parallel()
	const ms = 1000
	for _, c := range []struct {
		what string
		got  uint32
		want uint32
	}{
		{"nothing known", cost(0).at(5), 0},
		{"at once", cost(0).after(3*time.Millisecond, 7).at(7), 3 * ms},
		{"seen by one whose clock is behind", cost(0).after(3*time.Millisecond, 7).at(5), 3 * ms},
		{"no time at all", cost(0).after(0, 7).at(7), 1},
		{"less than none", cost(0).after(-time.Second, 7).at(7), 1},
		{"for ever", cost(0).after(math.MaxInt64, 7).at(7), math.MaxUint32},
		{"half", cost(0).after(3*time.Millisecond, 0).at(costHalf), 1500},
		{"a quarter", cost(0).after(3*time.Millisecond, 0).at(2 * costHalf), 750},
		{"forgotten", cost(0).after(time.Minute, 0).at(32 * costHalf), 0},
		{"over the end of the clock's lower half", cost(0).after(3*time.Millisecond, math.MaxUint32).at(math.MaxUint32 + costHalf), 1500},
	} {
		if c.got != c.want {
			t.Errorf("%s: %d us, want %d", c.what, c.got, c.want)
		}
	}
}
