package accesslog_test

import (
	"bytes"
	"fmt"
	"io"
	"net/netip"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"kroxy-ev/logformat"
)

// script is a writer that follows a script, one step per call, and stores what it gets. Without steps left it
// accepts everything.
type script struct {
	mu    sync.Mutex
	steps []step
	calls int
	got   bytes.Buffer
}

type step struct {
	n     int // accepts n bytes
	err   error
	block chan struct{} // waits for this first
}

func (s *script) Write(p []byte) (int, error) {
	s.mu.Lock()
	s.calls++
	do := step{n: len(p)}
	if len(s.steps) > 0 {
		do, s.steps = s.steps[0], s.steps[1:]
	}
	s.mu.Unlock()
	if do.block != nil {
		<-do.block
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	n := min(do.n, len(p))
	s.got.Write(p[:n])
	return n, do.err
}

func (s *script) add(steps ...step) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.steps = append(s.steps, steps...)
}

func (s *script) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.got.String()
}

func (s *script) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.calls
}

// reports records the calls of Report.
type reports struct {
	mu   sync.Mutex
	list []error
}

func (r *reports) add(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.list = append(r.list, err)
}

// expect may only be used in synctest bubbles.
func (r *reports) expect(t *testing.T, want ...string) {
	t.Helper()
	synctest.Wait()
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.list) != len(want) {
		t.Fatalf("%d reports, want %d: %v", len(r.list), len(want), r.list)
	}
	for i, err := range r.list {
		if err.Error() != want[i] {
			t.Errorf("report %d: got %q, want %q", i, err, want[i])
		}
	}
}

func compile(tb testing.TB, format string) *logformat.Format {
	tb.Helper()
	f, err := logformat.Compile(format, logformat.HTTP)
	if err != nil {
		tb.Fatal(err)
	}
	return f
}

// agent is what the peers of record send.
type agent struct{}

var curl = []byte("curl/8")

func (agent) RequestField(string) []byte  { return curl }
func (agent) ResponseField(string) []byte { return nil }

// record returns a record with a value for every variable.
func record() *logformat.Record {
	return &logformat.Record{
		Client: netip.MustParseAddrPort("192.0.2.7:4711"), BytesUpstream: 123, BytesDownstream: 1 << 40, Duration: time.Second,
		TLS:      &logformat.TLS{Version: "TLS 1.3", Cipher: "TLS_AES_128_GCM_SHA256", ServerName: []byte("a.example")},
		Upstream: logformat.Upstream{Host: "h:1", Addr: netip.MustParseAddrPort("192.0.2.8:1"), Tries: 1, Connected: true, Status: 200},
		Protocol: "HTTP/1.1", Group: "g", Method: []byte("GET"), URI: []byte("/a?b=c"), Messages: agent{}, Status: 200,
	}
}

// everything returns a format with every variable.
func everything(tb testing.TB) *logformat.Format {
	tb.Helper()
	return compile(tb, "$"+strings.Join(logformat.Names(logformat.HTTP), " $"))
}

// number returns a record for which "$bytes_sent_upstream" is i.
func number(i int) *logformat.Record { return &logformat.Record{BytesUpstream: int64(i)} }

func diagnose(tb testing.TB, w io.Writer, lines ...string) {
	tb.Helper()
	for _, line := range lines {
		if n, err := fmt.Fprintln(w, line); n != len(line)+1 || err != nil {
			tb.Errorf("Write of %q: %d, %v", line, n, err)
		}
	}
}

const (
	enospc = syscall.ENOSPC
	eagain = syscall.EAGAIN
	epipe  = syscall.EPIPE

	errInterrupted = syscall.EINTR
)

// stamp is the beginning of a line in a synctest bubble, where time always begins at the same moment.
const stamp = "[2000-01-01 00:00:00]: "

func lines(list ...string) string { return strings.Join(list, "\n") + "\n" }
