package engine

import "testing"

func TestPace(t *testing.T) {
	t.Parallel()
	var p pace
	for _, test := range []struct {
		what  string
		every int64 // a batch in so many ms; 0: two a ms
		slow  bool
	}{
		{"one in 8 ms", 8, true}, {"two a ms", 0, false}, {"one a second", 1000, true}, {"one in 2 ms", 2, false},
	} {
		now := p.from
		for i := range int64(200) {
			if now += test.every; test.every == 0 {
				now += i % 2
			}
			p.batch(now)
		}
		if p.slow != test.slow {
			t.Errorf("%s: slow is %v", test.what, p.slow)
		}
	}
}
