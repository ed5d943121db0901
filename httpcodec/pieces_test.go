package httpcodec

import (
	"slices"
	"testing"
)

// Which pieces of messages are acknowledged at once. Each piece has a size in bytes, and arrives a number of ms after the
// previous one.
func TestPieces(t *testing.T) {
	t.Parallel()
	type piece struct {
		since int64
		size  int
	}
	again := func(n int, p piece) []piece { return slices.Repeat([]piece{p}, n) }
	head := piece{0, 100}
	for name, c := range map[string]struct {
		pieces []piece
		want   []int // indexes of the pieces that are acknowledged at once
	}{
		"a head":                         {[]piece{head}, []int{0}},
		"a first flight":                 {append([]piece{{0, 14_600}}, again(50, piece{1, 14_600})...), nil},
		"4 KiB each":                     {append([]piece{head}, again(50, piece{1, 4096})...), []int{0}},
		"4 KiB now and then":             {append([]piece{head}, again(50, piece{1000, 4096})...), []int{0}},
		"small pieces":                   {append([]piece{head}, again(50, piece{1, 10})...), []int{0, 1}},
		"small pieces now and then":      {append([]piece{head}, again(50, piece{300, 10})...), []int{0, 1}},
		"a stall":                        {append([]piece{head, {0, 10}, {1, 10}, {40, 10}}, again(30, piece{1, 10})...), []int{0, 1, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18}},
		"a stall, long pieces":           {append([]piece{head, {0, 10}, {1, 10}, {40, 10}}, again(30, piece{1, longRead})...), []int{0, 1, 3}},
		"pauses that are nobody's stall": {append([]piece{head}, again(50, piece{100, 10})...), []int{0, 1, 3, 4, 5, 6}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var p pieces
			var got []int
			now := int64(1000)
			p.begin()
			for i, piece := range c.pieces {
				now += piece.since
				if p.received(now, piece.size) {
					got = append(got, i)
				}
			}
			if !slices.Equal(got, c.want) {
				t.Errorf("pieces %v are acknowledged at once, want %v", got, c.want)
			}
			// The pause between two messages is not a stall.
			p = pieces{}
			for range 3 {
				p.begin()
				if now += 40; p.received(now, longRead) {
					t.Error("a pause between messages counts as a stall")
				}
			}
		})
	}
}
