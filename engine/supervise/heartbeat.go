package supervise

import (
	"fmt"
	"os"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// beatStride is the distance between two workers' counters: each has its own cache line.
const beatStride = 64

// heartbeats is the memory with the workers' counters, which the master watches: one counter per slot, written only by the slot's
// process. The initial value does not matter.
type heartbeats struct {
	file *os.File // in the master; nil in a worker
	mem  []byte
}

// newHeartbeats makes the memory. Its size is sealed, because a worker that could truncate it could kill the master by SIGBUS.
func newHeartbeats() (*heartbeats, error) {
	f, err := memfile("heartbeats", MaxWorkers*beatStride)
	if err != nil {
		return nil, err
	}
	h, err := mapHeartbeats(int(f.Fd()))
	if err == nil {
		err = seal(f, unix.F_SEAL_GROW|unix.F_SEAL_SHRINK|unix.F_SEAL_SEAL)
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	h.file = f
	return h, nil
}

// mapHeartbeats maps the memory behind fd. The caller keeps fd.
func mapHeartbeats(fd int) (*heartbeats, error) {
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil || st.Size != MaxWorkers*beatStride {
		return nil, fmt.Errorf("descriptor %d is not the heartbeats' memory", fd)
	}
	mem, err := unix.Mmap(fd, 0, MaxWorkers*beatStride, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return nil, fmt.Errorf("mapping the heartbeats: %w", err)
	}
	return &heartbeats{mem: mem}, nil
}

// of returns a slot's counter.
func (h *heartbeats) of(slot int) *atomic.Uint64 { return counterAt(h.mem, slot*beatStride) }

// close releases the master's resources.
func (h *heartbeats) close() {
	h.file.Close()
	_ = unix.Munmap(h.mem)
}

// pulse is what a master knows of a worker's heartbeat. The zero value is for a new worker.
type pulse struct {
	count  uint64
	silent time.Duration
}

// look returns how long the counter has not changed, given its value and the time since the last look. At most
// limit of that time counts: if the master itself was stopped for longer, the worker may have been stopped too, and gets
// time to continue.
func (p *pulse) look(count uint64, since, limit time.Duration) time.Duration {
	if count != p.count {
		*p = pulse{count: count}
		return 0
	}
	p.silent += min(since, limit)
	return p.silent
}
