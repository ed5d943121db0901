package balance

import "sync/atomic"

// The cells kept for each host.
const (
	cellActive = iota // leases held now
	cellServed        // leases that ended Served, ever
	cellFailed        // leases that ended Failed, ever
	cellsPerHost
)

// lineWords is a cache line in 8-byte words.
const lineWords = 8

// Counters is a table of counts: a row for each writer (a loop, later a worker process), a few cells for each host. Rows
// are a cache line apart and each has one writer, so counting is never contended; a reader adds the rows up.
// The table is one flat run of words, so that it can lie in memory shared by processes, and a row can be cleared when
// its writer has died.
type Counters struct {
	words  []uint64
	rows   int
	stride int // words a row
}

// NewCounters makes a table in the process's own memory.
func NewCounters(rows, hosts int) *Counters {
	stride := (hosts*cellsPerHost+lineWords-1)/lineWords*lineWords + lineWords
	return &Counters{words: make([]uint64, rows*stride), rows: rows, stride: stride}
}

func (c *Counters) add(row, host, cell int, delta int64) {
	atomic.AddUint64(&c.words[row*c.stride+host*cellsPerHost+cell], uint64(delta))
}

func (c *Counters) sum(host, cell int) int64 {
	var n uint64
	for i := host*cellsPerHost + cell; i < len(c.words); i += c.stride {
		n += atomic.LoadUint64(&c.words[i])
	}
	return int64(n)
}
