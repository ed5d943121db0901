package metrics

import "unsafe"

// The structs have words in them and nothing else (newColumn sees to that), so that they can be laid over words. In memory that processes share
// there is no other way to have them.

// view lays a struct over words, of which there must be enough.
func view[V any](words []uint64) *V { return (*V)(unsafe.Pointer(unsafe.SliceData(words))) }

// wordsOf are the words of a struct.
func wordsOf[V any](v *V) []uint64 {
	return unsafe.Slice((*uint64)(unsafe.Pointer(v)), wordsIn[V]())
}

// wordsIn is how many words a struct has.
func wordsIn[V any]() int {
	var v V
	return int(unsafe.Sizeof(v) / unsafe.Sizeof(uint64(0)))
}
