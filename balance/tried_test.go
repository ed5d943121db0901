package balance_test

import (
	"math/rand/v2"
	"testing"

	"kroxy-ev/balance"
)

// oracle is the obvious set.
type oracle map[int]bool

func compare(t *testing.T, got *balance.Tried, want oracle, upTo int) {
	t.Helper()
	if got.Count() != len(want) {
		t.Fatalf("Count: %d, want %d", got.Count(), len(want))
	}
	for i := range upTo {
		if got.Has(i) != want[i] {
			t.Fatalf("Has(%d): %v, want %v", i, got.Has(i), want[i])
		}
	}
}

func TestTriedBoundaries(t *testing.T) {
	t.Parallel()
	var set balance.Tried
	want := make(oracle)
	compare(t, &set, want, 1100)
	for _, i := range []int{0, 63, 64, 65, 64, 127, 128, 999, 1000, 191, 0} {
		set.Add(i)
		want[i] = true
		compare(t, &set, want, 1100)
	}
	set.Clear()
	compare(t, &set, oracle{}, 1100)
	set.Add(64)
	compare(t, &set, oracle{64: true}, 1100)
}

func TestTriedAgainstMap(t *testing.T) {
	t.Parallel()
	for _, hosts := range []int{1, 64, 65, 200, 1000} {
		var set balance.Tried
		want := make(oracle)
		for range 3000 {
			switch rand.IntN(100) {
			case 0:
				set.Clear()
				clear(want)
			default:
				i := rand.IntN(hosts)
				set.Add(i)
				want[i] = true
			}
			if i := rand.IntN(hosts + 100); set.Has(i) != want[i] {
				t.Fatalf("%d hosts: Has(%d): %v, want %v", hosts, i, set.Has(i), want[i])
			}
		}
		compare(t, &set, want, hosts+100)
	}
}

// FuzzTried reads pairs of bytes: a host to add or, for the last number, the command to clear.
func FuzzTried(f *testing.F) {
	f.Add([]byte{0, 0, 0, 63, 0, 64, 3, 231})
	f.Add([]byte{0, 64, 255, 255, 0, 64, 0, 128})
	f.Fuzz(func(t *testing.T, script []byte) {
		var set balance.Tried
		want := make(oracle)
		for ; len(script) >= 2; script = script[2:] {
			if script[0] == 255 && script[1] == 255 {
				set.Clear()
				clear(want)
				continue
			}
			i := (int(script[0])<<8 | int(script[1])) % 2048
			set.Add(i)
			want[i] = true
			if !set.Has(i) || set.Count() != len(want) {
				t.Fatalf("after Add(%d): %v, %d, want %d", i, set.Has(i), set.Count(), len(want))
			}
		}
		compare(t, &set, want, 2100)
	})
}
