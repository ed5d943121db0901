package trace

// Flush gives all requests back that are over, as if they were sent.
func Flush(e *Exporter) {
	for e.collect() {
		for _, q := range e.batch {
			q.recorder.giveBack(q)
		}
	}
}

// Drop gives a request back.
func Drop(q *Request) { q.recorder.giveBack(q) }
