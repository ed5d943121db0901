package balance

import (
	"errors"
	"fmt"
)

const (
	// magic begins the shared memory: "kroxyctr", read as a little-endian word.
	magic = 0x72746379786f726b
	// layout is the version of everything that processes agree on: shape, the head, and what the cells mean. It rises
	// with each change to them.
	layout = 3
	// wordSize is in bytes.
	wordSize = 8
)

// Room for counters that are to last as long as the service: 390 MiB of addresses, of which 8 workers and 100 hosts touch
// some 100 KiB.
const (
	// MaxRows is room for the workers of a master, and of its successor while both live.
	MaxRows = 512
	// MaxHosts bounds the hosts of all groups, including those that were removed and still have connections.
	MaxHosts = 16384
)

// ErrLayout is why counters that another version of the program made cannot be used: begin with new ones.
var ErrLayout = errors.New("they are not laid out as this version of the program has it")

// NewShared makes counters that processes can share, rows and hosts both above zero. No row is taken.
func NewShared(rows, hosts int) (*Counters, error) {
	s := shape{rows, hosts}
	fd, err := createShared(s.words() * wordSize)
	if err != nil {
		return nil, fmt.Errorf("balance: while making shared counters: %w", err)
	}
	c, err := attach(fd, func(words []uint64) (shape, error) {
		words[headMagic], words[headLayout] = magic, layout
		words[headRows], words[headHosts] = uint64(rows), uint64(hosts)
		return s, nil
	})
	if err != nil {
		return nil, fmt.Errorf("balance: while making shared counters: %w", err)
	}
	return c, nil
}

// MapCounters attaches to counters that another process made with NewShared; fd is a descriptor of their memory. The
// Counters own it from now on, also when an error is returned. The error wraps ErrLayout if the memory holds something
// else than what NewShared of this program would have made.
func MapCounters(fd int) (*Counters, error) {
	c, err := attach(fd, shapeOf)
	if err != nil {
		return nil, fmt.Errorf("balance: while attaching to shared counters: %w", err)
	}
	return c, nil
}

// attach maps the memory, has its shape found out, and lays counters over it. It owns fd.
func attach(fd int, shapeOf func([]uint64) (shape, error)) (*Counters, error) {
	mapped, words, err := mapShared(fd)
	if err != nil {
		closeShared(nil, fd)
		return nil, err
	}
	s, err := shapeOf(words)
	if err != nil {
		closeShared(mapped, fd)
		return nil, err
	}
	c := over(words, s)
	c.fd, c.mapped = fd, mapped
	return c, nil
}

// shapeOf reads the head and checks all that a writer relies on.
func shapeOf(words []uint64) (shape, error) {
	switch {
	case len(words) < headTaken:
		return shape{}, fmt.Errorf("%w: they are %d words long", ErrLayout, len(words))
	case words[headMagic] != magic:
		return shape{}, fmt.Errorf("%w: they begin with %#x", ErrLayout, words[headMagic])
	case words[headLayout] != layout:
		return shape{}, fmt.Errorf("%w: they have layout %d, this program has %d", ErrLayout, words[headLayout], layout)
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

// FD is the descriptor of the shared memory, which stays the Counters' own, or -1 if the memory is not shared. It is
// closed on exec: pass it on as exec.Cmd.ExtraFiles does, or by SCM_RIGHTS.
func (c *Counters) FD() int { return c.fd }

// Close detaches from shared memory; no group that is counted in it may be used any more. A process that lives as long as
// its counters need not call it.
func (c *Counters) Close() {
	if c.mapped != nil {
		closeShared(c.mapped, c.fd)
		*c = Counters{fd: -1}
	}
}
