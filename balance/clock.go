package balance

import (
	"time"

	"golang.org/x/sys/unix"
)

// Now is the time as all processes of the machine have it, in ms on CLOCK_MONOTONIC: for those who have no loop's clock.
func Now() int64 {
	var t unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_MONOTONIC, &t) // it is always there
	return t.Nano() / int64(time.Millisecond)
}
