package balance

import (
	"testing"
	"unsafe"
)

// No word of one row shares a cache line with a word of another row, wherever the table begins. In shared memory, which is page-aligned, neither do
// the often written words of a host with those that each choice reads, nor with those of another host.
func TestWritersShareNoCacheLine(t *testing.T) {
	t.Parallel()
	const line = 64
	apart := func(t *testing.T, what string, end, next *uint64) {
		if d := uintptr(unsafe.Pointer(next)) - uintptr(unsafe.Pointer(end)); d < line {
			t.Fatalf("%s: %d bytes apart", what, d)
		}
	}
	for _, hosts := range []int{1, 2, 3, 5, 8, 21, 64, 1000} {
		for _, rows := range []int{1, 2, 8, 65} {
			c := NewCounters(rows, hosts)
			at := func(row, host, cell int) *uint64 { return c.at(row, host, cell) }
			apart(t, "what every choice reads and the turns", &c.words[headHostsUsed], c.word(0, lineTurn))
			for host := range hosts - 1 {
				apart(t, "two turns", c.word(host, lineTurn), c.word(host+1, lineTurn))
			}
			for what, at := range map[string]int{
				"the first host": c.shape.lines(), "a host": hostWords, "what choices read": lineHealth, "the rows": c.shape.table(),
			} {
				if at%lineWords != 0 {
					t.Fatalf("%s: not at the beginning of a line, but at word %d", what, at)
				}
			}
			for row := range rows - 1 {
				apart(t, "two rows", at(row, hosts-1, cellsPerHost-1), at(row+1, 0, 0))
			}
			_ = at(rows-1, hosts-1, cellsPerHost-1) // must be within the table
		}
	}
}

// Every cell of each row and host is a separate word, and sum adds up the rows.
func TestCellsAreApart(t *testing.T) {
	t.Parallel()
	const rows, hosts = 3, 5
	c := NewCounters(rows, hosts)
	n, want := int64(1), make(map[[2]int]int64)
	for row := range rows {
		for host := range hosts {
			for cell := range cellsPerHost {
				c.add(row, host, cell, n)
				want[[2]int{host, cell}] += n
				n *= 2
				if n == 1<<62 {
					n = 1
				}
			}
		}
	}
	for host := range hosts {
		for cell := range cellsPerHost {
			if got := c.column(cell).sum(host); got != want[[2]int{host, cell}] {
				t.Errorf("host %d, cell %d: %d, want %d", host, cell, got, want[[2]int{host, cell}])
			}
		}
	}
	c.add(0, 0, cellActive, -want[[2]int{0, cellActive}]-1)
	if got := c.column(cellActive).sum(0); got != -1 {
		t.Errorf("below zero: %d, want -1", got)
	}
}
