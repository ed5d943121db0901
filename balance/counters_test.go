package balance

import (
	"testing"
	"unsafe"
)

// No word of one row lies in a cache line with a word of another, wherever the table begins.
func TestRowsShareNoCacheLine(t *testing.T) {
	t.Parallel()
	const line = 64
	for _, hosts := range []int{1, 2, 3, 5, 8, 21, 64, 1000} {
		for _, rows := range []int{1, 2, 8, 65} {
			c := NewCounters(rows, hosts)
			last := hosts*cellsPerHost - 1
			for row := range rows {
				end := &c.words[row*c.stride+last] // within the table
				if row+1 == rows {
					continue
				}
				next := &c.words[(row+1)*c.stride]
				if d := uintptr(unsafe.Pointer(next)) - uintptr(unsafe.Pointer(end)); d < line {
					t.Fatalf("%d hosts: the rows %d and %d are %d bytes apart", hosts, row, row+1, d)
				}
			}
		}
	}
}

// Every row, host and cell is a word of its own, and sum adds the rows up.
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
			if got := c.sum(host, cell); got != want[[2]int{host, cell}] {
				t.Errorf("host %d, cell %d: %d, want %d", host, cell, got, want[[2]int{host, cell}])
			}
		}
	}
	c.add(0, 0, cellActive, -want[[2]int{0, cellActive}]-1)
	if got := c.sum(0, cellActive); got != -1 {
		t.Errorf("below zero: %d, want -1", got)
	}
}

// Nothing else lies in the cache line of a turn, wherever it begins.
func TestTurnHasItsCacheLine(t *testing.T) {
	t.Parallel()
	var x turn
	before := unsafe.Offsetof(x.n)
	if after := unsafe.Sizeof(x) - before - unsafe.Sizeof(x.n); before < 56 || after < 56 {
		t.Errorf("%d bytes before a turn and %d after", before, after)
	}
}
