package upstream

import "testing"

// Any two loops seldom yield at the same time; otherwise neither would find the other's places.
func TestLoopsYieldAtDifferentTimes(t *testing.T) {
	t.Parallel()
	const rounds, rows = 1000, 40
	for a := range rows {
		for b := range a {
			same := 0
			for round := range int64(rounds) {
				at := yieldAt(a, round)
				if at < 0 || at >= queueRound/queueYield {
					t.Fatalf("row %d yields in part %d of round %d", a, at, round)
				}
				if at == yieldAt(b, round) {
					same++
				}
			}
			if same > rounds/3 { // one in six is expected by chance
				t.Errorf("rows %d and %d yield at the same time in %d of %d rounds", a, b, same, rounds)
			}
		}
	}
}
