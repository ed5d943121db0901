package balance

import (
	"fmt"
	"math"
	"sync/atomic"
	"testing"
	"time"
)

// shareOut counts the hosts of many choices, each of which is released at once.
func shareOut(tb testing.TB, g *Group, now int64, tried Tried) []int {
	tb.Helper()
	had := make([]int, g.hosts.Len())
	for n := range 5200 {
		none := tried
		lease, ok := g.Acquire(0, fmt.Appendf(nil, "key %d", n), &none, now)
		if !ok {
			tb.Fatal("no host")
		}
		had[lease.Host()]++
		lease.Release(Outcome{}, now)
	}
	return had
}

// evenly are the algorithms that spread choices over idle hosts by weight.
var evenly = []string{"round_robin", "least_conn", "least_time", "random_two", "hash", "ip_hash"}

// During slow start a host gets its current weight's share, whatever the others weigh.
func TestSlowStartIsAShare(t *testing.T) {
	t.Parallel()
	for _, algorithm := range evenly {
		t.Run(algorithm, func(t *testing.T) {
			t.Parallel()
			o := Options{Algorithm: algorithm, SlowStart: 10 * time.Second}
			for i := range 4 {
				o.Hosts = append(o.Hosts, Spec{ID: fmt.Sprint(i), Weight: 3})
			}
			g, err := NewGroupOf([]int{0, 1, 2, 3}, o, NewCounters(1, 4))
			if err != nil {
				t.Fatal(err)
			}
			const began = 1000
			g.hosts.startSlowStart(1, began)
			for at, want := range map[int64][4]float64{began + 2500: {4. / 13, 1. / 13, 4. / 13, 4. / 13}, began + 10_000: {.25, .25, .25, .25}} {
				had := shareOut(t, g, at, Tried{})
				for i, p := range want {
					if math.Abs(float64(had[i])/5200-p) > 7*math.Sqrt(p*(1-p)/5200) {
						t.Errorf("after %d ms: %v", at-began, had)
						break
					}
				}
			}
		})
	}
}

// Backups get nothing while a host of an earlier tier is usable, and then share by weight; a host of weight zero gets nothing.
func TestTiersShareByThemselves(t *testing.T) {
	t.Parallel()
	for _, algorithm := range evenly {
		t.Run(algorithm, func(t *testing.T) {
			t.Parallel()
			weights, tiers := []int{5, 1, 0, 2, 1, 7}, []int{BackupTier, 0, 0, 0, BackupTier, 7}
			o := Options{Algorithm: algorithm}
			for i, w := range weights {
				o.Hosts = append(o.Hosts, Spec{ID: fmt.Sprint(i), Weight: w, Tier: tiers[i]})
			}
			g, err := NewGroupOf([]int{0, 1, 2, 3, 4, 5}, o, NewCounters(1, 6))
			if err != nil {
				t.Fatal(err)
			}
			var tried Tried
			for _, want := range [][]float64{{0, 1. / 3, 0, 2. / 3, 0, 0}, {0, 0, 0, 0, 0, 1}, {5. / 6, 0, 0, 0, 1. / 6, 0}} {
				had := shareOut(t, g, 1, tried)
				for i, p := range want {
					if math.Abs(float64(had[i])/5200-p) > 7*math.Sqrt(p*(1-p)/5200) {
						t.Errorf("without %d hosts: %v", tried.Count(), had)
						break
					}
					if p > 0 {
						tried.Add(i)
					}
				}
			}
		})
	}
}

// When all hosts are down each still gets its share of the attempts, whatever turns were taken in vain.
func TestHostsThatAreDownShare(t *testing.T) {
	t.Parallel()
	for _, algorithm := range evenly {
		for _, weights := range [][]int{{1, 1}, {64, 66}} {
			t.Run(fmt.Sprint(algorithm, weights), func(t *testing.T) {
				t.Parallel()
				o, total := Options{Algorithm: algorithm}, 0
				for i, w := range weights {
					o.Hosts = append(o.Hosts, Spec{ID: fmt.Sprint(i), Weight: w})
					total += w
				}
				g, err := NewGroupOf([]int{0, 1}, o, NewCounters(1, 2))
				if err != nil {
					t.Fatal(err)
				}
				for i := range weights {
					atomic.StoreUint64(g.hosts.word(i, lineHealth), uint64(downFor(1, 5000)))
				}
				had := shareOut(t, g, 1, Tried{})
				for i, w := range weights {
					if p := float64(w) / float64(total); math.Abs(float64(had[i])/5200-p) > 7*math.Sqrt(p*(1-p)/5200) {
						t.Errorf("%v", had)
						break
					}
				}
			})
		}
	}
}
