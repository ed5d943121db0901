package bench

import (
	"slices"
	"testing"
	"time"
)

func TestChooseOptions(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		benchtime string
		rounds    int
		seconds   float64
		only      string
		want      options
		bad       bool
	}{
		{},
		{only: "nginx", want: options{only: []string{"nginx"}}},
		{rounds: 1, want: options{thoroughness: thoroughness{1, 2 * time.Second}}},
		{benchtime: "5x", want: options{thoroughness: thoroughness{5, 2 * time.Second}}},
		{benchtime: "4s", want: options{thoroughness: thoroughness{3, 4 * time.Second}}},
		{benchtime: "4s", rounds: 7, seconds: 0.5, only: "nginx,kroxy-ev", want: options{thoroughness: thoroughness{7, time.Second / 2}, only: []string{"nginx", "kroxy-ev"}}},
		{benchtime: "0x", bad: true},
		{benchtime: "x", bad: true},
		{seconds: -1, bad: true},
		{rounds: -1, bad: true},
	} {
		got, err := chooseOptions(tc.benchtime, tc.rounds, tc.seconds, tc.only)
		if (err != nil) != tc.bad {
			t.Errorf("%+v: error %v", tc, err)
		}
		if err == nil && (got.thoroughness != tc.want.thoroughness || !slices.Equal(got.only, tc.want.only)) {
			t.Errorf("%+v: got %+v", tc, got)
		}
	}
}
