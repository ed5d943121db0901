package bench

import (
	"crypto/tls"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// Runs new connections beside steady traffic: as many as are due, all with full handshakes, without affecting the traffic.
func TestHandshakesBeside(t *testing.T) {
	t.Parallel()
	addr, _ := tlsHost(t, nil)
	j := job{Addr: addr, TLS: true, Exchange: getSmall, Conns: 4}
	var r result
	var err error
	for d := 650 * time.Millisecond; ; d *= 2 { // the same over a longer time: the machine may be busy
		j.Duration, j.Rate, j.Handshakes = d, 65/d.Seconds(), 6.5/d.Seconds()
		if r, err = ping(j); err == nil || !strings.Contains(err.Error(), "were due") || d > 10*time.Second {
			break
		}
	}
	if err != nil || r.Errors > 0 || r.Ops < 10 || r.Ops > 66 || r.Handshakes < 5 || r.Handshakes > 6 || r.Spent <= 0 || r.P99 <= 0 {
		t.Errorf("%+v, %v", r, err)
	}
	j.Duration, j.Handshakes = 50*time.Millisecond, 1e5
	if r, err := ping(j); err == nil || !strings.Contains(err.Error(), "were due") {
		t.Errorf("100,000 a second: %+v, %v", r, err)
	}
}

// A handshake that fails ends the job and closes all of its connections; the pinger can take another job afterwards.
func TestHandshakesBesideFail(t *testing.T) {
	t.Parallel()
	var n atomic.Int64
	addr, _ := tlsHost(t, func(c *tls.Config) {
		whole := c.Clone()
		c.GetConfigForClient = func(*tls.ClientHelloInfo) (*tls.Config, error) {
			if n.Add(1) == 6 { // one of them is for measureResponse, and two are of the steady traffic
				return &tls.Config{MaxVersion: tls.VersionTLS12, Certificates: whole.Certificates}, nil
			}
			return whole, nil
		}
	})
	p, err := newPinger()
	if err != nil {
		t.Fatal(err)
	}
	defer p.close()
	j := job{Addr: addr, TLS: true, Exchange: getSmall, Conns: 2, Duration: time.Minute, Rate: 100, Handshakes: 200}
	if r, err := p.do(j); err == nil || !strings.Contains(err.Error(), "beside the others: TLS handshake") {
		t.Errorf("%+v, %v", r, err)
	}
	if len(p.sockets) > 0 {
		t.Errorf("%d sockets are left", len(p.sockets))
	}
	j.Handshakes = 0
	if r, err := atLeast(1, lasting(j, p.do)); err != nil || r.Ops == 0 {
		t.Errorf("another job: %+v, %v", r, err)
	}
}

// When a step of a handshake may begin, what waits for it, and how much of the time is the proxy's.
func TestHandshakerHolds(t *testing.T) {
	t.Parallel()
	p := &pinger{begin: time.Now()}
	h := &handshaker{p: p, interval: 5 * time.Millisecond}
	p.busy = 1
	if h.holds() || h.mayStep() || !h.holds() {
		t.Error("a request is under way: a step, or nothing waits for one")
	}
	p.busy = 0
	if !h.mayStep() || h.holds() {
		t.Error("no request is under way: no step, or what waits")
	}
	p.begin = time.Now().Add(-time.Second)
	if err := h.step(func() error { time.Sleep(2 * time.Millisecond); return nil }); err != nil || h.spent < 2*time.Millisecond {
		t.Errorf("%v, %v spent", err, h.spent)
	}
	if d := h.held(h.began - 3*time.Millisecond); d != 3*time.Millisecond {
		t.Errorf("due 3 ms before the step: %v", d)
	}
	if d := h.held(h.began + time.Millisecond); d != 0 {
		t.Errorf("due during the step: %v", d)
	}
	if h.mayStep() || h.holds() {
		t.Error("two steps without what was held back between them")
	}
	h.released()
	if !h.holds() || !h.mayStep() {
		t.Error("the second step was forgotten")
	}
	h.done = 18
	if err := h.enough(105 * time.Millisecond); err != nil {
		t.Errorf("18 of 21: %v", err)
	}
	h.done = 17
	if err := h.enough(105 * time.Millisecond); err == nil {
		t.Error("17 of 21: no error")
	}
	h.done, h.waiting = 21, map[*pingSocket]func(){{}: nil}
	if err := h.enough(105 * time.Millisecond); err == nil || h.idle() {
		t.Errorf("one hangs: %v", err)
	}
	h = nil
	if h.released(); h.holds() || h.held(1) != 0 || !h.idle() {
		t.Error("none at all, and something waits")
	}
}
