package shared

import (
	"errors"
	"fmt"
)

// HeadWords is how many words at the beginning are the package's own: the magic number and the layout.
const HeadWords = 2

// WordSize is in bytes.
const WordSize = 8

// ErrLayout means that memory is not laid out as this version of the program has it: begin with new memory.
var ErrLayout = errors.New("they are not laid out as this version of the program has it")

// Format says what a memory is for.
type Format struct {
	// Name is what the memory is called in /proc.
	Name string
	// Magic tells it from memory for other purposes.
	Magic uint64
	// Layout is the version of what its words mean.
	Layout uint64
}

// Memory is memory that processes share. A word is untouched, and costs nothing, until it is read or written.
type Memory struct {
	words  []uint64
	mapped []byte
	fd     int
}

// New makes zeroed memory of that many words, HeadWords included. Errors are system calls'.
func New(f Format, words int) (*Memory, error) {
	fd, err := create(f.Name, words*WordSize)
	if err != nil {
		return nil, err
	}
	m, err := attach(fd)
	if err != nil {
		return nil, err
	}
	if len(m.words) != words {
		m.Close()
		return nil, fmt.Errorf("%w: %d words were made of %d", ErrLayout, len(m.words), words)
	}
	m.words[0], m.words[1] = f.Magic, f.Layout
	return m, nil
}

// Map attaches to memory that another process, or this one, has made with New. The Memory owns fd from now on, also when an error is
// returned. The error wraps ErrLayout if the memory is of another format.
func Map(f Format, fd int) (*Memory, error) {
	m, err := attach(fd)
	if err != nil {
		return nil, err
	}
	switch {
	case len(m.words) < HeadWords:
		err = fmt.Errorf("%w: they are %d words long", ErrLayout, len(m.words))
	case m.words[0] != f.Magic:
		err = fmt.Errorf("%w: they begin with %#x", ErrLayout, m.words[0])
	case m.words[1] != f.Layout:
		err = fmt.Errorf("%w: they have layout %d, this program has %d", ErrLayout, m.words[1], f.Layout)
	}
	if err != nil {
		m.Close()
		return nil, err
	}
	return m, nil
}

// Words are all words, the head's included. They are valid until Close.
func (m *Memory) Words() []uint64 { return m.words }

// FD is the descriptor of the memory, which stays the Memory's own. It is closed on exec: pass it on as exec.Cmd.ExtraFiles does, or by
// SCM_RIGHTS.
func (m *Memory) FD() int { return m.fd }

// Close detaches from the memory: none of its words may be used any more. A process that lives as long as its memory need not call it.
func (m *Memory) Close() {
	release(m.mapped, m.fd)
	*m = Memory{fd: -1}
}
