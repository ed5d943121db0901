package trace_test

import (
	"encoding/hex"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	otlp "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"

	"kroxy-ev/engine/enginetest"
	"kroxy-ev/engine/trace"
)

const testTimeout = 30 * time.Second

// collector is the server that spans are sent to.
type collector struct {
	*httptest.Server
	answer func(n int, w http.ResponseWriter) // to the nth request; nil means 200

	mu    sync.Mutex
	asked int
	data  []*otlp.TracesData
	more  chan struct{}
}

func startCollector(t *testing.T, answer func(n int, w http.ResponseWriter)) *collector {
	c := &collector{answer: answer, more: make(chan struct{}, 1000)}
	c.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		var d otlp.TracesData
		if err == nil {
			err = proto.Unmarshal(body, &d)
		}
		if err != nil || r.URL.Path != "/v1/traces" || r.Method != http.MethodPost || r.Header.Get("Content-Type") != "application/x-protobuf" {
			t.Errorf("%s %s %v: %v", r.Method, r.URL, r.Header, err)
		}
		c.mu.Lock()
		c.asked++
		n := c.asked
		c.data = append(c.data, &d)
		c.mu.Unlock()
		if c.answer != nil {
			c.answer(n, w)
		}
		c.more <- struct{}{}
	}))
	t.Cleanup(c.Close)
	return c
}

// await waits for the next request.
func (c *collector) await(t *testing.T) {
	t.Helper()
	select {
	case <-c.more:
	case <-time.After(testTimeout):
		t.Fatal("the collector got nothing")
	}
}

func (c *collector) spans() (list []*otlp.Span) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, d := range c.data {
		for _, r := range d.GetResourceSpans() {
			for _, s := range r.GetScopeSpans() {
				list = append(list, s.GetSpans()...)
			}
		}
	}
	return list
}

func export(t *testing.T, url string, more func(*trace.Options)) (*trace.Exporter, *trace.Recorder) {
	t.Helper()
	o := trace.Options{Settings: trace.Settings{URL: url + "/v1/traces", Service: "edge"}, Every: time.Millisecond, Backoff: time.Millisecond}
	if more != nil {
		more(&o)
	}
	e := trace.NewExporter(o)
	r := e.NewRecorder()
	r.Sample(1)
	return e, r
}

func attribute(s *otlp.Span, key string) any {
	for _, a := range s.GetAttributes() {
		if a.GetKey() == key {
			if text := a.GetValue().GetStringValue(); text != "" {
				return text
			}
			return a.GetValue().GetIntValue()
		}
	}
	return nil
}

// A request becomes a server span and a client span for each try, with attributes that describe them.
func TestSpans(t *testing.T) {
	t.Parallel()
	c := startCollector(t, nil)
	e, r := export(t, c.URL, nil)
	from, ok := trace.Parse([]byte(parent))
	if !ok {
		t.Fatal("no parent")
	}
	q := r.Begin(from, true, 1000)
	q.AddTry(trace.Try{Began: 900, Ended: 1500, Host: "a:1", Addr: netip.MustParseAddrPort("192.0.2.1:1"), Failure: "unreachable", Why: "refused"})
	told := q.BeginTry(trace.Try{Began: 1400, Host: "b:2", Connected: 7000})
	q.Try().Status, q.Try().Answered = 200, 5001400
	q.EndTry(2000, "", "")
	q.Texts([]byte("GET"), []byte("/\xff"), []byte("www.example"), nil)
	q.Server, q.Route, q.Group, q.Status, q.Reason, q.Attempts = "http", "all", "web", 200, "complete", 2
	q.End(3000)
	c.await(t)
	e.Close(testTimeout)
	all := c.spans()
	if len(all) != 3 || e.Sent() != 3 || e.Lost() != 0 {
		t.Fatalf("%d spans, %d sent, %d lost", len(all), e.Sent(), e.Lost())
	}
	server, failed, served := all[0], all[1], all[2]
	if got := hex.EncodeToString(server.ParentSpanId); got != parent[36:52] || server.Kind != otlp.Span_SPAN_KIND_SERVER || server.Name != "GET all" || server.StartTimeUnixNano != 1000 || server.EndTimeUnixNano != 3000 {
		t.Error(server)
	}
	for i, s := range all {
		if hex.EncodeToString(s.TraceId) != parent[3:35] || len(s.SpanId) != 8 || i > 0 && (string(s.ParentSpanId) != string(server.SpanId) || s.Kind != otlp.Span_SPAN_KIND_CLIENT) {
			t.Errorf("%d: %v", i, s)
		}
	}
	if failed.StartTimeUnixNano != 1000 || failed.EndTimeUnixNano != 1500 || failed.GetStatus().GetCode() != otlp.Status_STATUS_CODE_ERROR || failed.Status.Message != "refused" {
		t.Error(failed)
	}
	if served.StartTimeUnixNano != 1500 || served.EndTimeUnixNano != 2000 || served.Status != nil || string(served.SpanId) != string(told.Span[:]) || !told.Sampled {
		t.Error(served, told)
	}
	for _, want := range []struct {
		s     *otlp.Span
		key   string
		value any
	}{
		{server, "url.path", "/\ufffd"}, {server, "user_agent.original", nil}, {server, "http.response.status_code", int64(200)}, {server, "kroxy.host", "b:2"}, {server, "kroxy.tries", int64(2)},
		{failed, "network.peer.address", "192.0.2.1"}, {failed, "server.port", int64(1)}, {failed, "error.type", "unreachable"},
		{served, "server.address", "b"}, {served, "http.request.resend_count", int64(1)}, {served, "kroxy.connect_time_us", int64(7)}, {served, "kroxy.header_time_us", int64(4999)},
	} {
		if got := attribute(want.s, want.key); got != want.value {
			t.Errorf("%s is %v, want %v", want.key, got, want.value)
		}
	}
	if a := c.data[0].ResourceSpans[0].Resource.Attributes[0]; a.Key != "service.name" || a.Value.GetStringValue() != "edge" {
		t.Error(a)
	}
}

// A request has failed if its status is 5xx, or if it has no response or only a part of one; error.type prefers the end reason over the status.
func TestFailedRequests(t *testing.T) {
	t.Parallel()
	c := startCollector(t, nil)
	e, r := export(t, c.URL, nil)
	cases := []struct {
		status int
		reason string
		cut    bool
		want   any // error.type
	}{
		{200, "complete", false, nil}, {404, "complete", false, nil}, {200, "client_abort", false, nil},
		{502, "unreachable", false, "502"}, {0, "client_abort", false, "client_abort"}, {200, "host_cut", true, "host_cut"},
	}
	for _, q := range cases {
		s := r.Begin(trace.Context{}, false, 1)
		s.Status, s.Reason, s.Cut = q.status, q.reason, q.cut
		s.End(2)
	}
	e.Close(testTimeout)
	all := c.spans()
	if len(all) != len(cases) {
		t.Fatalf("%d spans", len(all))
	}
	for i, q := range cases {
		failed := all[i].GetStatus().GetCode() == otlp.Status_STATUS_CODE_ERROR
		if got := attribute(all[i], "error.type"); got != q.want || failed != (q.want != nil) {
			t.Errorf("%d %s: error.type %v, failed %v", q.status, q.reason, got, failed)
		}
	}
}

// The parent's decision applies; a new trace is decided by its ID.
func TestSampling(t *testing.T) {
	t.Parallel()
	e, r := export(t, "http://127.0.0.1:1", nil)
	defer e.Close(0)
	from, _ := trace.Parse([]byte(parent))
	off := from
	off.Sampled = false
	for share, want := range map[float64][2]int{0: {0, 0}, 1: {1000, 1000}, 0.1: {40, 170}} {
		r.Sample(share)
		n := 0
		for range 1000 {
			if q := r.Begin(trace.Context{}, false, 0); q != nil {
				n++
				if q.Trace == (trace.ID{}) || q.Span == (trace.SpanID{}) || q.Span == q.Parent {
					t.Error(q.Context)
				}
				q.End(0)
			}
		}
		if n < want[0] || n > want[1] {
			t.Errorf("%v: %d of 1000", share, n)
		}
		if q := r.Begin(from, true, 0); q == nil {
			t.Errorf("%v: a sampled parent is not heard", share)
		} else {
			q.End(0)
		}
		if r.Begin(off, true, 0) != nil {
			t.Errorf("%v: a parent that is not sampled is not heard", share)
		}
	}
	if c := r.Unsampled(); c.Sampled || c.Trace == (trace.ID{}) || c.Span == (trace.SpanID{}) {
		t.Error(c)
	}
}

// A batch that the collector may accept later is sent again; one that it will never accept is lost, counted and reported.
func TestCollectorThatRefuses(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		answer       func(n int, w http.ResponseWriter)
		asked, taken int
	}{
		"busy":   {func(n int, w http.ResponseWriter) { w.WriteHeader([]int{429, 502, 503, 200}[n-1]) }, 4, 1},
		"500":    {func(_ int, w http.ResponseWriter) { w.WriteHeader(500) }, 1, 0},
		"always": {func(_ int, w http.ResponseWriter) { w.WriteHeader(503) }, 5, 0},
		"400":    {func(_ int, w http.ResponseWriter) { w.WriteHeader(400) }, 1, 0},
		"hangs up": {func(n int, _ http.ResponseWriter) {
			if n == 1 {
				panic(http.ErrAbortHandler)
			}
		}, 2, 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := startCollector(t, test.answer)
			said := make(chan error, 10)
			var lost int
			e, r := export(t, c.URL, func(o *trace.Options) {
				o.Report = func(err error) { said <- err }
				o.Lost = func(n int) { lost += n }
			})
			r.Begin(trace.Context{}, false, 1).End(2)
			for deadline := time.Now().Add(testTimeout); e.Sent()+e.Lost() == 0 && time.Now().Before(deadline); {
				time.Sleep(time.Millisecond)
			}
			e.Close(testTimeout)
			c.mu.Lock()
			defer c.mu.Unlock()
			if c.asked != test.asked || int(e.Sent()) != test.taken || int(e.Lost()) != 1-test.taken || lost != 1-test.taken || len(said) == 0 {
				t.Errorf("asked %d times, %d sent, %d lost, told %d, said %d", c.asked, e.Sent(), e.Lost(), lost, len(said))
			}
		})
	}
}

// Recording never waits for a collector that hangs or is down; the waiting requests are bounded, and others are counted.
func TestCollectorThatHangs(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0") // it never accepts
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	e, r := export(t, "http://"+l.Addr().String(), nil)
	begun := 0
	for e.Lost() < 100 {
		if q := r.Begin(trace.Context{}, false, 1); q != nil {
			q.End(2)
			if begun++; begun > 10000 {
				t.Fatal("there is no end to what waits")
			}
		}
	}
	began := time.Now()
	e.Close(10 * time.Millisecond)
	if took := time.Since(began); took > testTimeout/2 {
		t.Errorf("closing took %v", took)
	}
}

func TestCollectorThatIsNotThere(t *testing.T) {
	t.Parallel()
	said := make(chan error, 10)
	e, r := export(t, "http://"+enginetest.Refusing(t, enginetest.Loopback).String(), func(o *trace.Options) { o.Report = func(err error) { said <- err } })
	r.Begin(trace.Context{}, false, 1).End(2)
	for e.Lost() == 0 {
		select {
		case err := <-said:
			if !strings.HasPrefix(err.Error(), "trace: ") || !strings.Contains(err.Error(), "refused") {
				t.Error(err)
			}
		case <-time.After(testTimeout):
			t.Fatal("nothing is said")
		}
	}
	// The collector comes up, and gets what is recorded from then on.
	back := startCollector(t, nil)
	e.Follow(trace.Settings{URL: back.URL + "/v1/traces"})
	r.Begin(trace.Context{}, false, 1).End(2)
	back.await(t)
	e.Close(testTimeout)
}

// Recording allocates nothing if the pool has requests.
func TestRecordingDoesNotAllocate(t *testing.T) { // not parallel: it counts allocations
	e, r := export(t, "http://127.0.0.1:1", func(o *trace.Options) { o.Every = time.Hour })
	defer e.Close(0)
	var list []*trace.Request
	for range 1000 { // fill the pool
		list = append(list, r.Begin(trace.Context{}, false, 1))
	}
	method, path := []byte("GET"), []byte("/index.html")
	for _, q := range list {
		q.Texts(method, path, nil, nil)
		q.End(2)
	}
	trace.Flush(e)
	if n := testing.AllocsPerRun(200, func() {
		q := r.Begin(trace.Context{}, false, 1)
		q.BeginTry(trace.Try{Began: 1, Host: "a:1"})
		q.EndTry(2, "", "")
		q.Texts(method, path, nil, nil)
		q.End(3)
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkRequest(b *testing.B) {
	e := trace.NewExporter(trace.Options{Settings: trace.Settings{URL: "http://127.0.0.1:1"}, Every: time.Hour})
	defer e.Close(0)
	method, path := []byte("GET"), []byte("/index.html")
	for name, share := range map[string]float64{"sampling 1": 1, "sampling 0.01": 0.01} {
		b.Run(name, func(b *testing.B) {
			r := e.NewRecorder()
			r.Sample(share)
			b.ReportAllocs()
			for b.Loop() {
				if q := r.Begin(trace.Context{}, false, 1); q != nil {
					q.BeginTry(trace.Try{Began: 1, Host: "a:1"})
					q.EndTry(2, "", "")
					q.Texts(method, path, nil, nil)
					trace.Drop(q)
				} else {
					r.Unsampled()
				}
			}
		})
	}
}

// Sent requests make room for others.
func TestRoomIsGivenBack(t *testing.T) {
	t.Parallel()
	c := startCollector(t, nil)
	e, r := export(t, c.URL, nil)
	defer e.Close(testTimeout)
	const wave = 1500 // more than half of the room
	for n := uint64(1); n <= 3; n++ {
		for range wave {
			if q := r.Begin(trace.Context{}, false, 1); q != nil {
				q.End(2)
			}
		}
		for deadline := time.Now().Add(testTimeout); e.Sent()+e.Lost() < n*wave && time.Now().Before(deadline); {
			time.Sleep(time.Millisecond)
		}
		if e.Sent() != n*wave || e.Lost() != 0 {
			t.Fatalf("%d sent of %d, %d lost", e.Sent(), n*wave, e.Lost())
		}
	}
}
