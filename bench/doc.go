// Package bench measures kroxy-ev side by side with nginx and HAProxy: proxy CPU and system calls per unit of work, throughput, latency
// and process memory, through the built binary and real sockets on loopback. Run it with
//
//	go test -bench . ./bench
//
// Without -bench only the unit tests of the harness run, in a moment and with nothing but Go. README.md says how to read the figures; report.go
// writes them down, with plots.
//
// The test binary plays several roles. Started by `go test` it is the conductor: it builds kroxy-ev, starts proxies, hosts and load, and reads the
// proxies' CPU clocks and memory. Started by itself with KROXY_BENCH_ROLE set, it is a host, a load generator or the guard (see role.go), so that
// nothing but the proxy runs on the proxy's core.
//
// The package does not judge the figures (no threshold fails a benchmark). It does not test correctness beyond statuses, lengths and what the hosts
// receive. It imports nothing of the project: kroxy-ev is measured as a program among programs.
package bench
