package bench

import (
	"fmt"
	"time"
)

// The rows of growth: CPU per request, and memory, over the number of connections, hosts and processes.

// growthWarm is how long requests are sent before the counted ones. It is enough time for 4,000 connections to hosts.
const growthWarm = time.Second / 2

// deployment is how kroxy-ev is set up in the rows about that. The zero value is the set-up of the comparisons: one process, and two hosts in
// turn.
type deployment struct {
	Hosts     int    // in the group, each with its own loopback address; 0: two ports of 127.0.0.1
	Algorithm string // balancing algorithm; "": round_robin
	Routes    int    // number of routes, of which the last takes every request; 0: no routes
	Workers   int    // processes below a master; 0: one process without a master
}

// groupHost is a host in a configuration.
type groupHost struct {
	Addr string
	Port int
}

// Group returns the hosts of the group.
func (s settings) Group() []groupHost {
	if s.Hosts == 0 {
		return []groupHost{{"127.0.0.1", s.HostA}, {"127.0.0.1", s.HostB}}
	}
	var g []groupHost
	for i := range s.Hosts {
		g = append(g, groupHost{fmt.Sprintf("127.1.%d.%d", i/250, 1+i%250), s.HostA})
	}
	return g
}

// Matches returns the conditions of all routes but the last, as JSON: names, names under a domain, and paths.
func (s settings) Matches() (list []string) {
	for i := range s.Routes - 1 {
		list = append(list, fmt.Sprintf([]string{`{"host": "site%d.example", "path_prefix": "/app"}`, `{"host": "*.site%d.example"}`, `{"path_prefix": "/app%d/"}`}[i%3], i))
	}
	return list
}

var (
	growthConns          = growthOverConns(1, 4, 16, 64, 256, 1024, 4000)
	growthMemory         = growthOverIdle(250, 500, 1000, 2000, 4000, 8000)
	growthHosts          = growthOverHosts("GrowthHosts", "hosts", "round_robin", 1, 100, 1000)
	growthHostsLeastConn = growthOverHosts("GrowthHostsLeastConn", "hosts-least-conn", "least_conn", 1, 100, 1000)
	growthRoutes         = growthOverRoutes(1, 5000)
	growthWorkers        = growthOverWorkers(1, 2, 4)
)

// point returns the name of a point of a curve.
func point(benchmark, what string, x int) string { return fmt.Sprintf("%s/%s=%d", benchmark, what, x) }

// growthOverConns makes the workloads with more and more connections. Each measurement has a new process, because connections kept from one
// contestant would be in the way of the others.
func growthOverConns(points ...int) (list []*workload) {
	for _, n := range points {
		list = append(list, steadyRow(workload{
			name: point("GrowthConns", "conns", n), curve: "conns", x: float64(n), fresh: true,
			needs: func(h *harness) error { return h.needsFiles(n) },
		}, n))
	}
	return list
}

// growthOverIdle makes the workloads with more and more idle connections.
func growthOverIdle(points ...int) (list []*workload) {
	for _, n := range points {
		list = append(list, &workload{
			name: point("GrowthMemory", "conns", n), curve: "memory", x: float64(n), mode: modeHTTP, fresh: true,
			units: []string{"MB", "B/conn"}, pace: pace{rest: 4 * time.Second},
			needs: func(h *harness) error { return h.needsFiles(n) },
			measure: func(h *harness, t *target) (metrics, error) {
				bytes, err := held(h, t, job{Kind: loadIdle, Addr: t.addr, Conns: n, Exchange: getSmall})
				if err != nil {
					return nil, err
				}
				return metrics{"MB": float64(bytes) / 1e6, "B/conn": float64(bytes) / float64(n)}, nil
			},
		})
	}
	return list
}

// growthOverHosts makes the workloads with more and more hosts in kroxy-ev's group.
func growthOverHosts(benchmark, curve, algorithm string, points ...int) (list []*workload) {
	for _, n := range points {
		list = append(list, steadyRow(workload{
			name: point(benchmark, "hosts", n), curve: curve, x: float64(n), deploy: deployment{Hosts: n, Algorithm: algorithm},
		}, smallConns))
	}
	return list
}

// growthOverRoutes makes the workloads with more and more routes in kroxy-ev's server.
func growthOverRoutes(points ...int) (list []*workload) {
	for _, n := range points {
		list = append(list, steadyRow(workload{
			name: point("GrowthRoutes", "routes", n), curve: "routes", x: float64(n), deploy: deployment{Routes: n},
		}, smallConns))
	}
	return list
}

// growthOverWorkers makes the workloads of kroxy-ev with more and more processes, on one CPU.
func growthOverWorkers(points ...int) (list []*workload) {
	for _, n := range points {
		list = append(list, steadyRow(workload{
			name: point("GrowthWorkers", "workers", n), curve: "workers", x: float64(n), deploy: deployment{Workers: n},
		}, smallConns))
	}
	return list
}

// steadyRow makes w a workload of small HTTP requests on conns established connections. It does not use wrk, which makes its connections during the
// measurement: the more connections, the larger their part of it.
func steadyRow(w workload, conns int) *workload {
	w.mode, w.hosts, w.units, w.pace = modeHTTP, hostsSmall, []string{"cpu-us/op", "ops/s", "MB"}, pace{loads: 1, rest: growthWarm + time.Second/5}
	w.measure = func(h *harness, t *target) (metrics, error) {
		r, err := steady(h, t, job{Conns: conns})
		if err != nil {
			return nil, err
		}
		m, err := perOp("op", r.CPU, r)
		if err != nil {
			return nil, err
		}
		memory, err := memoryOf(t.proc.pid)
		m["MB"] = float64(memory.pss) / 1e6
		return m, err
	}
	return &w
}

// steady sends small requests on j's connections, after these are established and the proxy is warm.
func steady(h *harness, t *target, j job) (result, error) {
	j.Kind, j.Addr, j.TLS, j.Exchange, j.Duration = loadPing, t.addr, t.tls(), getSmall, h.load
	j.Meter, j.Warm = t.proc.pid, growthWarm
	return runLoad(h, j)
}

// needsFiles returns an error if a proxy cannot have that many clients under the limit on open files. kroxy-ev needs two files per client, and
// reserves
// an eighth of the files for idle connections to hosts and some for pipes and spent sockets.
func (h *harness) needsFiles(clients int) error {
	if most := h.mostClients(); clients > most {
		return fmt.Errorf("bench: with a limit of %d open files a proxy can have %d clients, not %d (ulimit -n)", h.files, most, clients)
	}
	return nil
}

// mostClients returns how many clients a proxy can have under the limit on open files: see needsFiles.
func (h *harness) mostClients() int { return max(0, (h.files*7/8-1300)/2) }
