package bench

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"runtime"
	"slices"
	"time"

	"golang.org/x/sys/unix"
)

const getRequest = "GET / HTTP/1.1\r\nHost: bench\r\n\r\n"

// pinger sends requests on kept-alive connections and waits for their responses: one thread, raw sockets and ppoll(2),
// because Go's own timers wait in whole milliseconds when the process is idle, which would send in bursts.
//
// At a fixed rate the i-th request is due at start+i*interval on connection i mod n, whatever happened before. When that
// connection still waits for a response, the request is sent after it and its time counts from when it was due, so
// that a stall is seen by all the requests it delayed (no coordinated omission). On a free connection the time counts
// from the sending: the generator's own lateness is not the proxy's.
type pinger struct {
	polls []unix.PollFd
	conns []pingConn
	size  int // bytes of a response
	buf   []byte
	times []time.Duration // at a fixed rate: one for each response
	ops   int64
}

type pingConn struct {
	left   int           // bytes of the response that are missing; 0: free
	from   time.Duration // when the request under way counts from
	queued []time.Duration
}

// ping does a job of kind loadPing.
func ping(j job) (result, error) {
	runtime.LockOSThread()
	if err := unix.Prctl(unix.PR_SET_TIMERSLACK, 1, 0, 0, 0); err != nil {
		return result{}, fmt.Errorf("making timers exact: %w", err)
	}
	size, err := responseSize(j.Addr)
	if err != nil {
		return result{}, err
	}
	p := &pinger{size: size, buf: make([]byte, 4096), conns: make([]pingConn, j.Conns)}
	defer p.close()
	if err := p.connect(j.Addr, j.Conns); err != nil {
		return result{}, err
	}
	if j.Rate > 0 {
		p.times = make([]time.Duration, 0, int(j.Rate*j.Duration.Seconds())+1)
	}
	return p.run(j)
}

// responseSize asks once and returns how long the response is; all others are as long.
func responseSize(addr string) (int, error) {
	c, err := net.DialTimeout("tcp", addr, 5*time.Second)
	if err != nil {
		return 0, err
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(5 * time.Second))
	if _, err := io.WriteString(c, getRequest); err != nil {
		return 0, err
	}
	var seen bytes.Buffer
	resp, err := http.ReadResponse(bufio.NewReader(io.TeeReader(c, &seen)), nil)
	if err != nil {
		return 0, fmt.Errorf("reading the first response: %w", err)
	}
	defer resp.Body.Close()
	if _, err := io.Copy(io.Discard, resp.Body); err != nil {
		return 0, fmt.Errorf("reading the first response: %w", err)
	}
	return seen.Len(), nil
}

func (p *pinger) connect(addr string, n int) error {
	ap, err := netip.ParseAddrPort(addr)
	if err != nil {
		return err
	}
	sa := &unix.SockaddrInet4{Port: int(ap.Port()), Addr: ap.Addr().As4()}
	for range n {
		fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			return fmt.Errorf("making a socket: %w", err)
		}
		p.polls = append(p.polls, unix.PollFd{Fd: int32(fd), Events: unix.POLLIN})
		if err := unix.Connect(fd, sa); err != nil {
			return fmt.Errorf("connecting to %s: %w", addr, err)
		}
		if err := errors.Join(unix.SetNonblock(fd, true),
			unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1)); err != nil {
			return fmt.Errorf("setting up a socket: %w", err)
		}
	}
	return nil
}

func (p *pinger) close() {
	for _, f := range p.polls {
		_ = unix.Close(int(f.Fd))
	}
}

// run sends until the job's duration is over, and then waits up to a second for what is under way.
func (p *pinger) run(j job) (result, error) {
	begin := time.Now()
	var interval time.Duration
	if j.Rate > 0 {
		interval = time.Duration(float64(time.Second) / j.Rate)
	} else {
		for i := range p.conns {
			if err := p.send(i, 0); err != nil {
				return result{}, err
			}
		}
	}
	waiting := func() (n int64) {
		for i := range p.conns {
			n += int64(len(p.conns[i].queued))
			if p.conns[i].left > 0 {
				n++
			}
		}
		return n
	}
	next := 0
	for {
		now := time.Since(begin)
		over := now >= j.Duration
		if over && (now >= j.Duration+time.Second || waiting() == 0) {
			break
		}
		wait := time.Second
		if !over {
			wait = j.Duration - now
		}
		for interval > 0 && !over {
			due := time.Duration(next) * interval
			if due > now {
				wait = min(wait, due-now)
				break
			}
			i := next % len(p.conns)
			next++
			if c := &p.conns[i]; c.left > 0 {
				c.queued = append(c.queued, due)
			} else if err := p.send(i, time.Since(begin)); err != nil {
				return result{}, err
			}
		}
		ts := unix.NsecToTimespec(int64(wait))
		n, err := unix.Ppoll(p.polls, &ts, nil)
		if err != nil && err != unix.EINTR {
			return result{}, fmt.Errorf("waiting for responses: %w", err)
		}
		for i := 0; i < len(p.polls) && n > 0; i++ {
			if p.polls[i].Revents == 0 {
				continue
			}
			n--
			if err := p.receive(i, begin, interval == 0 && !over); err != nil {
				return result{}, err
			}
		}
	}
	r := result{Ops: p.ops, Errors: waiting(), Elapsed: min(time.Since(begin), j.Duration)}
	if r.Errors > 0 {
		r.Failure = fmt.Sprintf("%d responses did not come", r.Errors)
	}
	slices.Sort(p.times)
	r.P50, r.P99 = percentile(p.times, 0.50), percentile(p.times, 0.99)
	return r, nil
}

// send sends a request whose time counts from from.
func (p *pinger) send(i int, from time.Duration) error {
	if n, err := unix.Write(int(p.polls[i].Fd), []byte(getRequest)); err != nil || n != len(getRequest) {
		return fmt.Errorf("sending a request: %d bytes, %w", n, err)
	}
	p.conns[i].left, p.conns[i].from = p.size, from
	return nil
}

// receive reads what there is on connection i; when a response is complete it sends the next request: the first that
// waits for the connection, or any when again is set.
func (p *pinger) receive(i int, begin time.Time, again bool) error {
	c := &p.conns[i]
	n, err := unix.Read(int(p.polls[i].Fd), p.buf)
	switch {
	case err == unix.EAGAIN || err == unix.EINTR:
		return nil
	case err != nil:
		return fmt.Errorf("reading a response: %w", err)
	case n == 0:
		return errors.New("reading a response: the proxy closed the connection")
	case n > c.left:
		return fmt.Errorf("reading a response: %d bytes more than it has", n-c.left)
	}
	if c.left -= n; c.left > 0 {
		return nil
	}
	p.ops++
	if p.times != nil {
		p.times = append(p.times, time.Since(begin)-c.from)
	}
	if len(c.queued) > 0 {
		from := c.queued[0]
		c.queued = slices.Delete(c.queued, 0, 1)
		return p.send(i, from)
	}
	if again {
		return p.send(i, 0)
	}
	return nil
}

// percentile returns the value below which the share q of sorted lies (nearest rank); 0 of nothing.
func percentile(sorted []time.Duration, q float64) time.Duration {
	if len(sorted) == 0 {
		return 0
	}
	return sorted[min(len(sorted)-1, int(q*float64(len(sorted))))]
}
