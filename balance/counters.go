package balance

import (
	"errors"
	"fmt"
	"math"
	"os"
	"sync/atomic"

	"kroxy-ev/engine/shared"
)

// The cells kept for each host in each row. Those up to cellsHeld are amounts that the row's writer holds; the others outlive it.
const (
	cellActive  = iota // leases held now
	cellQueued         // places held in the queue of the group whose first host this is
	cellRetries        // retries under way, likewise
	cellsHeld
	cellServed = iota - 1 // leases that ended Served, ever
	cellFailed            // leases that ended Failed, ever
	cellErred             // leases that ended Erred, ever
	cellDebt              // what retries have cost the group whose first host this is and requests have not earned, in percent of a request
	cellsPerHost
)

// The words of the head, which lies before the tables. The first line is written once; the second is read at every
// choice and hardly ever written; from headTaken on there is a word for each row: the process that has taken it, or zero.
const (
	headRows = shared.HeadWords + iota
	headHosts

	headRowsUsed  = lineWords // rows from here on were never written
	headHostsUsed = lineWords + 1
	headTaken     = 2 * lineWords
)

// Counters is a table of counts: a row for each writer (a loop, or a worker process), a few cells for each host. Rows
// are a cache line apart and each has one writer, so counting is never contended; a reader adds the rows up. A host is
// known by its id, which a Registry keeps the same over reloads.
//
// It also keeps what all writers write, two lines for each host (line.go): whether the host is down, and so on, and a turn for
// each group, under the id of the group's first host.
//
// All of it is one flat run of words, in the process's own memory or in memory that processes share. Only what lies
// below the rows and hosts in use is ever touched, so neither time nor memory grows with what there is room for.
type Counters struct {
	words []uint64
	shape shape

	rowsUsed *uint64  // in words
	lines    []uint64 // in words: hostWords for each host
	table    []uint64 // in words: the rows
	stride   int      // from a row to the next, in words
	kind     int      // from the cells of one kind to the next kind's, in words

	memory *shared.Memory // nil if it is the process's own
}

// shape is how much room there is, and where what lies.
type shape struct{ rows, hosts int }

func up(n, to int) int { return (n + to - 1) / to * to }

// cell is the distance from the cells of one kind to the next kind's, in words. Cells of a kind lie together since an
// algorithm reads one kind of many hosts.
func (s shape) cell() int { return up(s.hosts, lineWords) }

// row is the distance from one row to the next, in words. The line that is left free keeps rows apart wherever the
// table begins, and keeps a host's cells of all rows out of one cache set.
func (s shape) row() int { return cellsPerHost*s.cell() + lineWords }

func (s shape) lines() int { return up(headTaken+s.rows, lineWords) }
func (s shape) table() int { return s.lines() + s.hosts*hostWords }
func (s shape) words() int { return s.table() + s.rows*s.row() }

// over lays the counters of a shape over words.
func over(words []uint64, s shape) *Counters {
	return &Counters{
		words: words, shape: s,
		rowsUsed: &words[headRowsUsed],
		lines:    words[s.lines():s.table()],
		table:    words[s.table():],
		stride:   s.row(),
		kind:     s.cell(),
	}
}

// NewCounters makes a table in the process's own memory, all of whose rows are taken.
func NewCounters(rows, hosts int) *Counters {
	s := shape{rows, hosts}
	c := over(make([]uint64, s.words()), s)
	*c.rowsUsed = uint64(rows)
	for row := range rows {
		c.words[headTaken+row] = 1
	}
	return c
}

// Rows is how many rows there is room for.
func (c *Counters) Rows() int { return c.shape.rows }

// Hosts is how many hosts there is room for.
func (c *Counters) Hosts() int { return c.shape.hosts }

// ErrNoRow is what TakeRow returns when all rows are taken.
var ErrNoRow = errors.New("balance: every row of the counters has a writer")

// TakeRow takes a row that has no writer. Whoever starts a writer takes its row, and clears it with ClearRow when the
// writer is gone; several processes may do so at once.
func (c *Counters) TakeRow() (int, error) {
	for row := range c.shape.rows {
		if atomic.CompareAndSwapUint64(&c.words[headTaken+row], 0, uint64(os.Getpid())) {
			raise(c.rowsUsed, uint64(row)+1)
			return row, nil
		}
	}
	return -1, ErrNoRow
}

// FreeRows are the next n rows that TakeRow would give, or as many as there are.
func (c *Counters) FreeRows(n int) (rows []int) {
	for row := range c.shape.rows {
		if len(rows) < n && atomic.LoadUint64(&c.words[headTaken+row]) == 0 {
			rows = append(rows, row)
		}
	}
	return rows
}

// TakeOrphan takes a row whose taker is not alive, and cannot clear it any more. It is this process's then, to be cleared when its writer is gone too.
func (c *Counters) TakeOrphan(alive func(pid int) bool) (row int, ok bool) {
	for row := range c.shape.rows {
		p := &c.words[headTaken+row]
		if pid := atomic.LoadUint64(p); pid != 0 && pid <= math.MaxInt32 && !alive(int(pid)) && atomic.CompareAndSwapUint64(p, pid, uint64(os.Getpid())) {
			return row, true
		}
	}
	return -1, false
}

// ClearRow gives up a row whose writer is gone: what it held (leases, places in queues, retries) is held no longer, and the row
// may be taken again. What it counted as served and failed stays in the row, and so in the sums; the row's next writer counts on
// from there. The writer must not run any more, not even in a system call: wait for its process first.
func (c *Counters) ClearRow(row int) {
	for cell := range cellsHeld {
		for host := range c.hostsInUse() {
			// Not written where nothing is to be cleared: other writers read these lines.
			if p := c.at(row, host, cell); atomic.LoadUint64(p) != 0 {
				atomic.StoreUint64(p, 0)
			}
		}
	}
	atomic.StoreUint64(&c.words[headTaken+row], 0)
}

// rowsInUse and hostsInUse are as far as the table was ever written, and never more than there is room for, whatever the head says.
func (c *Counters) rowsInUse() int {
	return int(min(atomic.LoadUint64(c.rowsUsed), uint64(c.shape.rows)))
}

func (c *Counters) hostsInUse() int {
	return int(min(atomic.LoadUint64(&c.words[headHostsUsed]), uint64(c.shape.hosts)))
}

// use has hosts below n looked at when a row is cleared.
func (c *Counters) use(n int) error {
	if n > c.shape.hosts {
		return fmt.Errorf("balance: there is no host id %d in counters for %d hosts", n-1, c.shape.hosts)
	}
	raise(&c.words[headHostsUsed], uint64(n))
	return nil
}

// reset forgets what a host of which nothing is held has served and failed, and how it is.
func (c *Counters) reset(host int) {
	c.forget(host)
	for row := range c.rowsInUse() {
		for cell := cellsHeld; cell < cellsPerHost; cell++ {
			atomic.StoreUint64(c.at(row, host, cell), 0)
		}
	}
}

// held reports whether anything is held of a host.
func (c *Counters) held(host int) bool {
	for cell := range cellsHeld {
		if c.column(cell).sum(host) != 0 {
			return true
		}
	}
	return false
}

// raise makes *p at least n.
func raise(p *uint64, n uint64) {
	for {
		old := atomic.LoadUint64(p)
		if old >= n || atomic.CompareAndSwapUint64(p, old, n) {
			return
		}
	}
}

func (c *Counters) at(row, host, cell int) *uint64 {
	return &c.table[row*c.stride+cell*c.kind+host]
}

func (c *Counters) add(row, host, cell int, delta int64) {
	atomic.AddUint64(c.at(row, host, cell), uint64(delta))
}

// column is the cells of one kind: of all hosts, in all rows that were in use when it was made.
type column struct {
	words  []uint64
	stride int
}

func (c *Counters) column(cell int) column {
	rows := c.rowsInUse()
	if rows == 0 {
		return column{}
	}
	first := cell * c.kind
	return column{c.table[first : first+(rows-1)*c.stride+c.kind], c.stride}
}

// sum adds the host's cells up.
func (c column) sum(host int) int64 {
	var n uint64
	for i := host; i < len(c.words); i += c.stride {
		n += atomic.LoadUint64(&c.words[i])
	}
	return int64(n)
}

// take counts one more in the writer's row, if there are no more than limit over all rows then. As each who comes counts itself
// first and adds up then, of those who come at once none too many find room; and one who finds none has seen another who had it
// or was just about to give up.
func (c *Counters) take(row, host, cell int, limit int64) bool {
	for range maxTakes {
		c.add(row, host, cell, 1)
		all := c.column(cell)
		if all.sum(host) <= limit {
			return true
		}
		c.add(row, host, cell, -1)
		if all.sum(host) >= limit {
			return false
		}
	}
	return false
}

// maxTakes bounds how often one looks again because others have stepped back at the same time.
const maxTakes = 16
