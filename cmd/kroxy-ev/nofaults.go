//go:build !faults

package main

// moment is when a worker may fail on demand, which it does in tests only: see faults.go.
type moment int

const (
	atStart moment = iota
	whenServing
)

func fail(moment, *worker) {}
