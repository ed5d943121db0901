package bench

import "testing"

// Names are the keys of the table's rows and of curves' points, so they must be unique.
func TestSuite(t *testing.T) {
	t.Parallel()
	type place struct {
		curve string
		x     float64
	}
	names, places := map[string]bool{}, map[place]bool{}
	for _, w := range suite {
		if names[w.name] || w.name == "" {
			t.Errorf("two workloads are called %q", w.name)
		}
		names[w.name] = true
		if at := (place{w.curve, w.x}); w.curve != "" {
			if places[at] {
				t.Errorf("%s: its curve %s has another point at %v", w.name, w.curve, w.x)
			}
			places[at] = true
		}
		if len(w.units) == 0 || w.measure == nil || len(contestants(allPeers("", "", ""), w)) == 0 {
			t.Errorf("%s measures nothing", w.name)
		}
	}
}
