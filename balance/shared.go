package balance

import (
	"fmt"

	"kroxy-ev/engine/shared"
)

const (
	// magic is the first word of the shared memory: "kroxyctr" in little-endian order.
	magic = 0x72746379786f726b
	// layout is the version of everything that processes must agree on: shape, head, and the meaning of the cells. It must rise with each
	// change of these.
	layout = 4
)

// The capacity of counters that last as long as the service: 390 MiB of address space, of which 8 workers and 100 hosts touch some 100 KiB.
const (
	// MaxRows has room for the workers of a master and those of its successor while both run.
	MaxRows = 512
	// MaxHosts bounds the hosts of all groups, including removed ones that still have connections.
	MaxHosts = 16384
)

// ErrLayout means that counters were made by an incompatible version of the program: the caller should make new ones.
var ErrLayout = shared.ErrLayout

// format is the format of the shared memory.
var format = shared.Format{Name: "kroxy-ev counters", Magic: magic, Layout: layout}

// NewShared makes counters that processes can share; rows and hosts must be above zero. No row is taken.
func NewShared(rows, hosts int) (*Counters, error) {
	s := shape{rows, hosts}
	m, err := shared.New(format, s.words())
	if err != nil {
		return nil, fmt.Errorf("balance: while making shared counters: %w", err)
	}
	c := over(m.Words(), s)
	c.words[headRows], c.words[headHosts] = uint64(rows), uint64(hosts)
	c.memory = m
	return c, nil
}

// MapCounters attaches to counters that another process made with NewShared; fd is a descriptor of their memory. The Counters own fd from
// now on, even if an error is returned. The error wraps ErrLayout if the memory is not what NewShared of this program would have made.
func MapCounters(fd int) (*Counters, error) {
	const while = "balance: while attaching to shared counters: %w"
	m, err := shared.Map(format, fd)
	if err != nil {
		return nil, fmt.Errorf(while, err)
	}
	s, err := shapeOf(m.Words())
	if err != nil {
		m.Close()
		return nil, fmt.Errorf(while, err)
	}
	c := over(m.Words(), s)
	c.memory = m
	return c, nil
}

// shapeOf reads the head and checks everything that a writer relies on.
func shapeOf(words []uint64) (shape, error) {
	switch {
	case len(words) < headTaken:
		return shape{}, fmt.Errorf("%w: they are %d words long", ErrLayout, len(words))
	case words[headRows]-1 >= 1<<20 || words[headHosts]-1 >= 1<<30:
		return shape{}, fmt.Errorf("%w: they claim %d rows for %d hosts", ErrLayout, words[headRows], words[headHosts])
	}
	s := shape{int(words[headRows]), int(words[headHosts])}
	if s.words() != len(words) {
		return shape{}, fmt.Errorf("%w: %d rows for %d hosts take %d words, and there are %d", ErrLayout,
			s.rows, s.hosts, s.words(), len(words))
	}
	if words[headRowsUsed] > words[headRows] || words[headHostsUsed] > words[headHosts] {
		return shape{}, fmt.Errorf("%w: %d of %d rows and %d of %d hosts are in use", ErrLayout,
			words[headRowsUsed], s.rows, words[headHostsUsed], s.hosts)
	}
	return s, nil
}

// FD returns the descriptor of the shared memory, or -1 if the memory is not shared. The Counters still own the descriptor. It has
// FD_CLOEXEC set: pass it on with exec.Cmd.ExtraFiles or SCM_RIGHTS.
func (c *Counters) FD() int {
	if c.memory == nil {
		return -1
	}
	return c.memory.FD()
}

// Close detaches from shared memory; groups counted in it must not be used any more. A process that lives as long as its counters need not
// call it.
func (c *Counters) Close() {
	if c.memory != nil {
		c.memory.Close()
		*c = Counters{}
	}
}
