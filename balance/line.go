package balance

import "sync/atomic"

// lineWords is a cache line in 8-byte words.
const lineWords = 8

// hostWords is the number of words per host beside the cells of the writers: two cache lines. All writers write them, by
// compare-and-swap or where a race costs no more than a wrong number in a log line. The words hold no resource that would have to be
// released, and readers must not trust them: a word may be damaged.
const hostWords = 2 * lineWords

// The first cache line has the words that are written often.
const (
	lineTurn      = iota // turn of the tier whose first host with a weight this is
	lineCost             // see cost
	lineWindow           // see window
	lineEjections        // see ejectionHistory
	lineMissed           // failed attempts to connect since the host went down
	lineSince            // when the host went down, in ms on CLOCK_MONOTONIC; zero until that is written
	lineRemind           // when the next reminder that the host is down is due, in ms on CLOCK_MONOTONIC
	lineProblem          // see lastProblem
)

// The second cache line has the words that each choice reads and that are rarely written.
const (
	lineHealth  = lineWords + iota // see health
	lineEjected                    // see ejection
	lineFails                      // see failing
	lineBegan                      // when the host recovered, in ms on CLOCK_MONOTONIC: the begin of slow start
	lineDrain                      // see drainNo
	linePanic                      // of the group whose first host this is: see panicking
	lineOrder                      // see order
	lineOrders                     // of the group whose first host this is: see orders
)

// line returns a host's words.
func (c *Counters) line(host int) []uint64 { return c.lines[host*hostWords:][:hostWords:hostWords] }

// word returns the address of one of a host's words.
func (c *Counters) word(host, word int) *uint64 { return &c.lines[host*hostWords+word] }

// word returns the address of one of the shared words of host i.
func (h *Hosts) word(i, word int) *uint64 { return h.counters.word(h.ids[i], word) }

// forget clears a host's words, except its turn.
func (c *Counters) forget(host int) {
	line := c.line(host)
	for word := lineTurn + 1; word < hostWords; word++ {
		atomic.StoreUint64(&line[word], 0)
	}
}
