package bench

import "testing"

func BenchmarkStreamSmall(b *testing.B)       { family(b, streamSmall) }
func BenchmarkStreamConnect(b *testing.B)     { family(b, streamConnect) }
func BenchmarkStreamDownload(b *testing.B)    { family(b, streamDownload) }
func BenchmarkStreamUpload(b *testing.B)      { family(b, streamUpload) }
func BenchmarkStreamIdle(b *testing.B)        { family(b, streamIdle) }
func BenchmarkStreamSlowReaders(b *testing.B) { family(b, streamSlowReaders) }
func BenchmarkStreamLatency(b *testing.B)     { family(b, newStreamLatency()) }

// family runs a sub-benchmark for each contestant. Package testing runs all repetitions (-count) of one of them before
// the next, which would measure them minutes apart. So the first that comes to repetition i runs the whole comparison,
// all contestants in turns, and each reports its own part of it: the medians over the rounds.
func family(b *testing.B, w *workload) {
	h := theHarness(b)
	var done []*comparison
	for _, name := range h.contestants(w) {
		i := 0
		b.Run("proxy="+name, func(b *testing.B) {
			if i == len(done) {
				c, err := h.compare(w)
				if err != nil {
					b.Fatal(err)
				}
				done = append(done, c)
				board.all = append(board.all, c)
			}
			c := done[i]
			i++
			if err := c.failed[name]; err != nil {
				b.Fatal(err)
			}
			b.ReportMetric(0, "ns/op") // leaves it out: it would be the time of the whole comparison
			for _, unit := range w.units {
				b.ReportMetric(median(c.values(name, unit)), unit)
			}
		})
	}
}
