package balance

// first takes the first host in the configured order that was not tried: the others are spares.
type first struct{}

// Pick implements Balancer.
func (first) Pick(hosts *Hosts, _ []byte, tried *Tried) int {
	for i := range hosts.Len() {
		if !tried.Has(i) {
			return i
		}
	}
	return -1
}
