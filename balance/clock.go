package balance

import (
	"time"

	"golang.org/x/sys/unix"
)

// Now returns the time in ms on CLOCK_MONOTONIC, which all processes of the machine share. It is for callers without a loop's clock.
func Now() int64 {
	var t unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_MONOTONIC, &t) // cannot fail for this clock
	return t.Nano() / int64(time.Millisecond)
}
