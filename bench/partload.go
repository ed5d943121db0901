package bench

import (
	"fmt"
	"time"
)

// The rows of common deployments: a proxy with little to do most of the time, on a machine with several CPUs, with default settings. A program that
// sleeps and is woken up for each request needs several times the CPU per request that it needs at saturation.

// looseConns is the number of kept-alive connections that the requests of a rate use in turn.
const looseConns = 16

var (
	httpRate     = rates("HTTPRate", "rate", modeHTTP, 50, 200, 1000, 3200, 10_000)
	streamRate   = rates("StreamRate", "rate-stream", modeStream, 200, 1000, 3200, 10_000)
	httpDefaults = defaultsOverConns(1, 64, 256, 1000)
	tlsRate      = handshakesAt("TLSConcurrency", "handshakes", false, 1, 4, 16, 64)
	tlsRateLoose = handshakesAt("TLSConcurrencyLoose", "handshakes-loose", true, 1, 4, 16, 64)
	httpSize     = overSize(0, 1<<10, 16<<10, 64<<10, 1<<20, 10<<20)
)

// looseRow makes w a workload in which nothing is bound to a CPU, neither proxies, hosts nor load. The contestants have as many workers, threads or
// reactors as there are CPUs, which is their default (nginx: "auto", as in distributions). kroxy-ev's configuration has only the port and the
// group. Nobody logs.
func looseRow(w workload) workload {
	w.loose, w.noLog = true, true
	return w
}

// rates makes the workloads of small requests at fixed rates. The load sleeps between requests, as real clients do.
func rates(benchmark, curve string, m mode, points ...int) (list []*workload) {
	for _, rate := range points {
		w := looseRow(workload{
			name: point(benchmark, "rate", rate), curve: curve, x: float64(rate), mode: m, hosts: hostsSmall,
			units: []string{"cpu-us/op", "cpu-%", "ops/s"}, pace: pace{loads: 1, rest: time.Second / 2},
		})
		w.measure = func(h *harness, t *target) (metrics, error) {
			r, err := runLoad(h, job{
				Kind: loadPing, Addr: t.addr, Conns: looseConns, Exchange: getSmall, Rate: float64(rate), Duration: h.load, Meter: t.proc.pid,
			})
			if err != nil {
				return nil, err
			}
			if short := float64(r.Ops) / (float64(rate) * r.Elapsed.Seconds()); short < 0.9 {
				return nil, fmt.Errorf("bench: %.0f%% of %d requests a second were answered: the machine is too slow or too busy", 100*short, rate)
			}
			m, err := perOp("op", r.CPU, r)
			if err != nil {
				return nil, err
			}
			m["cpu-%"] = 100 * r.busy()
			return m, nil
		}
		list = append(list, &w)
	}
	return list
}

// defaultsOverConns makes the workloads of small requests on more and more connections, as fast as they are answered, with default settings. nginx
// still has "keepalive", which nobody omits in measurements.
func defaultsOverConns(points ...int) (list []*workload) {
	for _, n := range points {
		list = append(list, steadyRow(looseRow(workload{
			name: point("HTTPDefaults", "conns", n), curve: "defaults", x: float64(n), fresh: true,
			needs: func(h *harness) error { return h.needsFiles(n) },
		}), n))
	}
	return list
}

// handshakesAt makes the workloads of full ECDSA handshakes with one request each, that many concurrently, by clients that leave Nagle's algorithm
// on.
func handshakesAt(benchmark, curve string, loose bool, points ...int) (list []*workload) {
	for _, n := range points {
		w := workload{name: point(benchmark, "at", n), curve: curve, x: float64(n), mode: modeHTTPS, hosts: hostsSmall}
		if loose {
			w = looseRow(w)
		}
		list = append(list, jobRow(w, job{Exchange: getClose, Conns: n, Nagle: true}))
	}
	return list
}

// sizeConns is the number of connections for responses of all sizes. It is small because long responses that are unfinished when the time is up
// cost
// CPU and are not counted.
const sizeConns = 4

// overSize makes the workloads of larger and larger responses.
func overSize(points ...int64) (list []*workload) {
	for _, n := range points {
		e := exchange{Request: get(fmt.Sprintf("/bytes/%d", n)), Size: n}
		list = append(list, requestRow(workload{
			name: point("HTTPSize", "bytes", int(n)), curve: "size", x: float64(max(n, 256)), mode: modeHTTP, // the axis is logarithmic
		}, e, sizeConns))
	}
	return list
}
