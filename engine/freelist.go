package engine

// maxFree bounds what a FreeList keeps; more is left to the garbage collector.
const maxFree = 1024

// FreeList keeps structs that are out of use for the next use, on one loop. The zero value is empty.
type FreeList[T any] struct{ list []*T }

// Get takes a struct out, in the state in which it was put, or returns nil if there is none.
func (f *FreeList[T]) Get() *T {
	n := len(f.list)
	if n == 0 {
		return nil
	}
	p := f.list[n-1]
	f.list[n-1] = nil
	f.list = f.list[:n-1]
	return p
}

// Put takes a struct that nobody will use until Get returns it.
func (f *FreeList[T]) Put(p *T) {
	if len(f.list) < maxFree {
		f.list = append(f.list, p)
	}
}
