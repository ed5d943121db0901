//go:build !faults

package service

// fail does nothing: only test builds have workers that fail on demand, see faults.go.
func fail(faultPoint, *worker) {}
