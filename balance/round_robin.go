package balance

import "math/rand/v2"

var roundRobinAlgorithm = Algorithm{
	Name: "round_robin",
	Doc:  "the hosts in turn, each as often as its `weight` says",
	make: func(Key, []Spec) Balancer { return roundRobin{} },
}

// roundRobin takes the hosts in turn. The turn is in the counters, so the order is exact over all loops and worker processes: if each had
// its own turn, the first connection of each would go to the same host. The price is a shared cache line that is written at every choice:
// some 20 ns of CPU at worst (BenchmarkTurnAmongWriters). A host that was tried or is down is skipped by taking a further turn, so the
// other hosts share its turns evenly instead of the next host getting them all. While an order overrides a weight, hosts are drawn at
// random, because the turns follow the configured weights.
type roundRobin struct{}

// maxTurns bounds the turns that are taken for one choice.
const maxTurns = 64

// Pick implements Balancer.
func (roundRobin) Pick(hosts *Hosts, _ []byte, tried *Tried) int {
	t := hosts.currentTier(tried)
	if hosts.ordered().weights() {
		return t.draw(hosts, rand.Uint64(), tried)
	}
	random := uint64(0)
	for range min(maxTurns, len(t.order)) {
		var i int
		if i, random = t.take(tried); hosts.Usable(i, tried) && hosts.acceptsTurn(i, random, tried) {
			return i
		}
	}
	// Most hosts or the heaviest ones are not usable, or other loops took the turns in between.
	return t.draw(hosts, random, tried)
}
