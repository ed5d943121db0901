package bench

import (
	"fmt"
	"time"
)

// The rows of HTTP/2 with clients. The hosts get HTTP/1.1 as in HTTP mode, except for gRPC, where they get HTTP/2 too.
var (
	http2Small         = callRow(workload{name: "HTTP2Small", mode: modeHTTP2, hosts: hostsSmall}, h2Small, 8, 16)
	http2SmallNoLog    = callRow(workload{name: "HTTP2SmallNoLog", mode: modeHTTP2, hosts: hostsSmall, noLog: true}, h2Small, 8, 16)
	http2OneConnection = callRow(workload{name: "HTTP2OneConnection", mode: modeHTTP2, hosts: hostsSmall}, h2Small, 1, 100)
	http2Plain         = callRow(workload{name: "HTTP2Plain", mode: modeH2C, hosts: hostsSmall}, h2Small, 8, 16)
	grpcUnary          = callRow(workload{name: "GRPCUnary", mode: modeGRPC, hosts: hostsGRPC}, h2Unary, 8, 16)
	grpcUnaryNoLog     = callRow(workload{name: "GRPCUnaryNoLog", mode: modeGRPC, hosts: hostsGRPC, noLog: true}, h2Unary, 8, 16)

	http2Download = bulkRow("HTTP2Download", modeHTTP2, job{H2: h2Large, Size: transferSize})
	http2Upload   = bulkRow("HTTP2Upload", modeHTTP2, job{H2: h2Large, Size: transferSize, Upload: true})
)

// callRow makes w a workload of repeated exchanges on that many connections, with that many concurrent streams on each.
func callRow(w workload, e h2Exchange, conns, streams int) *workload {
	w.units = []string{"cpu-us/op", "ops/s", "errors"}
	w.needs = needsH2load
	w.measure = func(h *harness, t *target) (metrics, error) {
		j := job{Addr: t.addr, TLS: t.tls(), Duration: h.load, H2: e, Conns: conns, Streams: streams}
		err := j.once()
		if err == nil && j.TLS {
			err = h.checkH2load(j.Addr)
		}
		if err != nil {
			return nil, fmt.Errorf("bench: before the load: %w", err)
		}
		cpu, r, err := t.cpuDuring(func() (result, error) { return calls(h, j) })
		if err != nil {
			return nil, err
		}
		if err := r.checkSize(e.Size, conns*streams); err != nil {
			return nil, err
		}
		return perOp("op", cpu, r)
	}
	return &w
}

const (
	h2IdleConns   = 10_000
	h2SlowConns   = 4
	h2SlowStreams = 100
)

var (
	http2Idle = &workload{
		name: "HTTP2Idle", mode: modeHTTP2, units: []string{"B/conn"}, fresh: true, pace: pace{rest: 15 * time.Second},
		measure: func(h *harness, t *target) (metrics, error) {
			// A connection takes one descriptor here, but kroxy-ev reserves another one for a host, as HTTP/1.1 needs it.
			n := min(h2IdleConns, h.mostClients())
			return heldEach(h, t, "B/conn", job{Kind: loadIdle, Addr: t.addr, TLS: true, Conns: n, H2: h2Small})
		},
	}
	http2SlowReaders = &workload{
		name: "HTTP2SlowReaders", mode: modeHTTP2, units: []string{"B/stream"}, fresh: true, pace: pace{rest: 8 * time.Second},
		measure: func(h *harness, t *target) (metrics, error) {
			return heldEach(h, t, "B/stream", job{Kind: loadSlowStreams, Addr: t.addr, TLS: true, Conns: h2SlowConns, Streams: h2SlowStreams, H2: h2Large})
		},
	}
)
