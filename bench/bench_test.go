package bench

import "testing"

func BenchmarkStreamSmall(b *testing.B)       { family(b, streamSmall) }
func BenchmarkStreamConnect(b *testing.B)     { family(b, streamConnect) }
func BenchmarkStreamDownload(b *testing.B)    { family(b, streamDownload) }
func BenchmarkStreamUpload(b *testing.B)      { family(b, streamUpload) }
func BenchmarkStreamIdle(b *testing.B)        { family(b, streamIdle) }
func BenchmarkStreamSlowReaders(b *testing.B) { family(b, streamSlowReaders) }
func BenchmarkStreamLatency(b *testing.B)     { family(b, newLatency("StreamLatency", modeStream)) }

func BenchmarkHTTPSmall(b *testing.B)         { family(b, httpSmall) }
func BenchmarkHTTPSmallNoLog(b *testing.B)    { family(b, httpSmallNoLog) }
func BenchmarkHTTPSmall1(b *testing.B)        { family(b, httpSmall1) }
func BenchmarkHTTPSmall1NoLog(b *testing.B)   { family(b, httpSmall1NoLog) }
func BenchmarkHTTPSmall512(b *testing.B)      { family(b, httpSmall512) }
func BenchmarkHTTPSmall512NoLog(b *testing.B) { family(b, httpSmall512NoLog) }
func BenchmarkHTTPHeaders(b *testing.B)       { family(b, httpHeaders) }
func BenchmarkHTTPPost(b *testing.B)          { family(b, httpPost) }
func BenchmarkHTTPChunked(b *testing.B)       { family(b, httpChunked) }
func BenchmarkHTTPConnect(b *testing.B)       { family(b, httpConnect) }
func BenchmarkHTTPDownload(b *testing.B)      { family(b, httpDownload) }
func BenchmarkHTTPIdle(b *testing.B)          { family(b, httpIdle) }
func BenchmarkHTTPLatency(b *testing.B)       { family(b, newLatency("HTTPLatency", modeHTTP)) }
func BenchmarkHTTPBesideSlow(b *testing.B)    { family(b, newBesideSlow()) }

func BenchmarkTLSSmall(b *testing.B)            { family(b, tlsSmall) }
func BenchmarkTLSFullECDSA(b *testing.B)        { family(b, tlsFullECDSA) }
func BenchmarkTLSFullRSA(b *testing.B)          { family(b, tlsFullRSA) }
func BenchmarkTLSResumed(b *testing.B)          { family(b, tlsResumed) }
func BenchmarkTLSDownload(b *testing.B)         { family(b, tlsDownload) }
func BenchmarkTLSIdle(b *testing.B)             { family(b, tlsIdle) }
func BenchmarkTLSBesideHandshakes(b *testing.B) { family(b, newBesideHandshakes()) }

// family runs a sub-benchmark for each contestant. Package testing runs all repetitions (-count) of one of them before
// the next, which would measure them minutes apart. So the first that comes to repetition i runs the whole comparison,
// all contestants in turns, and each reports its own part of it: the medians over the rounds.
func family(b *testing.B, w *workload) {
	h := theHarness(b)
	var done []*comparison
	for _, p := range h.contestants(w) {
		name, i := p.name, 0
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
