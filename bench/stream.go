package bench

import (
	"fmt"
	"time"
)

const (
	transferSize  = 100e6 // bytes per upload or download
	transferConns = 4
	idleSessions  = 4000
	slowClients   = 200
	smallConns    = 64
	manyConns     = 512
)

var (
	streamSmall   = requestRow(workload{name: "StreamSmall", mode: modeStream, hosts: hostsSmall}, getSmall, smallConns)
	streamConnect = requestRow(workload{name: "StreamConnect", mode: modeStream, hosts: hostsSmall}, getClose, smallConns)
)

var (
	streamDownload = bulkRow("StreamDownload", modeStream, job{Size: transferSize})
	streamUpload   = bulkRow("StreamUpload", modeStream, job{Size: transferSize, Upload: true})
)

// bulkRow makes a workload of the transfers of j.
func bulkRow(name string, m mode, j job) *workload {
	j.Kind, j.Conns = loadBulk, transferConns
	return &workload{
		name: name, mode: m, units: []string{"cpu-s/GB", "GB/s"}, bulk: true,
		measure: func(h *harness, t *target) (metrics, error) {
			j := j
			j.Addr, j.TLS, j.Duration = t.addr, t.tls(), h.load
			cpu, r, err := t.cpuDuring(func() (result, error) { return runLoad(h, j) })
			if err != nil {
				return nil, err
			}
			if r.Errors > 0 {
				return nil, fmt.Errorf("bench: %d of %d transfers failed: %s", r.Errors, r.Errors+r.Ops, r.Failure)
			}
			gb := float64(r.Bytes) / 1e9
			return metrics{"cpu-s/GB": cpu.Seconds() / gb, "GB/s": gb / r.Elapsed.Seconds()}, nil
		},
	}
}

var streamIdle = idleRow("StreamIdle", modeStream, exchange{})

// idleRow makes a workload of sessions that are silent after one exchange; the zero exchange stands for the hosts' own protocol.
func idleRow(name string, m mode, e exchange) *workload {
	return &workload{
		name: name, mode: m, units: []string{"B/conn"}, fresh: true, pace: pace{rest: 4 * time.Second},
		measure: func(h *harness, t *target) (metrics, error) {
			n := min(idleSessions, (h.files-200)/4) // the proxy needs two descriptors per session, and may need more
			return heldEach(h, t, "B/conn", job{Kind: loadIdle, Addr: t.addr, TLS: t.tls(), Conns: n, Exchange: e})
		},
	}
}

var streamSlowReaders = &workload{
	name: "StreamSlowReaders", mode: modeStream, units: []string{"B/conn"}, fresh: true, pace: pace{rest: 6 * time.Second},
	measure: func(h *harness, t *target) (metrics, error) {
		return heldEach(h, t, "B/conn", job{Kind: loadSlow, Addr: t.addr, Conns: slowClients, Size: transferSize})
	},
}

// held measures how much process memory the sessions of j take while they are silent, in bytes; all of them must continue afterwards. One exchange
// comes before, so that what the proxy allocates for its first session is not counted.
func held(h *harness, t *target, j job) (int64, error) {
	if err := j.once(); err != nil {
		return 0, err
	}
	before, err := settledMemory(t.proc.pid)
	if err != nil {
		return 0, err
	}
	l, err := startLoad(h, j)
	if err != nil {
		return 0, err
	}
	defer l.proc.stop()
	if _, err := l.next(3 * time.Minute); err != nil {
		return 0, err
	}
	during, err := settledMemory(t.proc.pid)
	if err != nil {
		return 0, err
	}
	if err := l.goOn(); err != nil {
		return 0, err
	}
	r, err := l.next(3 * time.Minute)
	if err != nil {
		return 0, err
	}
	if int(r.Ops) != j.sessions() {
		return 0, fmt.Errorf("bench: %d of %d sessions did not work after the silence: %s", r.Errors, j.sessions(), r.Failure)
	}
	return during.pss - before.pss, nil
}

// heldEach is held divided by the number of sessions; unit is the name of the result.
func heldEach(h *harness, t *target, unit string, j job) (metrics, error) {
	bytes, err := held(h, t, j)
	if err != nil {
		return nil, err
	}
	return metrics{unit: float64(bytes) / float64(j.sessions())}, nil
}
