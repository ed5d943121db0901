package trace

// Flush returns all finished requests to the pool, as if they had been sent.
func Flush(e *Exporter) {
	for e.collect() {
		for _, q := range e.batch {
			q.recorder.giveBack(q)
		}
	}
}

// Drop returns a request to the pool.
func Drop(q *Request) { q.recorder.giveBack(q) }
