package bench

import (
	"fmt"
	"math"
	"time"
)

const (
	leastCounted   = 0.1 // least undisturbed share of a measurement's time
	latencyRetries = 1   // of a measurement without enough undisturbed time
)

var (
	streamLatency = newLatency("StreamLatency", modeStream, "", 50, 80)
	httpLatency   = newLatency("HTTPLatency", modeHTTP, "load", 20, 35, 50, 65, 80, 90)
)

// newLatency makes the workloads of a latency benchmark: one per rate, in percent of what the slowest contestant can do in front of this load. They
// share that rate, which is found once: it is the same for all contestants. If each workload found its own, it would drift from one to the next.
func newLatency(benchmark string, m mode, curve string, percents ...int) (list []*workload) {
	most := 0.0
	for _, percent := range percents {
		w := &workload{
			name: point(benchmark, "load", percent), mode: m, hosts: hostsPing, pace: pace{loads: 2, rest: time.Second},
			units: []string{"p50-us", "p99-us", "ops/s", "counted-%"},
			prepare: func(_ *harness, all []*target) (err error) {
				if most == 0 && len(all) > 0 {
					most, err = slowestRate(all)
				}
				return err
			},
			measure: func(h *harness, t *target) (metrics, error) {
				r, err := watched(h, t, job{Rate: most * float64(percent) / 100})
				if err != nil {
					return nil, err
				}
				return metrics{
					"p50-us":    micros(r.P50),
					"p99-us":    micros(r.P99),
					"ops/s":     float64(r.Ops) / r.Elapsed.Seconds(),
					"counted-%": 100 * r.Counted,
				}, nil
			},
		}
		if curve != "" {
			w.curve, w.x = curve, float64(percent)
		}
		list = append(list, w)
	}
	return list
}

// watched does j, a job of kind loadPing at a fixed rate, during a time in which other programs leave the CPUs alone.
func watched(h *harness, t *target, j job) (result, error) {
	j.Addr, j.TLS, j.Conns, j.Duration, j.Exchange = t.addr, t.tls(), smallConns, h.load, getSmall
	if h.cores.pinned {
		j.Watch = t.proc.pid
	}
	r, err := t.hosts.ping(j)
	for again := latencyRetries; r.Counted < leastCounted && again > 0; again-- {
		r, err = t.hosts.ping(j)
	}
	if err != nil {
		return r, fmt.Errorf("bench: at %.0f requests a second: %w", j.Rate, err)
	}
	if r.Counted < leastCounted {
		return r, fmt.Errorf("bench: the CPUs were free of other programs for only %.0f%% of the time", 100*r.Counted)
	}
	return r, nil
}

// slowestRate returns the rate that the slowest of all can handle in front of this load.
func slowestRate(all []*target) (float64, error) {
	rate := math.Inf(1)
	for _, t := range all {
		best, err := bestRate(t)
		if err != nil {
			return 0, fmt.Errorf("%s: %w", t.name, err)
		}
		rate = min(rate, best)
	}
	return rate, nil
}

// halfRate returns half of slowestRate.
func halfRate(all []*target) (float64, error) {
	rate, err := slowestRate(all)
	return rate / 2, err
}

func micros(d time.Duration) float64 { return float64(d) / float64(time.Microsecond) }

// bestRate returns how many requests a second t has answered in the best of three short runs: other programs can only lower the rate.
func bestRate(t *target) (float64, error) {
	best := 0.0
	for range 3 {
		r, err := t.hosts.ping(job{Addr: t.addr, TLS: t.tls(), Conns: smallConns, Duration: 300 * time.Millisecond, Exchange: getSmall})
		if err != nil {
			return 0, err
		}
		best = max(best, float64(r.Ops)/r.Elapsed.Seconds())
	}
	return best, nil
}
