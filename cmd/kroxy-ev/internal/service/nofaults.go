//go:build !faults

package service

// fail does nothing: workers fail on demand in tests only, see faults.go.
func fail(faultPoint, *worker) {}
