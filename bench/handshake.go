package bench

import (
	"crypto/tls"
	"fmt"
	"iter"
	"time"

	"golang.org/x/sys/unix"
)

const (
	mostHandshakes  = 64  // concurrent handshakes at most
	leastHandshakes = 0.9 // least share of the due handshakes
)

// handshaker makes new connections beside a pinger's steady traffic, evenly spread: a full handshake, an exchange, and a close.
//
// A client's part of a handshake takes hundreds of microseconds. The load and the hosts have only the pinger's thread, so the pinger would see
// responses that arrive meanwhile too late, and blame the proxy. Therefore a handshake is done in steps, from one wait for the proxy to the next,
// and a step begins only while no request of the steady traffic is under way: then nothing can arrive that is timed. While a step is pending, due
// requests are held back until those under way are answered and the step is done. The time of a held-back request counts from when it was due,
// minus
// the step.
//
// crypto/tls cannot resume a handshake after a wait. So each connection has a coroutine, on the pinger's own thread.
type handshaker struct {
	p        *pinger
	dialer   dialer
	to       unix.Sockaddr
	exchange exchange
	interval time.Duration
	due      time.Duration          // when the next connection is due
	waiting  map[*pingSocket]func() // for the proxy; the function ends the coroutine
	done     int64
	spent    time.Duration // time spent in steps

	ready bool          // a step is pending
	rest  bool          // a step has been done: held-back requests go first
	began time.Duration // when the last step began
}

// newHandshaker makes a handshaker of rate connections a second. The caller must call close.
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

// tick opens a connection if one is due and a step is allowed now. Missed connections are not made up for: they would come as a flood.
func (h *handshaker) tick(now time.Duration) error {
	if now < h.due || len(h.waiting) == mostHandshakes || !h.mayStep() {
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
		_ = c.Close() // sends the close to the proxy
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
		if !h.mayStep() {
			return nil // epoll will report it again
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

// mayStep reports whether a step is allowed now; if not, due requests will wait for the step.
func (h *handshaker) mayStep() bool {
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

// holds reports whether due requests must wait for a step; false for nil.
func (h *handshaker) holds() bool { return h != nil && h.ready && !h.rest }

// held returns how long a request that was due then waited for the last step to begin.
func (h *handshaker) held(due time.Duration) time.Duration {
	if h == nil {
		return 0
	}
	return max(0, h.began-due)
}

// released notes that all held-back requests have been sent.
func (h *handshaker) released() {
	if h != nil {
		h.rest = false
	}
}

// idle reports whether no connection is under way; true for nil.
func (h *handshaker) idle() bool { return h == nil || len(h.waiting) == 0 }

// enough returns an error if fewer connections were made than were due in d, or if some hang. One may have been due at the very end.
func (h *handshaker) enough(d time.Duration) error {
	if n := len(h.waiting); n > 0 {
		return fmt.Errorf("%d new connections beside the others were not completed", n)
	}
	due := int64(d / h.interval)
	if float64(h.done) < leastHandshakes*float64(due-1) {
		return fmt.Errorf("%d new connections in %v beside the others, %d were due: the proxy or the load is too slow, or other programs use their CPUs", h.done, d.Round(time.Millisecond), due)
	}
	return nil
}
