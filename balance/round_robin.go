package balance

import "math/rand/v2"

var roundRobinAlgorithm = Algorithm{
	Name: "round_robin",
	Doc:  "the hosts in turn, each as often as its `weight` says",
	make: func(Key, []Spec) Balancer { return roundRobin{} },
}

// roundRobin takes the hosts in turn. The turn lies with the counters, so the order is exact over all loops and all worker
// processes: if each had its own, the first connection of each would go to the same host. What they pay for it is a cache
// line that is written at every choice: some 20 ns of CPU at worst (BenchmarkTurnAmongWriters). A host that was
// tried or is down is passed over by taking a further turn, so each of the others gets every turn that is its own, and as
// many as any: what the host would have got is not heaped on its neighbour. While weights are other than those that the turns were made by,
// since that was ordered, lots are drawn.
type roundRobin struct{}

// maxTurns bounds the turns that are taken for one choice.
const maxTurns = 64

// Pick implements Balancer.
func (roundRobin) Pick(hosts *Hosts, _ []byte, tried *Tried) int {
	t := hosts.inTurn(tried)
	if hosts.ordered().weights() {
		return t.draw(hosts, rand.Uint64(), tried)
	}
	lots := uint64(0)
	for range min(maxTurns, len(t.order)) {
		var i int
		if i, lots = t.take(tried); hosts.Usable(i, tried) && hosts.takes(i, lots, tried) {
			return i
		}
	}
	// Most hosts are not there, or those that weigh most, or other loops took the turns in between.
	return t.draw(hosts, lots, tried)
}
