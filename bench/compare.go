package bench

import (
	"fmt"
	"slices"
	"time"
)

// metrics are the figures of one measurement by unit, such as "cpu-us/op".
type metrics map[string]float64

// workload is a family of measurements: one row of the table for each unit.
type workload struct {
	name   string   // of the benchmark, without "Benchmark"; for a point of a curve, BENCHMARK/POINT
	mode   mode     // how the contestants proxy
	units  []string // results of measure, in the order of reporting
	bulk   bool     // the contestants for bulk transfers take part too
	fresh  bool     // each measurement uses a new process
	noLog  bool     // access logs are off
	rsa    bool     // the contestants' certificate has an RSA key, not an ECDSA one
	loose  bool     // nothing is bound to a CPU, and the contestants have their defaults: see looseRow
	hosts  hostKind // the hosts behind the contestants
	curve  string   // name of the curve that this is a point of, at x; "": none
	x      float64
	deploy deployment // not zero: only kroxy-ev takes part, set up like this
	pace   pace
	// needs, if not nil, returns why this machine cannot measure the workload, or nil.
	needs func(h *harness) error
	// prepare, if not nil, is called once with all contestants before the first round.
	prepare func(h *harness, all []*target) error
	measure func(h *harness, t *target) (metrics, error)
}

// comparison is the outcome of a workload.
type comparison struct {
	work   *workload
	names  []string             // contestants, in the order of measurement
	rounds map[string][]metrics // by contestant; of equal length unless one failed; nil entries where merged found none
	done   int                  // number of rounds; fewer than wanted if there was no time for more
	failed map[string]error     // by contestant: its first error, after which it no longer takes part
}

// compare runs w's rounds: in each round every contestant once, one after another, so that drift of the machine affects all alike. A contestant
// that fails is left out from then on; an error means that the hosts or the preparation failed.
func (h *harness) compare(w *workload) (*comparison, error) {
	c := &comparison{work: w, rounds: map[string][]metrics{}, failed: map[string]error{}}
	if w.loose {
		bound := h.cores
		h.cores = bound.shared()
		defer func() { h.cores = bound }()
	}
	hs, err := h.hostsFor(w)
	if err != nil {
		return nil, err
	}
	defer hs.proc.stop()

	running := map[string]*target{}
	defer func() {
		for _, t := range running {
			t.proc.stop()
		}
	}()
	peers := contestants(h.peers, w)
	var targets []*target
	for _, p := range peers {
		c.names = append(c.names, p.name)
		if w.fresh {
			continue
		}
		t, err := h.startTarget(w, p, hs)
		if err != nil {
			c.failed[p.name] = err
			continue
		}
		t.setRound(0)
		running[p.name] = t
		targets = append(targets, t)
	}
	if w.prepare != nil {
		if err := w.prepare(h, targets); err != nil {
			return nil, err
		}
	}
	var longest time.Duration // longest round so far
	for round := range h.rounds {
		if round > 0 && !h.hasTime(longest) {
			break
		}
		begin := time.Now()
		for _, p := range peers {
			if c.failed[p.name] != nil {
				continue
			}
			m, err := h.measureOnce(w, p, running[p.name], hs, round)
			if err != nil {
				c.failed[p.name] = fmt.Errorf("%s, round %d: %w", p.name, round+1, err)
				continue
			}
			c.rounds[p.name] = append(c.rounds[p.name], m)
		}
		c.done, longest = round+1, max(longest, time.Since(begin))
	}
	return c, nil
}

// measureOnce measures p once: with t, or with a new process if t is nil.
func (h *harness) measureOnce(w *workload, p peer, t *target, hs *hosts, round int) (metrics, error) {
	if t == nil {
		var err error
		if t, err = h.startTarget(w, p, hs); err != nil {
			return nil, err
		}
		defer t.proc.stop()
	}
	t.setRound(round)
	if t.tls() {
		if err := checkTLS(t); err != nil {
			return nil, t.proc.blame(err)
		}
	}
	m, err := w.measure(h, t)
	if err != nil {
		return nil, t.proc.blame(err)
	}
	return m, nil
}

// values returns a contestant's figures of one unit, one per round that it has.
func (c *comparison) values(name, unit string) []float64 {
	var v []float64
	for _, m := range c.rounds[name] {
		if m != nil {
			v = append(v, m[unit])
		}
	}
	return v
}

// quotients returns a's figures of one unit divided by b's, round by round, because the figures of a round were measured close together. Rounds
// that
// only one of them has are left out, and those in which b's figure is 0.
func (c *comparison) quotients(a, b, unit string) []float64 {
	var q []float64
	of, by := c.rounds[a], c.rounds[b]
	for i := range min(len(of), len(by)) {
		if of[i] != nil && by[i] != nil && by[i][unit] != 0 {
			q = append(q, of[i][unit]/by[i][unit])
		}
	}
	return q
}

// median returns the middle of v, or the mean of the two in the middle; 0 for an empty v. It does not change v.
func median(v []float64) float64 {
	if len(v) == 0 {
		return 0
	}
	s := slices.Sorted(slices.Values(v))
	m := len(s) / 2
	if len(s)%2 == 1 {
		return s[m]
	}
	return (s[m-1] + s[m]) / 2
}

// spread returns (max-min)/median; 0 if v is empty or the median is 0.
func spread(v []float64) float64 {
	m := median(v)
	if m == 0 {
		return 0
	}
	return (slices.Max(v) - slices.Min(v)) / m
}
