package metrics

import "unsafe"

// The structs contain only words (newColumn checks that), so they can be laid over words. For shared memory there is
// no other way.

// view lays a struct over words, which must be long enough.
func view[V any](words []uint64) *V { return (*V)(unsafe.Pointer(unsafe.SliceData(words))) }

// wordsOf returns the words of a struct.
func wordsOf[V any](v *V) []uint64 {
	return unsafe.Slice((*uint64)(unsafe.Pointer(v)), wordsIn[V]())
}

// wordsIn returns the number of words of a struct.
func wordsIn[V any]() int {
	var v V
	return int(unsafe.Sizeof(v) / unsafe.Sizeof(uint64(0)))
}
