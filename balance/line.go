package balance

import "sync/atomic"

// lineWords is a cache line in 8-byte words.
const lineWords = 8

// hostWords is what a host has in the counters beside the cells that each writer has of its own: two cache lines. All writers write
// them, by CompareAndSwap or where a race costs no more than a number in a log line. Nobody holds anything there that would have to
// be given back, and what is read there is not trusted: it may be damaged.
const hostWords = 2 * lineWords

// The first line has what is written often.
const (
	lineTurn   = iota // of the tier whose first host with a weight this is
	lineCost          // see cost
	lineWindow        // see window
	lineSpell         // see spell
	lineMissed        // attempts to connect to it that have failed since it went down
	lineSince         // when it went down, in ms on CLOCK_MONOTONIC; zero while that is not written yet
	lineRemind        // when people are to be told again that it is down, likewise
	lineBlame         // see blame
)

// The second line has what each choice reads, and what is hardly ever written.
const (
	lineHealth  = lineWords + iota // see health
	lineEjected                    // see ejection
	lineFails                      // see failing
	lineBegan                      // when it came back from a failure, in ms on CLOCK_MONOTONIC: slow start counts from then
	lineDrain                      // see draining
	linePanic                      // of the group whose first host this is: see panicking
	lineOrder                      // see order
	lineOrders                     // of the group whose first host this is: see orders
)

// line is a host's words.
func (c *Counters) line(host int) []uint64 { return c.lines[host*hostWords:][:hostWords:hostWords] }

// word is one of a host's words.
func (c *Counters) word(host, word int) *uint64 { return &c.lines[host*hostWords+word] }

// word is one of the words of host i, which all processes share.
func (h *Hosts) word(i, word int) *uint64 { return h.counters.word(h.ids[i], word) }

// forget clears what a host's lines say of it. The turn goes on.
func (c *Counters) forget(host int) {
	line := c.line(host)
	for word := lineTurn + 1; word < hostWords; word++ {
		atomic.StoreUint64(&line[word], 0)
	}
}
