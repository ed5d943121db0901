package bench

import (
	"crypto/tls"
	"fmt"
	"iter"
	"time"

	"golang.org/x/sys/unix"
)

const (
	mostHandshakes  = 64  // that are under way at a time
	leastHandshakes = 0.9 // of those that were due
)

// handshaker makes new connections beside a pinger's steady traffic, evenly spread: a full handshake, an exchange, the end.
//
// A client's part of a handshake takes hundreds of microseconds, and the pinger, whose thread is the only one that the load
// and the hosts have, would see everything late that comes meanwhile, and blame the proxy. So the part is done in steps, from
// one wait for the proxy to the next, and a step begins only when no request of the steady traffic is under way: nothing
// can come then that is timed. When a step is to be done, what becomes due is held back until those under way are answered
// and the step is over. The time of a request that was held back counts from when it was due, but for the step.
//
// crypto/tls cannot go on with a handshake after a wait. So each connection has a coroutine, on the pinger's own thread.
type handshaker struct {
	p        *pinger
	dialer   dialer
	to       unix.Sockaddr
	exchange exchange
	interval time.Duration
	due      time.Duration          // when the next connection is
	waiting  map[*pingSocket]func() // for the proxy; the function ends the coroutine
	done     int64
	spent    time.Duration // in steps

	ready bool          // a step is to be done
	rest  bool          // one has been: what was held back goes first
	began time.Duration // when the last one did
}

// newHandshaker makes a handshaker of rate connections a second. close must be called.
func newHandshaker(p *pinger, j job) (*handshaker, error) {
	d, err := j.dialer()
	if err != nil {
		return nil, err
	}
	to, err := socketAddress(j.Addr)
	if err != nil {
		return nil, err
	}
	interval := time.Duration(float64(time.Second) / j.Handshakes)
	return &handshaker{p: p, dialer: d, to: to, exchange: getClose, interval: interval, due: interval, waiting: map[*pingSocket]func(){}}, nil
}

func (h *handshaker) close() {
	for s, stop := range h.waiting {
		stop()
		h.p.drop(s)
	}
}

// tick opens a connection if one is due and this is a moment for it. What was missed is not made up for: it would be a flood.
func (h *handshaker) tick(now time.Duration) error {
	if now < h.due || len(h.waiting) == mostHandshakes || !h.may() {
		return nil
	}
	h.due = max(h.due+h.interval, now)
	return h.step(h.open)
}

// open does the first step of a new connection.
func (h *handshaker) open() error {
	fd, err := connectSocket(h.to)
	if err != nil {
		return err
	}
	var failed error
	next, stop := iter.Pull(func(yield func(struct{}) bool) {
		c := tls.Client(rawConn{fd: fd, wait: func() bool { return yield(struct{}{}) }}, h.dialer.config)
		if failed = h.dialer.handshake(c); failed == nil {
			_, failed = h.exchange.on(c, nil)
		}
		_ = c.Close() // says so to the proxy
	})
	var s *pingSocket
	goOn := func() error {
		if _, more := next(); more {
			return nil
		}
		delete(h.waiting, s)
		h.p.drop(s)
		if failed != nil {
			return fmt.Errorf("a new connection beside the others: %w", failed)
		}
		h.done++
		return nil
	}
	s, err = h.p.watch(fd, func(*pingSocket) error {
		if !h.may() {
			return nil // epoll will tell again
		}
		return h.step(goOn)
	})
	if err != nil {
		stop()
		return err
	}
	h.waiting[s] = stop
	return goOn()
}

// may tells whether a step may be done now; if not, requests will wait for it.
func (h *handshaker) may() bool {
	h.ready = h.p.busy > 0 || h.rest
	return !h.ready
}

func (h *handshaker) step(f func() error) error {
	begin := time.Now()
	h.began = begin.Sub(h.p.begin)
	err := f()
	h.spent += time.Since(begin)
	h.rest = true
	return err
}

// holds tells whether requests that are due have to wait for a step; nil never makes them wait.
func (h *handshaker) holds() bool { return h != nil && h.ready && !h.rest }

// held returns for how long a request that was due then had to wait for the last step to begin.
func (h *handshaker) held(due time.Duration) time.Duration {
	if h == nil {
		return 0
	}
	return max(0, h.began-due)
}

// released is told that all requests are sent that were held back.
func (h *handshaker) released() {
	if h != nil {
		h.rest = false
	}
}

// idle tells whether no connection is under way; nil has none.
func (h *handshaker) idle() bool { return h == nil || len(h.waiting) == 0 }

// enough is an error when fewer connections were made than were due in d, or some hang. One may have been due at its very end.
func (h *handshaker) enough(d time.Duration) error {
	if n := len(h.waiting); n > 0 {
		return fmt.Errorf("%d new connections beside the others did not come to their end", n)
	}
	due := int64(d / h.interval)
	if float64(h.done) < leastHandshakes*float64(due-1) {
		return fmt.Errorf("%d new connections in %v beside the others, %d were due: the proxy or the load is too slow, or others have their CPUs", h.done, d.Round(time.Millisecond), due)
	}
	return nil
}
