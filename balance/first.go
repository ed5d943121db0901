package balance

var firstAlgorithm = Algorithm{
	Name: "first",
	Doc:  "the first host that is not down; the others are spares",
	make: func(Key, []Spec) Balancer { return first{} },
}

// first takes the first usable host in configured order; the others are spares.
type first struct{}

// Pick implements Balancer.
func (first) Pick(hosts *Hosts, _ []byte, tried *Tried) int {
	for _, i := range hosts.currentTier(tried).all {
		if hosts.Usable(int(i), tried) {
			return int(i)
		}
	}
	return -1
}
