package balance

// first takes the first usable host in the configured order: the others are spares.
type first struct{}

// Pick implements Balancer.
func (first) Pick(hosts *Hosts, _ []byte, tried *Tried) int {
	for i := range hosts.Len() {
		if hosts.Usable(i, tried) {
			return i
		}
	}
	return -1
}
