package bench

import "time"

// The rows of TLS with clients. The hosts get plain HTTP as in HTTP mode.
var (
	tlsSmall     = jobRow(workload{name: "TLSSmall", mode: modeHTTPS, hosts: hostsSmall}, job{Exchange: getSmall, Conns: smallConns})
	tlsFullECDSA = jobRow(workload{name: "TLSFullECDSA", mode: modeHTTPS, hosts: hostsSmall}, job{Exchange: getClose, Conns: smallConns})
	tlsFullRSA   = jobRow(workload{name: "TLSFullRSA", mode: modeHTTPS, hosts: hostsSmall, rsa: true}, job{Exchange: getClose, Conns: smallConns})
	tlsResumed   = jobRow(workload{name: "TLSResumed", mode: modeHTTPS, hosts: hostsSmall}, job{Exchange: getClose, Conns: smallConns, Resume: true})
	tlsDownload  = bulkRow("TLSDownload", modeHTTPS, job{Exchange: getLarge})
	tlsIdle      = idleRow("TLSIdle", modeHTTPS, getSmall)

	tlsBesideHandshakes = newBesideHandshakes()
)

// handshakeRate is the number of new connections a second beside the steady traffic.
const handshakeRate = 200

// newBesideHandshakes makes the workload that shows how new clients affect others: the latency at a fixed rate, first without them and right after
// that with them. Each costs a signature with the RSA key. The rate is half of that of the latency rows: as each request wakes the proxy up, its
// CPU
// is half busy then, and there are moments without a request.
func newBesideHandshakes() *workload {
	var rate float64
	return &workload{
		name: "TLSBesideHandshakes", mode: modeHTTPS, hosts: hostsPing, rsa: true, pace: pace{loads: 5, rest: time.Second},
		units: []string{"p99-us", "p99-new-us", "p99-new/p99", "cpu-%", "cpu-new-%", "counted-%"},
		prepare: func(_ *harness, all []*target) (err error) {
			rate, err = halfRate(all)
			rate /= 2
			return err
		},
		measure: func(h *harness, t *target) (metrics, error) {
			alone, err := watched(h, t, job{Rate: rate, Meter: t.proc.pid})
			if err != nil {
				return nil, err
			}
			beside, err := watched(h, t, job{Rate: rate, Meter: t.proc.pid, Handshakes: handshakeRate})
			if err != nil {
				return nil, err
			}
			return metrics{
				"p99-us": micros(alone.P99), "p99-new-us": micros(beside.P99),
				"p99-new/p99": float64(beside.P99) / float64(alone.P99),
				"cpu-%":       100 * alone.busy(), "cpu-new-%": 100 * beside.busy(),
				"counted-%": 100 * min(alone.Counted, beside.Counted),
			}, nil
		},
	}
}
