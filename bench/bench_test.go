package bench

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

func BenchmarkStreamSmall(b *testing.B)       { run(b) }
func BenchmarkStreamConnect(b *testing.B)     { run(b) }
func BenchmarkStreamDownload(b *testing.B)    { run(b) }
func BenchmarkStreamUpload(b *testing.B)      { run(b) }
func BenchmarkStreamIdle(b *testing.B)        { run(b) }
func BenchmarkStreamSlowReaders(b *testing.B) { run(b) }
func BenchmarkStreamLatency(b *testing.B)     { run(b) }

func BenchmarkHTTPSmall(b *testing.B)         { run(b) }
func BenchmarkHTTPSmallNoLog(b *testing.B)    { run(b) }
func BenchmarkHTTPSmall1(b *testing.B)        { run(b) }
func BenchmarkHTTPSmall1NoLog(b *testing.B)   { run(b) }
func BenchmarkHTTPSmall512(b *testing.B)      { run(b) }
func BenchmarkHTTPSmall512NoLog(b *testing.B) { run(b) }
func BenchmarkHTTPHeaders(b *testing.B)       { run(b) }
func BenchmarkHTTPPost(b *testing.B)          { run(b) }
func BenchmarkHTTPChunked(b *testing.B)       { run(b) }
func BenchmarkHTTPConnect(b *testing.B)       { run(b) }
func BenchmarkHTTPDownload(b *testing.B)      { run(b) }
func BenchmarkHTTPIdle(b *testing.B)          { run(b) }
func BenchmarkHTTPLatency(b *testing.B)       { run(b) }
func BenchmarkHTTPBesideSlow(b *testing.B)    { run(b) }
func BenchmarkHTTPFeatures(b *testing.B)      { run(b) }

func BenchmarkTLSSmall(b *testing.B)            { run(b) }
func BenchmarkTLSFullECDSA(b *testing.B)        { run(b) }
func BenchmarkTLSFullRSA(b *testing.B)          { run(b) }
func BenchmarkTLSResumed(b *testing.B)          { run(b) }
func BenchmarkTLSDownload(b *testing.B)         { run(b) }
func BenchmarkTLSIdle(b *testing.B)             { run(b) }
func BenchmarkTLSBesideHandshakes(b *testing.B) { run(b) }

func BenchmarkHTTP2Small(b *testing.B)         { run(b) }
func BenchmarkHTTP2SmallNoLog(b *testing.B)    { run(b) }
func BenchmarkHTTP2OneConnection(b *testing.B) { run(b) }
func BenchmarkHTTP2Plain(b *testing.B)         { run(b) }
func BenchmarkGRPCUnary(b *testing.B)          { run(b) }
func BenchmarkGRPCUnaryNoLog(b *testing.B)     { run(b) }
func BenchmarkHTTP2Download(b *testing.B)      { run(b) }
func BenchmarkHTTP2Upload(b *testing.B)        { run(b) }
func BenchmarkHTTP2Idle(b *testing.B)          { run(b) }
func BenchmarkHTTP2SlowReaders(b *testing.B)   { run(b) }

func BenchmarkStreamCalls(b *testing.B) { run(b) }
func BenchmarkHTTPCalls(b *testing.B)   { run(b) }
func BenchmarkHTTPCalls1(b *testing.B)  { run(b) }
func BenchmarkTLSCalls(b *testing.B)    { run(b) }

func BenchmarkGrowthConns(b *testing.B)          { run(b) }
func BenchmarkGrowthMemory(b *testing.B)         { run(b) }
func BenchmarkGrowthHosts(b *testing.B)          { run(b) }
func BenchmarkGrowthHostsLeastConn(b *testing.B) { run(b) }
func BenchmarkGrowthRoutes(b *testing.B)         { run(b) }
func BenchmarkGrowthWorkers(b *testing.B)        { run(b) }

func BenchmarkHTTPRate(b *testing.B)            { run(b) }
func BenchmarkStreamRate(b *testing.B)          { run(b) }
func BenchmarkHTTPDefaults(b *testing.B)        { run(b) }
func BenchmarkTLSConcurrency(b *testing.B)      { run(b) }
func BenchmarkTLSConcurrencyLoose(b *testing.B) { run(b) }
func BenchmarkHTTPSize(b *testing.B)            { run(b) }

// run runs the benchmark of this name in the suite: either one workload, or a sub-benchmark for each point of a curve.
func run(b *testing.B) {
	found := false
	for _, w := range suite {
		name, point := w.benchmark()
		if "Benchmark"+name != b.Name() {
			continue
		}
		found = true
		if point == "" {
			family(b, w)
		} else {
			b.Run(point, func(b *testing.B) { family(b, w) })
		}
	}
	if !found {
		b.Fatalf("%s is not in the suite", b.Name())
	}
}

// family runs a sub-benchmark for each contestant. Package testing runs all repetitions (-count) of one sub-benchmark before it starts the next, so
// the contestants would be measured minutes apart. Therefore the first sub-benchmark that reaches repetition i runs the whole comparison, with all
// contestants taking turns, and each sub-benchmark reports its own part of it: the medians over the rounds.
func family(b *testing.B, w *workload) {
	h := theHarness(b)
	if w.needs != nil {
		if err := w.needs(h); err != nil {
			skip(b, fmt.Errorf("%s is skipped: %w", w.name, err))
		}
	}
	var done []*comparison
	rivals := contestants(h.peers, w)
	for _, p := range rivals {
		name, i := p.name, 0
		b.Run("proxy="+name, func(b *testing.B) {
			if i == len(done) {
				if !h.hasTime(w.takes(len(rivals), thoroughness{1, h.load})) {
					skip(b, fmt.Errorf("%s is skipped: it would not finish by %s (see -timeout)", w.name, h.until.Format(time.TimeOnly)))
				}
				c, err := h.compare(w)
				if err != nil {
					say(fmt.Sprintf("%s could not be measured: %v", w.name, err))
					b.Fatal(err)
				}
				if c.done < h.rounds {
					say(fmt.Sprintf("%s has %d rounds of %d: there was no time for more (see -timeout)", w.name, c.done, h.rounds))
				}
				done = append(done, c)
				board.all = append(board.all, c)
			}
			c := done[i]
			i++
			if err := c.failed[name]; err != nil {
				b.Fatal(err)
			}
			b.ReportMetric(0, "ns/op") // omits ns/op, which would be the time of the whole comparison
			for _, unit := range w.units {
				b.ReportMetric(median(c.values(name, unit)), unit)
			}
		})
	}
}

// skip skips a benchmark, and has the reason printed at the end: package testing prints it with -v only.
func skip(b *testing.B, why error) {
	say(why.Error())
	b.ReportMetric(0, "ns/op") // a repetition that is skipped has a line in the output nevertheless
	b.Skip(why)
}

// say has a text printed at the end, once and on a line of its own: printed now, it might end up in the middle of one of package testing's lines.
func say(what string) {
	if what = "bench: " + strings.NewReplacer("bench: ", "", "\n", "; ").Replace(what); !slices.Contains(board.skipped, what) {
		board.skipped = append(board.skipped, what)
	}
}
