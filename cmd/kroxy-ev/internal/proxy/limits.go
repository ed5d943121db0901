package proxy

import (
	"errors"
	"fmt"
	"log/slog"
	"sort"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"kroxy-ev/config"
	"kroxy-ev/engine"
)

// budget divides the process's open files. A connection takes two, the client's and the host's; a pipe takes two as well.
type budget struct {
	connections int // concurrent client connections
	files       int // for these, and for concurrent requests on them, which take one each; max_connections does not limit it
	pipes       int // per reactor
	idle        int // idle connections to hosts, per reactor
	share       int // of connections, per reactor
	spent       int // sockets of either family that wait to be reused, per reactor
}

const (
	// ownFiles are reserved for logs, name lookups, and everything else that the process has once.
	ownFiles = 64
	// maxPipes bounds the pipes of a reactor, however many files there are. Each pipe is a bulk flow whose sink is slower than its source;
	// further such flows are copied.
	maxPipes = 512
	// maxSpent bounds a reactor's spent sockets of each address family. More would only help if more sessions than this ended within the time
	// that a host takes to acknowledge a FIN.
	maxSpent = 64
	// autoIdle is how many idle connections to hosts a reactor may always keep if the configuration does not set their number. It may keep more
	// while there are fewer clients than allowed (the share of upstream.NewGroups), because files are reserved for these clients.
	autoIdle = 64
	// mostFiles is the greatest number of open files that is made use of.
	mostFiles = 1 << 24
)

// openFiles returns the soft limit on open files, which Go's runtime has already raised to the hard limit (getrlimit(2)).
func openFiles() int {
	var r unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &r); err != nil {
		return 1024
	}
	return int(min(r.Cur, mostFiles))
}

// fileBudget divides files in a process with this number of reactors, each with this number of listeners. Max > 0 bounds client connections;
// keep is how many idle connections to hosts the configuration allows each reactor.
func fileBudget(files, reactors, listeners, max, keep int) budget {
	own := 3 + 2*listeners // in a process without workers, each listening socket is open twice
	free := clamp(files-min(ownFiles, files/4)-own*reactors, 0, 0)
	b := budget{pipes: min(maxPipes, free/8/reactors), idle: min(keep, free/8/reactors), spent: min(maxSpent, free/32/reactors)}
	b.files = clamp(free-(2*b.pipes+b.idle+2*b.spent)*reactors, 2, 0)
	b.connections = clamp(b.files/2, 1, max)
	b.share = b.connections / reactors
	return b
}

// keepsIdle returns how many idle connections to hosts cfg allows each reactor to keep.
func keepsIdle(cfg *config.Config) int {
	n, auto := 0, 0
	for _, use := range usedGroups(cfg) {
		if use.mode != config.ModeHTTP {
			continue
		}
		if use.group.UpstreamKeepalive == config.KeepaliveAuto {
			auto = autoIdle
			continue
		}
		n += use.group.UpstreamKeepalive * len(use.group.Hosts)
	}
	return n + auto
}

// AdminConnections is how many clients may be connected to a listener of the admin endpoint at a time.
const AdminConnections = 64

// freeFiles returns how many files are left for serving, after those for checks of cfg's hosts and for clients of the admin endpoint. A worker
// has neither: its master checks hosts and answers these clients.
func freeFiles(cfg *config.Config, files int, worker bool) int {
	if worker {
		return files
	}
	seen := 0
	for _, a := range cfg.Admin {
		seen += len(a.Listen) * (AdminConnections + 3)
	}
	return files - checksAtOnce(cfg) - min(seen, files/8)
}

// Shortage warns if cfg's max_connections exceeds what the limit on open files allows, in a process with this number of reactors, which may be a
// worker.
func Shortage(cfg *config.Config, reactors int, worker bool) []config.Problem {
	return shortage(cfg, openFiles(), reactors, worker)
}

// shortage is Shortage with the given limit on open files.
func shortage(cfg *config.Config, files, reactors int, worker bool) []config.Problem {
	fit := func(files int) int {
		return fileBudget(freeFiles(cfg, files, worker), reactors, len(Listeners(cfg)), cfg.MaxConnections, keepsIdle(cfg)).connections
	}
	room := fit(files)
	if cfg.MaxConnections <= room {
		return nil
	}
	what := fmt.Sprintf("%d connections do not fit into the limit of %d open files: %d are served at once, more wait", cfg.MaxConnections, files, room)
	remedy := fmt.Sprintf("write at most %d", room)
	if enough := sort.Search(mostFiles, func(n int) bool { return fit(n) >= cfg.MaxConnections }); enough < mostFiles {
		remedy = fmt.Sprintf("raise the limit to %d (ulimit -n, or LimitNOFILE= in a systemd unit), or %s", enough, remedy)
	}
	return []config.Problem{cfg.Problem(cfg.PathOf(nil, "max_connections"), what, remedy)}
}

// clamp bounds n from below and, if hi is positive, from above.
func clamp(n, lo, hi int) int {
	if hi > 0 {
		n = min(n, hi)
	}
	return max(n, lo)
}

// pauseLog logs that accepting pauses, at most once per quietPauses.
type pauseLog struct {
	log *slog.Logger

	mu    sync.Mutex
	limit int
	last  time.Time
	since int // pauses since the last line
}

// setLimit sets the limit on connections that lines show.
func (p *pauseLog) setLimit(n int) {
	p.mu.Lock()
	p.limit = n
	p.mu.Unlock()
}

// quietPauses is the least time between two lines about pauses.
const quietPauses = time.Minute

// report is called for each pause, from any loop.
func (p *pauseLog) report(reason error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.since++
	if !p.last.IsZero() && time.Since(p.last) < quietPauses {
		return
	}
	p.last = time.Now()
	remedy := "new clients wait until others leave; raise the limit on open files (ulimit -n) or add instances"
	if errors.Is(reason, engine.ErrLimit) {
		remedy = "new clients wait until others leave; raise max_connections or the limit on open files (ulimit -n)"
	}
	p.log.Error("accepting pauses", "error", reason, "max_connections", p.limit, "pauses", p.since, "remedy", remedy)
	p.since = 0
}
