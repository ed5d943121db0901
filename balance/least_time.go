package balance

import (
	"math"
	"sync/atomic"
	"time"
)

var leastTimeAlgorithm = Algorithm{
	Name: "least_time",
	Doc:  "the host that is expected to answer first: by its recent response times, multiplied by its active requests, for its `weight`; of more than 16 hosts, the best of five",
	make: func(Key, []Spec) Balancer { return leastTime{} },
}

// leastTime takes the host that will probably answer a request first: by the decaying peak of its latencies times the number of its leases
// plus one (peak EWMA). All loops and processes share these figures.
type leastTime struct{}

// unknown is the cost, in us, of a host without a known latency while its first request is under way: until that is answered, other
// requests go elsewhere.
const unknown = math.MaxUint32

// Pick implements Balancer.
func (leastTime) Pick(hosts *Hosts, _ []byte, tried *Tried) int {
	var s sample
	hosts.sample(&s, tried)
	active := hosts.counters.column(cellActive)
	for k := range s.size {
		i := int(s.hosts[k])
		held := uint64(active.sum(hosts.ids[i]))
		us := cost(atomic.LoadUint64(hosts.word(i, lineCost))).at(tried.now)
		if us == 0 && held > 0 {
			us = unknown
		}
		s.loads[k] = uint64(us) * (held + 1)
		if s.settled(k) {
			return int(s.hosts[0])
		}
	}
	return s.least(hosts, tried)
}

// longWait is how long a host without a known latency must have been waited for in vain before the wait counts as a latency.
const longWait = 100 * time.Millisecond

// Observe implements Observer. The time that a host was waited for in vain is a lower bound of its latency, so it can only raise the cost:
// an error may come fast, and a client may leave early. While a host errs, its peak does not decay.
func (leastTime) Observe(hosts *Hosts, i int, o Outcome, now int64) {
	word := hosts.word(i, lineCost)
	for {
		old, latency := cost(atomic.LoadUint64(word)), o.Latency
		known := time.Duration(old.at(now)) * time.Microsecond
		switch {
		case o.Class == Served:
		case known == 0 && latency < longWait:
			return
		case o.Class == Erred:
			latency = max(latency, old.peak())
		case latency <= known:
			return
		}
		if latency <= 0 {
			return // the latency is not known
		}
		next := old.after(latency, now)
		if next == old || atomic.CompareAndSwapUint64(word, uint64(old), uint64(next)) {
			return
		}
	}
}
