package bench

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net"
	"time"
)

// dripClients is how many clients send one byte a second: half of them of a request's head, half of a body.
const dripClients = 2000

// dripped returns the beginning of a request that never ends.
func dripped(body bool) string {
	if body {
		// Send the first byte of the body too: hosts that are also the load answer when they see a complete head.
		return "POST / HTTP/1.1\r\nHost: bench\r\nContent-Length: 1000000\r\n\r\nx"
	}
	return "GET / HTTP/1.1\r\nHost: bench\r\nX-Slow: x"
}

// drip does a job of kind loadDrip: Conns clients, half of them with slow heads and half with slow bodies. Each sends one byte a second; the
// clients
// are spread evenly over the second. Ops are the clients that are still connected at the end.
func drip(j job, in *bufio.Reader, out *json.Encoder) (result, error) {
	sent := 0
	conns, err := dialAll(j, func(c net.Conn) error {
		sent++
		_, err := c.Write([]byte(dripped(sent%2 == 0)))
		return err
	})
	if err != nil {
		return result{}, err
	}
	defer closeAll(conns)
	over := make(chan error, 1)
	go func() { over <- silence(result{Ops: int64(len(conns))}, in, out) }()
	const ticks = 100
	tick := time.NewTicker(time.Second / ticks)
	defer tick.Stop()
	for n := 0; ; n++ {
		select {
		case <-tick.C:
			for i := n % ticks; i < len(conns); i += ticks {
				if _, err := conns[i].Write([]byte{'x'}); err != nil {
					return result{}, fmt.Errorf("client %d of %d, sending a byte a second: %w", i, len(conns), err)
				}
			}
		case err := <-over:
			return result{Ops: int64(len(conns))}, err
		}
	}
}

var httpBesideSlow = newBesideSlow()

// newBesideSlow makes the workload that shows how slow clients affect others: the latency at the rate of the latency rows, first without them and
// right after that with them.
func newBesideSlow() *workload {
	var rate float64
	return &workload{
		name: "HTTPBesideSlow", mode: modeHTTP, units: []string{"p99-us", "p99-slow-us"}, hosts: hostsPing, pace: pace{loads: 2, rest: 2 * time.Second},
		prepare: func(_ *harness, all []*target) (err error) {
			rate, err = halfRate(all)
			return err
		},
		measure: func(h *harness, t *target) (metrics, error) {
			j := job{Addr: t.addr, Conns: smallConns, Duration: h.load, Rate: rate, Exchange: getSmall}
			alone, err := t.hosts.ping(j)
			if err != nil {
				return nil, err
			}
			l, err := startLoad(h, job{Kind: loadDrip, Addr: t.addr, Conns: min(dripClients, (h.files-200)/4)})
			if err != nil {
				return nil, err
			}
			defer l.proc.stop()
			if _, err := l.next(time.Minute); err != nil {
				return nil, err
			}
			beside, err := t.hosts.ping(j)
			if err != nil {
				return nil, err
			}
			if err := l.goOn(); err != nil {
				return nil, err
			}
			if _, err := l.next(time.Minute); err != nil {
				return nil, err
			}
			return metrics{"p99-us": micros(alone.P99), "p99-slow-us": micros(beside.P99)}, nil
		},
	}
}
