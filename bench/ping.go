package bench

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"runtime"
	"slices"
	"time"

	"golang.org/x/sys/unix"
)

// mostSlices bounds the duration of a measurement, in multiples of the requested duration, while too little of it counts: see sampler.
const mostSlices = 5

// pinger sends requests on kept-alive connections and waits for their responses. It may be the hosts behind the proxy as well (see pinghost.go).
// One
// thread does all of it, with raw sockets and epoll(7). Go's own timers wait in whole milliseconds when the process is idle, which would send
// requests in bursts. And if client and host were two threads that share a CPU, each might wait for a slice of the other's time, which would be
// attributed to the proxy.
//
// At a fixed rate, request i is due at start+i*interval on connection i mod n, whatever happened before. If that connection still waits for a
// response, the request is sent after it, and its time counts from when it was due, so that all requests delayed by a stall show it (no coordinated
// omission). On a free connection the time counts from the sending: the generator's own lateness is not the proxy's.
type pinger struct {
	epoll   int
	spin    bool                // never sleep: on a virtual machine, waking up a CPU takes longer than a round trip
	sockets map[int]*pingSocket // by descriptor
	clients []*pingSocket
	events  []unix.EpollEvent
	buf     []byte

	// State of the current job.
	dialer   dialer
	exchange exchange
	size     int64 // bytes of a response; not used if exchange.Chunked
	begin    time.Time
	again    bool     // send the next request on a connection as soon as the last one is answered
	samples  *sampler // at a fixed rate: the times of the responses
	busy     int      // number of clients that wait for a response
	ops      int64
	bytes    int64
}

// pingSocket is one of a pinger's sockets.
type pingSocket struct {
	fd    int
	ready func(*pingSocket) error
	tls   *tls.Conn // over fd, or nil
	tail  [5]byte   // the last bytes that were read

	// For clients.
	busy   bool            // a response is outstanding
	got    int64           // bytes of it so far
	from   time.Duration   // when the time of the current request begins
	queued []time.Duration // due times of requests that wait for the connection
}

// newPinger makes a pinger without sockets. It belongs to the calling goroutine's thread; the caller must call close.
func newPinger() (*pinger, error) {
	runtime.LockOSThread()
	if err := unix.Prctl(unix.PR_SET_TIMERSLACK, 1, 0, 0, 0); err != nil {
		return nil, fmt.Errorf("making timers exact: %w", err)
	}
	fd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("making an epoll set: %w", err)
	}
	return &pinger{epoll: fd, sockets: map[int]*pingSocket{}, events: make([]unix.EpollEvent, 256), buf: make([]byte, 64<<10)}, nil
}

func (p *pinger) close() {
	for _, s := range p.sockets {
		_ = unix.Close(s.fd)
	}
	_ = unix.Close(p.epoll)
	runtime.UnlockOSThread()
}

// watch takes ownership of fd; it calls ready when fd is readable.
func (p *pinger) watch(fd int, ready func(*pingSocket) error) (*pingSocket, error) {
	if err := errors.Join(unix.SetNonblock(fd, true),
		unix.EpollCtl(p.epoll, unix.EPOLL_CTL_ADD, fd, &unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(fd)})); err != nil {
		_ = unix.Close(fd)
		return nil, fmt.Errorf("setting up a socket: %w", err)
	}
	s := &pingSocket{fd: fd, ready: ready}
	p.sockets[fd] = s
	return s, nil
}

func (p *pinger) drop(s *pingSocket) {
	delete(p.sockets, s.fd)
	_ = unix.Close(s.fd)
}

// ping does a job of kind loadPing.
func ping(j job) (result, error) {
	p, err := newPinger()
	if err != nil {
		return result{}, err
	}
	defer p.close()
	return p.do(j)
}

// do does a whole job.
func (p *pinger) do(j job) (result, error) {
	defer func() {
		for _, s := range p.clients {
			p.drop(s)
		}
		p.clients = nil
	}()
	p.exchange, p.spin, p.samples = j.Exchange, false, nil
	p.busy, p.ops, p.bytes = 0, 0, 0
	var err error
	if p.dialer, err = j.dialer(); err != nil {
		return result{}, err
	}
	if err := p.measureResponse(); err != nil {
		return result{}, err
	}
	if err := p.connect(j.Addr, j.Conns); err != nil {
		return result{}, err
	}
	return p.run(j)
}

// measureResponse makes one exchange and checks the response thoroughly; all others must have the same length.
func (p *pinger) measureResponse() error {
	done := make(chan error, 1)
	go func() {
		var err error
		p.size, err = p.exchange.once(p.dialer, nil)
		done <- err
	}()
	for {
		select {
		case err := <-done:
			return err
		default: // the host may be this thread
			if err := p.serve(time.Millisecond); err != nil {
				return err
			}
		}
	}
}

func (p *pinger) connect(addr string, n int) error {
	to, err := socketAddress(addr)
	if err != nil {
		return err
	}
	for range n {
		fd, err := connectSocket(to)
		if err != nil {
			return err
		}
		var secure *tls.Conn
		if p.dialer.config != nil {
			// This blocks; the thread has no requests to handle yet.
			secure = tls.Client(rawConn{fd: fd}, p.dialer.config)
			if err := p.dialer.handshake(secure); err != nil {
				_ = unix.Close(fd)
				return err
			}
		}
		s, err := p.watch(fd, p.receive)
		if err != nil {
			return err
		}
		s.tls = secure
		p.clients = append(p.clients, s)
	}
	return nil
}

// serve waits up to d for events and handles them.
func (p *pinger) serve(d time.Duration) error {
	if d > 0 && !p.spin {
		ts := unix.NsecToTimespec(int64(d)) // epoll_wait(2) only knows whole milliseconds
		if _, err := unix.Ppoll([]unix.PollFd{{Fd: int32(p.epoll), Events: unix.POLLIN}}, &ts, nil); err != nil && err != unix.EINTR {
			return fmt.Errorf("waiting for events: %w", err)
		}
	}
	n, err := unix.EpollWait(p.epoll, p.events, 0)
	if err != nil && err != unix.EINTR {
		return fmt.Errorf("waiting for events: %w", err)
	}
	for _, e := range p.events[:max(n, 0)] {
		if s := p.sockets[int(e.Fd)]; s != nil {
			if err := s.ready(s); err != nil {
				return err
			}
		}
	}
	return nil
}

// run sends until the job's duration is over. After that, requests that wait for a free connection may continue for up to a second, and run waits
// up
// to another second for responses.
func (p *pinger) run(j job) (result, error) {
	var interval time.Duration
	var yielded time.Duration
	var meter *meter
	var counter *counter
	var beside *handshaker
	limit := j.Duration
	if j.Trace.any() {
		var err error
		if counter, err = newCounter(j.Meter, j.Trace); err != nil {
			return result{}, err
		}
		defer counter.close()
	}
	if j.Handshakes > 0 {
		var err error
		if beside, err = newHandshaker(p, j); err != nil {
			return result{}, err
		}
		defer beside.close()
	}
	if j.Rate > 0 {
		interval = time.Duration(float64(time.Second) / j.Rate)
		var g *gauge
		if j.Watch != 0 {
			var err error
			if g, err = newGauge(j.Watch); err != nil {
				return result{}, err
			}
			defer g.close()
			p.spin = true
			limit *= mostSlices
		}
		p.samples = newSampler(g, int(2*j.Rate*j.Duration.Seconds()))
	}
	if p.again = j.Rate == 0; p.again {
		if err := p.warm(j.Warm); err != nil {
			return result{}, err
		}
	}
	if j.Meter != 0 {
		var err error
		if meter, err = newMeter(j.Meter); err != nil {
			return result{}, err
		}
	}
	if err := counter.begin(); err != nil {
		return result{}, err
	}
	p.begin = time.Now()
	var r result
	var over time.Duration // when the duration ended; 0: not yet
	for next := 0; ; {
		now := time.Since(p.begin)
		if p.samples != nil && over == 0 {
			p.samples.tick(now)
		}
		if over == 0 && (now >= limit || now >= j.Duration && p.samples.enough(j.Duration)) {
			over, p.again = now, false
			// Requests under way are not counted now; in exchange, those that were under way when the count began, after the warm-up, are counted.
			r.Ops, r.Bytes, r.Elapsed = p.ops, p.bytes, over
			var err error
			if meter != nil {
				if r.CPU, err = meter.used(); err != nil {
					return r, err
				}
			}
			if r.Counts, err = counter.since(); err != nil {
				return r, err
			}
		}
		if over > 0 && now >= over+time.Second {
			p.abandonQueued(now)
		}
		if over > 0 && p.waiting() == 0 && beside.idle() {
			break
		}
		if over > 0 && now >= over+2*time.Second {
			if err := p.serve(0); err != nil { // what has arrived counts, even if this process stood still until now
				return result{}, err
			}
			break
		}
		wait := time.Second
		if over == 0 {
			wait = limit - now
		}
		if beside != nil && over == 0 {
			wait = min(wait, max(0, beside.due-now))
			if err := beside.tick(now); err != nil {
				return result{}, err
			}
		}
		held := beside.holds()
		for interval > 0 && over == 0 && !held {
			due := time.Duration(next) * interval
			if due > now {
				wait = min(wait, due-now)
				break
			}
			s := p.clients[next%len(p.clients)]
			next++
			if s.busy {
				s.queued = append(s.queued, due)
			} else if err := p.send(s, time.Since(p.begin)-beside.held(due)); err != nil {
				return result{}, err
			}
		}
		if !held {
			beside.released()
		}
		if p.spin && now-yielded > 5*time.Millisecond {
			runtime.Gosched() // otherwise Go's monitor thread wakes up a thousand times a second to preempt this goroutine
			yielded = now
		}
		if err := p.serve(wait); err != nil {
			return result{}, err
		}
	}
	if r.Errors = p.waiting(); r.Errors > 0 {
		r.Failure = fmt.Sprintf("%d responses did not come", r.Errors)
	}
	if beside != nil {
		if err := beside.enough(over); err != nil {
			return result{}, err
		}
		r.Handshakes, r.Spent = beside.done, beside.spent
	}
	if p.samples != nil {
		p.samples.endSlice(over)
		r.P50, r.P99 = p.samples.percentiles()
		r.Counted = float64(p.samples.counted) / float64(p.samples.slices)
	}
	return r, nil
}

// warm sends a request on each connection and, until d is over, the next one as soon as it is answered. It counts nothing.
func (p *pinger) warm(d time.Duration) error {
	for _, s := range p.clients {
		if err := p.send(s, 0); err != nil {
			return err
		}
	}
	begin := time.Now()
	for left := d; left > 0; left = d - time.Since(begin) {
		if err := p.serve(left); err != nil {
			return err
		}
	}
	p.ops, p.bytes = 0, 0
	return nil
}

// waiting returns the number of requests without a response.
func (p *pinger) waiting() (n int64) {
	for _, s := range p.clients {
		n += int64(len(s.queued))
		if s.busy {
			n++
		}
	}
	return n
}

// abandonQueued gives up the requests that still wait for a free connection: the proxy is too slow for the rate. Each counts with the time that it
// has
// waited, which is a lower bound of its latency.
func (p *pinger) abandonQueued(now time.Duration) {
	for _, s := range p.clients {
		for _, due := range s.queued {
			p.samples.add(now - due)
		}
		s.queued = nil
	}
}

// send sends a request whose time counts from from.
func (p *pinger) send(s *pingSocket, from time.Duration) error {
	var n int
	var err error
	if s.tls != nil {
		n, err = s.tls.Write(p.exchange.Request)
	} else {
		n, err = unix.Write(s.fd, p.exchange.Request)
	}
	if err == nil && n < len(p.exchange.Request) {
		err = unix.EAGAIN
	}
	if err != nil {
		return fmt.Errorf("sending a request: %d bytes of %d: %w", n, len(p.exchange.Request), err)
	}
	s.busy, s.got, s.from = true, 0, from
	p.busy++
	return nil
}

// receive reads from a client's connection. When the response is complete, it sends the next request: the first that waits for the connection, or
// any if p.again is set.
func (p *pinger) receive(s *pingSocket) error {
	b, err := p.read(s)
	switch {
	case errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.EINTR):
		return nil
	case err != nil:
		return fmt.Errorf("reading a response: %w", err)
	case len(b) == 0:
		return errors.New("reading a response: the proxy closed the connection")
	}
	s.got += int64(len(b))
	switch {
	case p.exchange.Chunked:
		if string(s.tail[:]) != "0\r\n\r\n" { // the bodies are zeros, so no chunk contains this
			return p.receiveMore(s)
		}
		if s.got < p.exchange.Size {
			return fmt.Errorf("reading a response: it ended after %d bytes", s.got)
		}
	case s.got < p.size:
		return p.receiveMore(s)
	}
	if !s.busy || !p.exchange.Chunked && s.got > p.size {
		return fmt.Errorf("reading a response: more than its %d bytes came", p.size)
	}
	s.busy = false
	p.busy--
	p.ops++
	p.bytes += s.got
	if p.samples != nil {
		p.samples.add(time.Since(p.begin) - s.from)
	}
	if len(s.queued) > 0 {
		from := s.queued[0]
		s.queued = slices.Delete(s.queued, 0, 1)
		return p.send(s, from)
	}
	if p.again {
		return p.send(s, 0)
	}
	return nil
}

// receiveMore continues with data that TLS has already read from the socket, such as the next record, of which epoll knows nothing.
func (p *pinger) receiveMore(s *pingSocket) error {
	if s.tls == nil {
		return nil
	}
	return p.receive(s)
}

// read reads up to the size of p.buf and keeps the end of the data in s.tail. It returns an empty slice at the end of the connection.
func (p *pinger) read(s *pingSocket) ([]byte, error) {
	var n int
	var err error
	if s.tls != nil {
		if n, err = s.tls.Read(p.buf); n > 0 || errors.Is(err, io.EOF) {
			err = nil // an error other than the end will come again
		}
	} else {
		n, err = unix.Read(s.fd, p.buf)
	}
	if err != nil {
		return nil, err
	}
	end := p.buf[max(0, n-len(s.tail)):n]
	copy(s.tail[:], s.tail[len(end):])
	copy(s.tail[len(s.tail)-len(end):], end)
	return p.buf[:n], nil
}
