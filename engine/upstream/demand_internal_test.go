package upstream

import "testing"

// The peak of the last two periods stays; each check closes half of the rest.
func TestDemand(t *testing.T) {
	t.Parallel()
	var d demand
	idle := 0
	use := func(n int) { // n connections at once, briefly
		for range n {
			d.begin()
		}
		idle = max(idle, n)
		for range n {
			d.end()
		}
	}
	for i, step := range []struct{ use, want int }{
		{100, 100}, {100, 100}, {10, 100}, // the peak was 100 in the period before
		{10, 55}, {10, 32}, {10, 21}, {10, 15}, {10, 12}, {10, 11}, {10, 10}, {10, 10},
		{30, 30}, {0, 30}, {0, 15}, {0, 7}, {0, 3}, {0, 1}, {0, 0}, {0, 0},
	} {
		use(step.use)
		if idle -= d.look(idle); idle != step.want {
			t.Fatalf("step %d: %d connections are kept, want %d", i, idle, step.want)
		}
	}
	for range 5 {
		d.begin()
	}
	d.look(0)
	d.look(0)
	if d.look(3) != 2 {
		t.Error("connections in use are not told from idle ones")
	}
}
