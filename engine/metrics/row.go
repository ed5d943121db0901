package metrics

import (
	"fmt"

	"kroxy-ev/engine/shared"
)

// rowWords is room for 15,000 hosts and as many routes, or 5,000 more hosts: 64 MiB of addresses, of which no more is touched than is counted in.
const rowWords = 64 << 20 / shared.WordSize

// lineWords is a cache line, to whose beginning places are rounded.
const lineWords = 8

// Row is what one writer counts: a loop of a process without workers, or a worker. Its methods belong to that loop, but for those of columns
// that say otherwise.
type Row struct {
	words  []uint64
	memory *shared.Memory // nil if it is the process's own
	wasted struct {       // what has no place is counted here
		server Server
		route  Route
		group  Group
		host   Host
	}
}

// Where what lies in a row.
var (
	processAt = up(shared.HeadWords)
	serviceAt = processAt + up(wordsIn[Process]())
	seriesAt  = serviceAt + up(wordsIn[Service]())
)

func up(words int) int { return (words + lineWords - 1) / lineWords * lineWords }

// format is that of a row's memory.
func format() shared.Format {
	// The magic number is "kroxymtr", read as a little-endian word.
	return shared.Format{Name: "kroxy-ev metrics", Magic: 0x72746d79786f726b, Layout: declared().layout}
}

// NewRow makes a row that nobody reads, and where no series has a place.
func NewRow() *Row { return &Row{words: make([]uint64, seriesAt)} }

// MapRow attaches to the row that another process has made; fd is a descriptor of its memory, which the row owns from now on, also when an
// error is returned. The error wraps shared.ErrLayout if the memory holds something else.
func MapRow(fd int) (*Row, error) {
	m, err := shared.Map(format(), fd)
	if err == nil && len(m.Words()) != rowWords {
		err = fmt.Errorf("%w: the size is %d words", shared.ErrLayout, len(m.Words()))
		m.Close()
	}
	if err != nil {
		return nil, fmt.Errorf("metrics: while attaching to a row: %w", err)
	}
	return &Row{words: m.Words(), memory: m}, nil
}

// newSharedRow makes a row that another process can attach to.
func newSharedRow() (*Row, error) {
	m, err := shared.New(format(), rowWords)
	if err != nil {
		return nil, fmt.Errorf("metrics: while making a row: %w", err)
	}
	return &Row{words: m.Words(), memory: m}, nil
}

// FD is the descriptor of a row's memory, which stays the row's own, or -1 if it is not shared.
func (r *Row) FD() int {
	if r.memory == nil {
		return -1
	}
	return r.memory.FD()
}

// Close detaches from shared memory: nothing may be counted any more.
func (r *Row) Close() {
	if r.memory != nil {
		r.memory.Close()
		*r = Row{}
	}
}

// at is the view at a place; what has no place, or one that is not there, is wasted.
func at[V any](r *Row, p Place, wasted *V) *V {
	if int(p) < seriesAt || int(p) > len(r.words)-wordsIn[V]() {
		return wasted
	}
	return view[V](r.words[p:])
}

// Server is where the server at this place is counted. It is never nil.
func (r *Row) Server(p Place) *Server { return at(r, p, &r.wasted.server) }

// Route is where the route at this place is counted. It is never nil.
func (r *Row) Route(p Place) *Route { return at(r, p, &r.wasted.route) }

// Group is where the group at this place is counted. It is never nil.
func (r *Row) Group(p Place) *Group { return at(r, p, &r.wasted.group) }

// Host is where the host at this place is counted. It is never nil.
func (r *Row) Host(p Place) *Host { return at(r, p, &r.wasted.host) }

// Process is where what the writer itself does is counted.
func (r *Row) Process() *Process { return view[Process](r.words[processAt:]) }
