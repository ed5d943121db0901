package balance

import (
	"errors"
	"fmt"
	"math"
	"os"
	"sync/atomic"

	"kroxy-ev/engine/shared"
)

// The cells of each host in each row. Those before cellsHeld count what the row's writer holds now; the others are totals that outlive
// the writer.
const (
	cellActive  = iota // leases held now
	cellQueued         // places held in the queue of the group whose first host this is
	cellRetries        // retries under way in the group whose first host this is
	cellsHeld
	cellServed = iota - 1 // total of leases that ended Served
	cellFailed            // total of leases that ended Failed
	cellErred             // total of leases that ended Erred
	cellDebt              // retry debt of the group whose first host this is, not yet earned by requests, in percent of a request
	cellsPerHost
)

// The words of the head, which precedes the tables. The first cache line is written once. The second is read at every choice and hardly
// ever written. From headTaken on there is one word per row: the PID of the process that has taken it, or zero.
const (
	headRows = shared.HeadWords + iota
	headHosts

	headRowsUsed  = lineWords // rows from here on were never written
	headHostsUsed = lineWords + 1
	headTaken     = 2 * lineWords
)

// Counters is a table of counts: one row per writer (a loop or a worker process), a few cells per host. Rows are a cache line apart and
// each has one writer, so counting is never contended; a reader adds the rows up. A host is identified by its id, which a Registry keeps
// across reloads.
//
// The table also has words that all writers write, two cache lines per host (line.go): the host's health and so on, and each group's
// turn, under the id of the group's first host.
//
// Everything is one contiguous run of words, in the process's own memory or in memory that processes share. Only the rows and
// hosts in use are ever touched, so neither time nor memory grows with the capacity.
type Counters struct {
	words []uint64
	shape shape

	rowsUsed *uint64  // in words
	lines    []uint64 // in words: hostWords for each host
	table    []uint64 // in words: the rows
	stride   int      // from one row to the next, in words
	kind     int      // from one kind of cells to the next, in words

	memory *shared.Memory // nil if the words are in the process's own memory
}

// shape is the capacity, from which the offsets of the tables follow.
type shape struct{ rows, hosts int }

func up(n, to int) int { return (n + to - 1) / to * to }

// cell returns the distance from one kind of cells to the next, in words. Cells of one kind are adjacent, because an algorithm reads
// one kind for many hosts.
func (s shape) cell() int { return up(s.hosts, lineWords) }

// row returns the distance from one row to the next, in words. The free cache line keeps rows apart wherever the table begins, and keeps
// a host's cells of different rows out of the same cache set.
func (s shape) row() int { return cellsPerHost*s.cell() + lineWords }

func (s shape) lines() int { return up(headTaken+s.rows, lineWords) }
func (s shape) table() int { return s.lines() + s.hosts*hostWords }
func (s shape) words() int { return s.table() + s.rows*s.row() }

// over lays counters of shape s over words.
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

// NewCounters makes a table in the process's own memory. All its rows are taken.
func NewCounters(rows, hosts int) *Counters {
	s := shape{rows, hosts}
	c := over(make([]uint64, s.words()), s)
	*c.rowsUsed = uint64(rows)
	for row := range rows {
		c.words[headTaken+row] = 1
	}
	return c
}

// Rows returns the number of rows that there is room for.
func (c *Counters) Rows() int { return c.shape.rows }

// Hosts returns the number of hosts that there is room for.
func (c *Counters) Hosts() int { return c.shape.hosts }

// ErrNoRow is returned by TakeRow when all rows are taken.
var ErrNoRow = errors.New("balance: every row of the counters has a writer")

// TakeRow takes a row that has no writer. The process that starts a writer takes its row, and calls ClearRow when the writer is gone.
// Several processes may take rows concurrently.
func (c *Counters) TakeRow() (int, error) {
	for row := range c.shape.rows {
		if atomic.CompareAndSwapUint64(&c.words[headTaken+row], 0, uint64(os.Getpid())) {
			raise(c.rowsUsed, uint64(row)+1)
			return row, nil
		}
	}
	return -1, ErrNoRow
}

// FreeRows returns the next n rows that TakeRow would return, or fewer if there are not as many.
func (c *Counters) FreeRows(n int) (rows []int) {
	for row := range c.shape.rows {
		if len(rows) < n && atomic.LoadUint64(&c.words[headTaken+row]) == 0 {
			rows = append(rows, row)
		}
	}
	return rows
}

// TakeOrphan takes a row whose taker is dead and so cannot clear it. The row then belongs to this process, which must call ClearRow when
// the row's writer is gone too.
func (c *Counters) TakeOrphan(alive func(pid int) bool) (row int, ok bool) {
	for row := range c.shape.rows {
		p := &c.words[headTaken+row]
		if pid := atomic.LoadUint64(p); pid != 0 && pid <= math.MaxInt32 && !alive(int(pid)) && atomic.CompareAndSwapUint64(p, pid, uint64(os.Getpid())) {
			return row, true
		}
	}
	return -1, false
}

// ClearRow gives up a row whose writer is gone: what the writer held (leases, queue places, retries) is released, and the row may be
// taken again. The row's totals stay, and so stay in the sums; the row's next writer continues them. The writer must have ended
// completely, including system calls: wait for its process first.
func (c *Counters) ClearRow(row int) {
	for cell := range cellsHeld {
		for host := range c.hostsInUse() {
			// Do not dirty a cache line that other writers read if there is nothing to clear.
			if p := c.at(row, host, cell); atomic.LoadUint64(p) != 0 {
				atomic.StoreUint64(p, 0)
			}
		}
	}
	atomic.StoreUint64(&c.words[headTaken+row], 0)
}

// rowsInUse returns the number of rows that were ever used. It is never more than the capacity, whatever the head says.
func (c *Counters) rowsInUse() int {
	return int(min(atomic.LoadUint64(c.rowsUsed), uint64(c.shape.rows)))
}

func (c *Counters) hostsInUse() int {
	return int(min(atomic.LoadUint64(&c.words[headHostsUsed]), uint64(c.shape.hosts)))
}

// use marks the hosts below n as in use, so that ClearRow visits them.
func (c *Counters) use(n int) error {
	if n > c.shape.hosts {
		return fmt.Errorf("balance: there is no host id %d in counters for %d hosts", n-1, c.shape.hosts)
	}
	raise(&c.words[headHostsUsed], uint64(n))
	return nil
}

// reset clears the totals and the state of a host that has nothing held.
func (c *Counters) reset(host int) {
	c.forget(host)
	for row := range c.rowsInUse() {
		for cell := cellsHeld; cell < cellsPerHost; cell++ {
			atomic.StoreUint64(c.at(row, host, cell), 0)
		}
	}
}

// held reports whether any row holds anything of a host.
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

// column is the cells of one kind, for all hosts and for the rows that were in use when it was made.
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

// sum returns the sum of a host's cells.
func (c column) sum(host int) int64 {
	var n uint64
	for i := host; i < len(c.words); i += c.stride {
		n += atomic.LoadUint64(&c.words[i])
	}
	return int64(n)
}

// take adds one to the writer's row, unless the sum over all rows would exceed limit. Each caller counts itself first and sums up then,
// so concurrent callers never exceed the limit together. A caller that is refused has seen another caller that succeeded or was about
// to step back.
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

// maxTakes bounds how often take repeats because others step back at the same time.
const maxTakes = 16
