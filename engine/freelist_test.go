package engine_test

import (
	"testing"

	"kroxy-ev/engine"
)

func TestFreeList(t *testing.T) {
	t.Parallel()
	var f engine.FreeList[int]
	if f.Get() != nil {
		t.Error("an empty list has something")
	}
	const many = 5000
	put := map[*int]bool{}
	for range many {
		p := new(int)
		put[p] = true
		f.Put(p)
	}
	kept := 0
	for p := f.Get(); p != nil; p = f.Get() {
		if !put[p] {
			t.Fatal("got what was not put, or twice")
		}
		delete(put, p)
		kept++
	}
	if kept == 0 || kept >= many {
		t.Errorf("kept %d of %d, want a bounded number", kept, many)
	}
}
