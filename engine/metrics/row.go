package metrics

import (
	"fmt"

	"kroxy-ev/engine/shared"
)

// rowWords has room for 15,000 hosts and as many routes, or 5,000 more hosts: 64 MiB of address space, of which only the pages that are used take memory.
const rowWords = 64 << 20 / shared.WordSize

// lineWords is the size of a cache line in words. Places begin at a cache line.
const lineWords = 8

// Row holds the counts of one writer: a loop of a process without workers, or a worker. Its methods may only be called on that loop, except for
// columns whose types say otherwise.
type Row struct {
	words    []uint64
	memory   *shared.Memory // nil if the memory is private to the process
	unplaced struct {       // counts that have no place
		server Server
		route  Route
		group  Group
		host   Host
	}
}

// The layout of a row.
var (
	processAt = up(shared.HeadWords)
	serviceAt = processAt + up(wordsIn[Process]())
	seriesAt  = serviceAt + up(wordsIn[Service]())
)

func up(words int) int { return (words + lineWords - 1) / lineWords * lineWords }

// format returns the format of a row's memory.
func format() shared.Format {
	// The magic number is "kroxymtr", read as a little-endian word.
	return shared.Format{Name: "kroxy-ev metrics", Magic: 0x72746d79786f726b, Layout: declared().layout}
}

// NewRow makes a private row in which no series has a place.
func NewRow() *Row { return &Row{words: make([]uint64, seriesAt)} }

// MapRow attaches to a row that another process has made. fd is a descriptor of its memory; the row owns it, even if
// an error is returned. The error wraps shared.ErrLayout if the memory holds something else.
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

// FD returns the descriptor of a row's memory, which the row still owns, or -1 if the memory is not shared.
func (r *Row) FD() int {
	if r.memory == nil {
		return -1
	}
	return r.memory.FD()
}

// Close unmaps shared memory: nothing may be counted afterwards.
func (r *Row) Close() {
	if r.memory != nil {
		r.memory.Close()
		*r = Row{}
	}
}

// at returns the view at a place, or unplaced if the place is zero or invalid.
func at[V any](r *Row, p Place, unplaced *V) *V {
	if int(p) < seriesAt || int(p) > len(r.words)-wordsIn[V]() {
		return unplaced
	}
	return view[V](r.words[p:])
}

// Server returns the metrics of the server at this place. It is never nil.
func (r *Row) Server(p Place) *Server { return at(r, p, &r.unplaced.server) }

// Route returns the metrics of the route at this place. It is never nil.
func (r *Row) Route(p Place) *Route { return at(r, p, &r.unplaced.route) }

// Group returns the metrics of the group at this place. It is never nil.
func (r *Row) Group(p Place) *Group { return at(r, p, &r.unplaced.group) }

// Host returns the metrics of the host at this place. It is never nil.
func (r *Row) Host(p Place) *Host { return at(r, p, &r.unplaced.host) }

// Process returns the metrics of the writer itself.
func (r *Row) Process() *Process { return view[Process](r.words[processAt:]) }
