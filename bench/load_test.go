package bench

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// listenHost serves the hosts' protocol in this process and returns its address.
func listenHost(t *testing.T, sendfile bool) string {
	t.Helper()
	h := &host{chunk: make([]byte, chunkSize)}
	if sendfile {
		fd, err := unix.MemfdCreate("source", unix.MFD_CLOEXEC)
		if err != nil {
			t.Skipf("no memfd: %v", err)
		}
		h.file = os.NewFile(uintptr(fd), "source")
		if _, err := h.file.Write(h.chunk); err != nil {
			t.Fatal(err)
		}
	}
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go h.accept(l)
	return l.Addr().String()
}

// atLeast runs a load for longer and longer until it has done at least ops operations: a busy machine may do little in a short time.
func atLeast(ops int64, load func(time.Duration) (result, error)) (result, error) {
	for d := 20 * time.Millisecond; ; d *= 4 {
		r, err := load(d)
		if err != nil || r.Errors > 0 || r.Ops >= ops || d > 10*time.Second {
			return r, err
		}
	}
}

// lasting returns a function that calls f with j for the given duration.
func lasting(j job, f func(job) (result, error)) func(time.Duration) (result, error) {
	return func(d time.Duration) (result, error) {
		j.Duration = d
		return f(j)
	}
}

// Runs each kind of load directly against a host: it must count exactly what was requested.
func TestLoads(t *testing.T) {
	t.Parallel()
	for _, sendfile := range []bool{false, true} {
		addr := listenHost(t, sendfile)
		const size = 3*chunkSize + 17
		for _, upload := range []bool{false, true} {
			r, err := atLeast(2, lasting(job{Addr: addr, Conns: 2, Size: size, Upload: upload}, bulk))
			if err != nil || r.Errors > 0 || r.Ops < 2 || r.Bytes != r.Ops*size {
				t.Errorf("bulk, sendfile %v, upload %v: %+v, %v", sendfile, upload, r, err)
			}
		}
	}
	addr := listenHost(t, false)
	for name, e := range map[string]exchange{"small": getSmall, "browser": getAsABrowser, "chunked": getChunked, "post": post16K} {
		r, err := atLeast(4, lasting(job{Addr: addr, Exchange: e, Conns: 4}, ping))
		if err != nil || r.Errors > 0 || r.Ops < 4 || r.Bytes < r.Ops*e.Size {
			t.Errorf("ping, %s: %+v, %v", name, r, err)
		}
	}
	large := exchange{Request: get("/bytes/1000000"), Size: 1e6}
	if r, err := atLeast(2, lasting(job{Addr: addr, Exchange: large, Conns: 2}, bulk)); err != nil || r.Errors > 0 || r.Ops < 2 || r.Bytes != r.Ops*1e6 {
		t.Errorf("bulk by HTTP: %+v, %v", r, err)
	}
	if r, err := atLeast(2, lasting(job{Addr: addr, Exchange: getClose, Conns: 2}, connects)); err != nil || r.Errors > 0 || r.Ops < 2 {
		t.Errorf("connects: %+v, %v", r, err)
	}
	var due int64 // requests, one per ms
	r, err := atLeast(10, func(d time.Duration) (result, error) {
		due = d.Milliseconds() + 1
		return ping(job{Addr: addr, Exchange: getSmall, Conns: 4, Duration: d, Rate: 1000})
	})
	if err != nil || r.Errors > 0 || r.Ops < 10 || r.Ops > due || r.P50 <= 0 || r.P99 < r.P50 {
		t.Errorf("ping at 1000/s: %+v, %v", r, err)
	}
	var out bytes.Buffer
	r, err = idle(job{Addr: addr, Exchange: getSmall, Conns: 3}, bufio.NewReader(strings.NewReader("\n")), json.NewEncoder(&out))
	if err != nil || r.Ops != 3 || r.Errors != 0 {
		t.Errorf("idle by HTTP: %+v, %v", r, err)
	}
	for kind, f := range map[string]func(job, *bufio.Reader, *json.Encoder) (result, error){"idle": idle, "slow": slow} {
		var out bytes.Buffer
		r, err := f(job{Addr: addr, Conns: 3, Size: 32 << 20}, bufio.NewReader(strings.NewReader("\n")), json.NewEncoder(&out))
		if err != nil || r.Ops != 3 || r.Errors != 0 {
			t.Errorf("%s: %+v, %v", kind, r, err)
		}
		var first result
		if err := json.Unmarshal(out.Bytes(), &first); err != nil || first.Ops != 3 {
			t.Errorf("%s before the silence: %q, %v", kind, &out, err)
		}
		// The conductor has disappeared: the load must not continue.
		if _, err := f(job{Addr: addr, Conns: 1, Size: 32 << 20}, bufio.NewReader(strings.NewReader("")), json.NewEncoder(io.Discard)); !errors.Is(err, io.EOF) {
			t.Errorf("%s without a conductor: %v", kind, err)
		}
	}
}

// hesitantHost is a host of small responses that sleeps as long as pause says before the i-th response on a connection, counted from zero.
func hesitantHost(t *testing.T, pause func(i int) time.Duration) (addr string) {
	t.Helper()
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				buf := make([]byte, len(getSmall.Request))
				for i := 0; ; i++ {
					if _, err := io.ReadFull(c, buf); err != nil {
						return
					}
					time.Sleep(pause(i))
					if _, err := io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 12\r\n\r\n"+httpBody); err != nil {
						return
					}
				}
			}()
		}
	}()
	return l.Addr().String()
}

// A host that stalls once must show in the times of all requests that were due during the stall, not only of the few in progress.
func TestPingSeesStalls(t *testing.T) {
	t.Parallel()
	var stall time.Duration
	r, err := atLeast(20, func(d time.Duration) (result, error) { // of 200, or more on a busy machine
		pause := 5 * d // the host of an earlier attempt may still be there
		stall = pause
		addr := hesitantHost(t, func(i int) time.Duration {
			if i == 10 {
				return pause
			}
			return 0
		})
		// With one connection; the stall covers half of the requests, whose times range from its whole duration down to 0.
		return ping(job{Addr: addr, Exchange: getSmall, Conns: 1, Duration: 10 * d, Rate: 1000})
	})
	if err != nil || r.Ops < 20 {
		t.Fatalf("%+v, %v", r, err)
	}
	if r.P99 < stall*3/4 {
		t.Errorf("p99 is %v after a stall of %v: requests that were due during it are not counted from when they were due", r.P99, stall)
	}
}

// A host that is too slow for the rate is not a failure, but results in long times, including those of requests that could not be sent; a missing
// response is a failure.
func TestPingTellsSlowFromFailing(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		pause  func(i int) time.Duration
		errors int64
	}{
		"slow":   {func(int) time.Duration { return 20 * time.Millisecond }, 0},
		"silent": {func(i int) time.Duration { return time.Duration(i/3) * time.Minute }, 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			// 2,000 requests are due, and at most 100 can be answered until the others are given up: a busy machine that slows down the load
			// affects the latter only.
			r, err := ping(job{Addr: hesitantHost(t, tc.pause), Exchange: getSmall, Conns: 1, Duration: time.Second, Rate: 2000})
			if err != nil || r.Errors != tc.errors || (r.Failure != "") != (tc.errors > 0) {
				t.Fatalf("%+v, %v", r, err)
			}
			if r.P50 < time.Second { // half of the requests had been due for longer than that when they were given up
				t.Errorf("the median is %v", r.P50)
			}
		})
	}
}

// Requests sent to warm up are not counted, and those in progress when counting begins are not interrupted.
func TestPingGetsWarm(t *testing.T) {
	t.Parallel()
	var (
		r    *record
		warm time.Duration
		got  result
		err  error
		sent int64
	)
	for d := 20 * time.Millisecond; ; d *= 4 { // the same over a longer time: the machine may be busy, or stand still for a moment
		r, warm = &record{}, 50*d
		addr := fmt.Sprintf("127.0.0.1:%d", recordingHost(t, r))
		got, err = ping(job{Addr: addr, Exchange: getSmall, Conns: 4, Warm: warm, Duration: d})
		r.mu.Lock()
		sent = int64(len(r.seen))
		r.mu.Unlock()
		if err != nil || got.Errors > 0 || got.Ops > 0 && got.Elapsed <= warm && sent >= 2*got.Ops || d > 200*time.Millisecond {
			break
		}
	}
	if err != nil || got.Errors > 0 || got.Ops < 1 || got.Elapsed > warm {
		t.Fatalf("warm for %v: %+v, %v", warm, got, err)
	}
	if sent < 2*got.Ops {
		t.Errorf("%d of %d requests are counted, those of a fiftieth of the time", got.Ops, sent)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.conns > 5 { // one more checks a response first
		t.Errorf("%d connections for 4 clients", r.conns)
	}
}

// Failures are counted, with an example, and never count as work.
func TestLoadCountsFailures(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			_ = c.Close()
		}
	}()
	addr := l.Addr().String()
	j := job{Addr: addr, Exchange: getSmall, Conns: 2, Size: 1 << 20}
	own := j
	own.Exchange = exchange{}
	for _, j := range []job{j, own} {
		if r, err := atLeast(1, lasting(j, bulk)); err != nil || r.Ops != 0 || r.Errors == 0 || r.Failure == "" {
			t.Errorf("bulk: %+v, %v", r, err)
		}
	}
	if r, err := atLeast(1, lasting(j, connects)); err != nil || r.Ops != 0 || r.Errors == 0 || r.Failure == "" {
		t.Errorf("connects: %+v, %v", r, err)
	}
	if _, err := ping(j); err == nil {
		t.Error("ping: no error")
	}
	if _, err := idle(j, nil, nil); err == nil {
		t.Error("idle: no error")
	}
}

func TestUploadChecksTheCount(t *testing.T) {
	t.Parallel()
	client, server := net.Pipe()
	defer client.Close()
	go func() {
		defer server.Close()
		_, _ = io.CopyN(io.Discard, server, requestSize+100)
		_, _ = server.Write(request(opUpload, 99)[1:])
	}()
	if err := upload(client, make([]byte, 64), 100); err == nil || !strings.Contains(err.Error(), "99 bytes of 100") {
		t.Errorf("got %v", err)
	}
}
