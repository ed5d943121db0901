package bench

import (
	"bufio"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"sync"
	"time"
)

const (
	dialTimeout     = 10 * time.Second
	exchangeTimeout = time.Minute
)

// request returns a request of the hosts' protocol.
func request(op byte, n int64) []byte {
	return binary.BigEndian.AppendUint64([]byte{op}, uint64(n))
}

// tally sums up the results of concurrent clients.
type tally struct {
	mu sync.Mutex
	result
}

// add counts a transfer of n bytes, or a failure if err is not nil.
func (t *tally) add(n int64, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if err != nil {
		t.Errors++
		t.Failure = err.Error()
		return
	}
	t.Ops++
	t.Bytes += n
}

// repeat runs f repeatedly on each of n goroutines until d is over; calls under way then are finished. After a failure a client pauses for a
// moment, so
// that a dead proxy does not cause a busy loop.
func repeat(n int, d time.Duration, f func() (int64, error)) result {
	var t tally
	var wg sync.WaitGroup
	begin := time.Now()
	for range n {
		wg.Go(func() {
			for time.Since(begin) < d {
				n, err := f()
				t.add(n, err)
				if err != nil {
					time.Sleep(10 * time.Millisecond)
				}
			}
		})
	}
	wg.Wait()
	t.Elapsed = time.Since(begin)
	return t.result
}

// bulk does a job of kind loadBulk: each transfer has its own connection.
func bulk(j job) (result, error) {
	if !j.H2.empty() {
		return h2Bulk(j)
	}
	d, err := j.dialer()
	if err != nil {
		return result{}, err
	}
	bufs := sync.Pool{New: func() any { return make([]byte, chunkSize) }}
	return repeat(j.Conns, j.Duration, func() (int64, error) {
		buf := bufs.Get().([]byte)
		defer bufs.Put(buf) //nolint:staticcheck // one allocation per transfer of megabytes
		c, err := d.dial()
		if err != nil {
			return 0, err
		}
		defer c.Close()
		_ = c.SetDeadline(time.Now().Add(exchangeTimeout))
		if !j.Exchange.empty() {
			_, err := j.Exchange.on(c, buf)
			return j.Exchange.Size, err
		}
		if j.Upload {
			return j.Size, upload(c, buf, j.Size)
		}
		if _, err := c.Write(request(opDownload, j.Size)); err != nil {
			return 0, fmt.Errorf("asking for a download: %w", err)
		}
		if err := drain(c, buf, j.Size); err != nil {
			return 0, fmt.Errorf("downloading: %w", err)
		}
		return j.Size, nil
	}), nil
}

// upload sends n bytes over c and checks that the host has counted as many.
func upload(c net.Conn, buf []byte, n int64) error {
	if _, err := c.Write(request(opUpload, n)); err != nil {
		return fmt.Errorf("announcing an upload: %w", err)
	}
	for left := n; left > 0; {
		k, err := c.Write(buf[:min(left, int64(len(buf)))])
		if err != nil {
			return fmt.Errorf("uploading: %w", err)
		}
		left -= int64(k)
	}
	var got [8]byte
	if _, err := io.ReadFull(c, got[:]); err != nil {
		return fmt.Errorf("waiting for the host's count: %w", err)
	}
	if k := int64(binary.BigEndian.Uint64(got[:])); k != n {
		return fmt.Errorf("host got %d bytes of %d", k, n)
	}
	return nil
}

// connects does a job of kind loadConnect.
func connects(j job) (result, error) {
	d, err := j.dialer()
	if err != nil {
		return result{}, err
	}
	return repeat(j.Conns, j.Duration, func() (int64, error) { return j.Exchange.once(d, nil) }), nil
}

// dialAll opens j's sessions and runs first on each. If one fails, it closes those that it has opened.
func dialAll(j job, first func(net.Conn) error) ([]net.Conn, error) {
	d, err := j.dialer()
	if err != nil {
		return nil, err
	}
	var conns []net.Conn
	for range j.Conns {
		c, err := d.dial()
		if err == nil {
			conns = append(conns, c)
			_ = c.SetDeadline(time.Now().Add(dialTimeout))
			err = first(c)
			_ = c.SetDeadline(time.Time{})
		}
		if err != nil {
			closeAll(conns)
			return nil, fmt.Errorf("session %d of %d: %w", len(conns), j.Conns, err)
		}
	}
	return conns, nil
}

func closeAll(conns []net.Conn) {
	for _, c := range conns {
		_ = c.Close()
	}
}

// small does one small exchange on c.
func (j job) small(c net.Conn) error {
	if c, ok := c.(*h2Conn); ok {
		if j.H2.Size > h2Window {
			return c.do(h2Small) // because nothing enlarges the window
		}
		return c.do(j.H2)
	}
	if j.Exchange.empty() {
		return echo(c)
	}
	_, err := j.Exchange.on(c, nil)
	return err
}

// echo does one small exchange of the hosts' own protocol on c.
func echo(c net.Conn) error {
	req := request(opEcho, 0)
	if _, err := c.Write(req); err != nil {
		return fmt.Errorf("sending an echo request: %w", err)
	}
	if _, err := io.ReadFull(c, make([]byte, len(req))); err != nil {
		return fmt.Errorf("reading an echo: %w", err)
	}
	return nil
}

// silence reports that all sessions are quiet now, and waits for the conductor.
func silence(r result, in *bufio.Reader, out *json.Encoder) error {
	if err := out.Encode(r); err != nil {
		return err
	}
	_, err := in.ReadString('\n')
	return err
}

// idle does a job of kind loadIdle; after the silence each session must still work.
func idle(j job, in *bufio.Reader, out *json.Encoder) (result, error) {
	conns, err := dialAll(j, j.small)
	if err != nil {
		return result{}, err
	}
	defer closeAll(conns)
	if err := silence(result{Ops: int64(len(conns))}, in, out); err != nil {
		return result{}, err
	}
	var t tally
	for _, c := range conns {
		_ = c.SetDeadline(time.Now().Add(dialTimeout))
		t.add(0, j.small(c))
	}
	return t.result, nil
}

// slow does a job of kind loadSlow: each client reads 64 KiB of its download, falls silent, and then reads 16 MiB more, which exceeds the sockets'
// buffers on the way and the proxy's own, so the flow must restart. Ops of the second result are the clients that got them.
func slow(j job, in *bufio.Reader, out *json.Encoder) (result, error) {
	const little, more = 64 << 10, 16 << 20
	buf := make([]byte, little)
	conns, err := dialAll(j, func(c net.Conn) error {
		if _, err := c.Write(request(opDownload, j.Size)); err != nil {
			return fmt.Errorf("asking for a download: %w", err)
		}
		return drain(c, buf, little)
	})
	if err != nil {
		return result{}, err
	}
	defer closeAll(conns)
	if err := silence(result{Ops: int64(len(conns))}, in, out); err != nil {
		return result{}, err
	}
	var t tally
	var wg sync.WaitGroup
	begin := time.Now()
	for _, c := range conns {
		wg.Go(func() {
			_ = c.SetDeadline(time.Now().Add(time.Minute))
			err := drain(c, make([]byte, little), more)
			if err != nil {
				err = fmt.Errorf("continuing a download: %w", err)
			}
			t.add(more, err)
		})
	}
	wg.Wait()
	t.Elapsed = time.Since(begin)
	return t.result, nil
}
