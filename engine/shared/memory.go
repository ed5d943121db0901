package shared

import (
	"errors"
	"fmt"
)

// HeadWords is the number of words at the beginning that belong to this package: the magic number and the layout.
const HeadWords = 2

// WordSize is the size of a word in bytes.
const WordSize = 8

// ErrLayout means that the memory has another layout than this version of the program uses; make new memory instead.
var ErrLayout = errors.New("incompatible layout")

// Format describes the purpose of a memory.
type Format struct {
	// Name is the memory's name in /proc.
	Name string
	// Magic distinguishes it from memory for other purposes.
	Magic uint64
	// Layout is the version of the words' meaning.
	Layout uint64
}

// Memory is memory that processes share. A word takes no physical memory until it is read or written.
type Memory struct {
	words  []uint64
	mapped []byte
	fd     int
}

// New makes zeroed memory of the given number of words, including HeadWords. Its errors come from system calls.
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
		return nil, fmt.Errorf("%w: the size is %d words instead of %d", ErrLayout, len(m.words), words)
	}
	m.words[0], m.words[1] = f.Magic, f.Layout
	return m, nil
}

// Map maps memory that a process has made with New. The Memory owns fd, even if an error is
// returned. The error wraps ErrLayout if the memory has another format.
func Map(f Format, fd int) (*Memory, error) {
	m, err := attach(fd)
	if err != nil {
		return nil, err
	}
	switch {
	case len(m.words) < HeadWords:
		err = fmt.Errorf("%w: the size is %d words", ErrLayout, len(m.words))
	case m.words[0] != f.Magic:
		err = fmt.Errorf("%w: the magic number is %#x", ErrLayout, m.words[0])
	case m.words[1] != f.Layout:
		err = fmt.Errorf("%w: it has layout %d, this program needs %d", ErrLayout, m.words[1], f.Layout)
	}
	if err != nil {
		m.Close()
		return nil, err
	}
	return m, nil
}

// Words returns all words, including HeadWords. They are valid until Close.
func (m *Memory) Words() []uint64 { return m.words }

// FD returns the descriptor of the memory. The Memory still owns it. It is close-on-exec: pass it on through exec.Cmd.ExtraFiles or
// SCM_RIGHTS.
func (m *Memory) FD() int { return m.fd }

// Close unmaps the memory: its words must not be used afterwards. A process that lives as long as its memory need not call it.
func (m *Memory) Close() {
	release(m.mapped, m.fd)
	*m = Memory{fd: -1}
}
