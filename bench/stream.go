package bench

import (
	"fmt"
	"math"
	"net"
	"time"
)

const (
	transferSize  = 100e6 // bytes of an upload, a download
	transferConns = 4
	idleSessions  = 4000
	slowClients   = 200
	latencyConns  = 64
)

// perOp returns the metrics of small units of work.
func perOp(unit string, cpu time.Duration, r result) metrics {
	return metrics{
		"cpu-us/" + unit: float64(cpu) / float64(time.Microsecond) / float64(r.Ops),
		unit + "s/s":     float64(r.Ops) / r.Elapsed.Seconds(),
		"errors":         float64(r.Errors),
	}
}

var streamSmall = &workload{
	name: "StreamSmall", units: []string{"cpu-us/op", "ops/s", "errors"}, http: true,
	measure: func(h *harness, t *target) (metrics, error) {
		cpu, r, err := t.cpuDuring(func() (result, error) { return requests(h, t.addr, false, h.load) })
		if err != nil {
			return nil, err
		}
		return perOp("op", cpu, r), nil
	},
}

// streamConnect loads for half as long as the others: each connection leaves sockets in TIME_WAIT.
var streamConnect = &workload{
	name: "StreamConnect", units: []string{"cpu-us/conn", "conns/s", "errors"}, http: true,
	measure: func(h *harness, t *target) (metrics, error) {
		cpu, r, err := t.cpuDuring(func() (result, error) { return requests(h, t.addr, true, h.load/2) })
		if err != nil {
			return nil, err
		}
		return perOp("conn", cpu, r), nil
	},
}

var (
	streamDownload = bulkWorkload("StreamDownload", false)
	streamUpload   = bulkWorkload("StreamUpload", true)
)

func bulkWorkload(name string, upload bool) *workload {
	return &workload{
		name: name, units: []string{"cpu-s/GB", "GB/s"}, bulk: true,
		measure: func(h *harness, t *target) (metrics, error) {
			cpu, r, err := t.cpuDuring(func() (result, error) {
				return runLoad(h, job{
					Kind: loadBulk, Addr: t.addr, Conns: transferConns,
					Duration: h.load, Size: transferSize, Upload: upload,
				})
			})
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

var streamIdle = &workload{
	name: "StreamIdle", units: []string{"B/conn"}, fresh: true,
	measure: func(h *harness, t *target) (metrics, error) {
		n := min(idleSessions, (h.files-200)/4) // the proxy has two descriptors a session, and may have reason for more
		return held(h, t, job{Kind: loadIdle, Addr: t.addr, Conns: n})
	},
}

var streamSlowReaders = &workload{
	name: "StreamSlowReaders", units: []string{"B/conn"}, fresh: true,
	measure: func(h *harness, t *target) (metrics, error) {
		return held(h, t, job{Kind: loadSlow, Addr: t.addr, Conns: slowClients, Size: transferSize})
	},
}

// held measures how much process memory the sessions of j take while they are silent; all of them must go on after it.
// One exchange comes before, so that what the proxy makes at its first session is not counted as the sessions'.
func held(h *harness, t *target, j job) (metrics, error) {
	c, err := net.DialTimeout("tcp", t.addr, dialTimeout)
	if err != nil {
		return nil, err
	}
	err = echo(c)
	_ = c.Close()
	if err != nil {
		return nil, err
	}
	before, err := settledMemory(t.proc.pid)
	if err != nil {
		return nil, err
	}
	l, err := startLoad(h, j)
	if err != nil {
		return nil, err
	}
	defer l.proc.stop()
	if _, err := l.next(time.Minute); err != nil {
		return nil, err
	}
	during, err := settledMemory(t.proc.pid)
	if err != nil {
		return nil, err
	}
	if err := l.goOn(); err != nil {
		return nil, err
	}
	r, err := l.next(2 * time.Minute)
	if err != nil {
		return nil, err
	}
	if int(r.Ops) != j.Conns {
		return nil, fmt.Errorf("bench: %d of %d sessions did not go on after the silence: %s", r.Errors, j.Conns, r.Failure)
	}
	return metrics{"B/conn": float64(during.pss-before.pss) / float64(j.Conns)}, nil
}

// newStreamLatency makes the latency workload. It has a state: the rate, the same for all, which is half of what the
// slowest contestant can do.
func newStreamLatency() *workload {
	var rate float64
	return &workload{
		name: "StreamLatency", units: []string{"p50-us", "p99-us", "ops/s"}, http: true,
		prepare: func(h *harness, all []*target) error {
			rate = math.Inf(1)
			for _, t := range all {
				r, err := runLoad(h, job{Kind: loadPing, Addr: t.addr, Conns: latencyConns, Duration: time.Second / 2})
				if err != nil {
					return fmt.Errorf("%s: %w", t.name, err)
				}
				rate = min(rate, float64(r.Ops)/r.Elapsed.Seconds()/2)
			}
			return nil
		},
		measure: func(h *harness, t *target) (metrics, error) {
			r, err := runLoad(h, job{Kind: loadPing, Addr: t.addr, Conns: latencyConns, Duration: h.load, Rate: rate})
			if err != nil {
				return nil, err
			}
			if r.Errors > 0 {
				return nil, fmt.Errorf("bench: at %.0f requests a second: %s", rate, r.Failure)
			}
			return metrics{
				"p50-us": float64(r.P50) / float64(time.Microsecond),
				"p99-us": float64(r.P99) / float64(time.Microsecond),
				"ops/s":  float64(r.Ops) / r.Elapsed.Seconds(),
			}, nil
		},
	}
}

// contestants names those that take part in w.
func (h *harness) contestants(w *workload) []string {
	var names []string
	for _, p := range h.peers {
		if w.bulk || !p.bulk {
			names = append(names, p.name)
		}
	}
	return names
}
