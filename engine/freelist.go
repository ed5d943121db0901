package engine

// maxFree bounds what a FreeList keeps; the rest is left to the garbage collector.
const maxFree = 1024

// FreeList keeps unused structs for reuse, on one loop. The zero value is empty.
type FreeList[T any] struct{ list []*T }

// Get returns a struct in the state in which it was put, or nil if there is none.
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

// Put adds a struct that must not be used until Get returns it.
func (f *FreeList[T]) Put(p *T) {
	if len(f.list) < maxFree {
		f.list = append(f.list, p)
	}
}
