package metrics_test

import (
	"bytes"
	"encoding/binary"
	"math"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"kroxy-ev/engine/metrics"
)

// A compromised worker may have written anything into its row. Adding up rows must not panic, and no sum may exceed
// an int64, fall below zero, or hide the counts of other rows.
func FuzzHostileRow(f *testing.F) {
	const damaged = 8192 // more words than the series take
	f.Add(uint16(0), []byte{0xff})
	f.Add(uint16(64), []byte("nonsense"))
	f.Add(uint16(3), []byte{1, 2, 3, 4, 5})
	f.Add(uint16(128), binary.LittleEndian.AppendUint64(nil, math.MaxInt64))
	f.Add(uint16(128), binary.LittleEndian.AppendUint64(nil, math.MaxInt64+1))
	f.Add(uint16(0), []byte{})
	table := newTable(f)
	series := []metrics.Series{server("a"), {Kind: metrics.KindRoute, Server: "a", Route: "r"}, {Kind: metrics.KindGroup, Group: "g"}, host("h")}
	places := assign(f, table, series...)
	table.Commit()
	sound, hostile := row(f, table, 0), row(f, table, 1)
	sound.Server(places[0]).Accepted.Add(1)
	sound.Server(places[0]).Active.Add(1)
	f.Fuzz(func(t *testing.T, at uint16, b []byte) {
		if len(b) == 0 {
			return
		}
		b = bytes.Repeat(b, damaged/len(b)+1)[:damaged]
		if _, err := unix.Pwrite(hostile.FD(), b, int64(at)); err != nil {
			t.Fatal(err)
		}
		defer func() {
			if _, err := unix.Pwrite(hostile.FD(), make([]byte, damaged), int64(at)); err != nil {
				t.Error(err)
			}
		}()
		look := func() {
			for k, p := range places {
				kind := metrics.Kind(k)
				sums := table.Sum(kind, p, nil)
				for _, c := range metrics.Columns(kind) {
					for i := range c.Values {
						if c.Type == metrics.TypeHistogram {
							h := sums.Histogram(&c, i)
							if q := h.Quantile(0.99); q < 0 || q > 64*time.Second || h.Sum() < 0 || h.Count() > math.MaxInt64 {
								t.Errorf("%s: p99 %v, sum %v, count %d", c.Name, q, h.Sum(), h.Count())
							}
						} else if n := sums.Value(&c, i); n > math.MaxInt64 {
							t.Errorf("%s: %d", c.Name, n)
						}
					}
				}
			}
			p := table.Process(1)
			_, _, _ = p.Runs.Quantile(0.5), p.Busy.Value(), p.LinesLost.Value()
		}
		look()
		if s := table.Server(places[0]); s.Accepted.Value() < 1 || s.Active.Value() < 1 {
			t.Errorf("%d accepted, %d active", s.Accepted.Value(), s.Active.Value())
		}
		table.ClearGauges(1)
		look()
		if n := table.Server(places[0]).Active.Value(); n != 1 {
			t.Errorf("%d active after the hostile row was cleared", n)
		}
		for _, list := range [][]metrics.Series{{host("other")}, series} {
			assign(t, table, list...)
			table.Commit()
		}
	})
}
