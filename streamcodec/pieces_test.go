package streamcodec

import (
	"slices"
	"testing"
)

// piece arrives a number of ms after the previous one, when a number of bytes have been sent in the other direction.
type piece struct{ since, answers int64 }

func TestTurns(t *testing.T) {
	t.Parallel()
	whole := func(n int) (all []piece) { // turns of one piece
		for i := range n {
			all = append(all, piece{1, int64(10 + i)})
		}
		return all
	}
	stalled := []piece{{5, 1}, {40, 1}}
	for name, test := range map[string]struct {
		begins byte
		pieces []piece
		want   []int // indexes of those that are acknowledged at once
	}{
		"one piece a turn":                      {'G', whole(40), nil},
		"pieces without a stall":                {'G', []piece{{5, 1}, {1, 1}, {1, 1}, {5, 2}, {1, 2}}, nil},
		"a stall":                               {'G', append(stalled, piece{5, 2}, piece{1, 2}, piece{5, 3}, piece{1, 3}), []int{2, 4}},
		"a person's pause":                      {'G', []piece{{5, 1}, {1000, 1}, {5, 2}}, nil},
		"a pause that is too short":             {'G', []piece{{5, 1}, {20, 1}, {5, 2}}, nil},
		"a pause behind the second piece":       {'G', []piece{{5, 1}, {1, 1}, {40, 1}, {5, 2}}, nil},
		"pieces that nobody answers":            {'G', []piece{{40, 0}, {40, 0}, {40, 0}}, nil},
		"TLS, the client's second flight":       {handshake, []piece{{5, 1000}, {1, 1000}, {5, 2000}}, []int{0}},
		"TLS, a hello in pieces, second flight": {handshake, []piece{{1, 0}, {5, 1000}, {5, 2000}}, []int{1}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tt := turns{answers: -1}
			tt.begin(test.begins)
			var got []int
			for i, p := range test.pieces {
				tt.ackNow = false
				if tt.received(p.since, p.answers); tt.ackNow {
					got = append(got, i)
				}
			}
			if !slices.Equal(got, test.want) {
				t.Errorf("pieces %v are acknowledged at once, want %v", got, test.want)
			}
		})
	}
	tt := turns{answers: -1}
	tt.begin('G')
	hurried := 0
	for _, p := range slices.Concat(stalled, whole(2*ackRun)) {
		tt.ackNow = false
		if tt.received(p.since, p.answers); tt.ackNow {
			hurried++
		}
	}
	if hurried != ackRun {
		t.Errorf("%d turns in one piece were acknowledged at once behind a stall, want %d", hurried, ackRun)
	}
}
