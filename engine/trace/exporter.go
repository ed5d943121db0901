package trace

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/valyala/fasthttp"
)

// Settings say where spans are sent.
type Settings struct {
	URL     string // of the collector, including the path
	Service string // service.name
}

// Options configures an Exporter.
type Options struct {
	Settings
	// Report, if not nil, is called on the exporter's goroutine whenever spans cannot be sent.
	Report func(error)
	// Lost, if not nil, is called with the number of lost spans whenever Exporter.Lost grows. Any goroutine may call it.
	Lost func(spans int)
	// Every bounds how long a span waits while sending works; 0 means one second.
	Every time.Duration
	// Backoff is the first pause before a batch is sent again; 0 means one second.
	Backoff time.Duration
}

const (
	defaultEvery   = time.Second
	defaultBackoff = time.Second
	maxBackoff     = 30 * time.Second
	// maxSends bounds how often a batch is sent that the collector does not accept.
	maxSends = 5
	// maxBatch bounds the requests in a batch.
	maxBatch = 512
	// sendTimeout bounds one exchange with the collector.
	sendTimeout = 10 * time.Second
	// maxAnswer bounds the size of the collector's response.
	maxAnswer = 64 << 10
)

// Exporter sends the spans of its recorders. Its methods may be called from any goroutine.
type Exporter struct {
	report  func(error)
	onLost  func(spans int)
	every   time.Duration
	backoff time.Duration
	client  fasthttp.Client
	lost    atomic.Uint64
	sent    atomic.Uint64

	armed atomic.Bool
	timer *time.Timer
	wake  chan struct{} // one slot
	quit  chan struct{}
	done  chan struct{}

	mu        sync.Mutex
	settings  Settings
	recorders []*Recorder

	batch    []*Request // used only by the goroutine
	reported uint64     // how many of lost were reported
}

// NewExporter makes an exporter and starts its goroutine.
func NewExporter(o Options) *Exporter {
	e := &Exporter{
		settings: o.Settings, report: o.Report, onLost: o.Lost, every: o.Every, backoff: o.Backoff,
		wake: make(chan struct{}, 1), quit: make(chan struct{}), done: make(chan struct{}),
		client: fasthttp.Client{
			Name: "kroxy-ev", ReadTimeout: sendTimeout, WriteTimeout: sendTimeout, MaxResponseBodySize: maxAnswer, MaxConnsPerHost: 2,
			DisablePathNormalizing: true, RetryIfErr: func(*fasthttp.Request, int, error) (bool, bool) { return false, false },
		},
	}
	if e.every <= 0 {
		e.every = defaultEvery
	}
	if e.backoff <= 0 {
		e.backoff = defaultBackoff
	}
	e.timer = time.NewTimer(e.every)
	e.timer.Stop()
	go e.run()
	return e
}

// Follow replaces the settings.
func (e *Exporter) Follow(s Settings) {
	e.mu.Lock()
	e.settings = s
	e.mu.Unlock()
}

// Lost returns how many spans were lost since the start: for lack of room, or because the collector did not accept them.
func (e *Exporter) Lost() uint64 { return e.lost.Load() }

// Sent returns how many spans the collector has accepted.
func (e *Exporter) Sent() uint64 { return e.sent.Load() }

// Close sends the remaining spans and ends the goroutine. It waits for at most timeout; spans not sent by then are lost.
func (e *Exporter) Close(timeout time.Duration) {
	close(e.quit)
	wait := time.NewTimer(timeout)
	defer wait.Stop()
	select {
	case <-e.done:
	case <-wait.C:
	}
	e.client.CloseIdleConnections()
}

// arm schedules a flush after the interval, unless one is scheduled.
func (e *Exporter) arm() {
	if !e.armed.Load() && e.armed.CompareAndSwap(false, true) {
		e.timer.Reset(e.every)
	}
}

// Hurry triggers a flush at once.
func (e *Exporter) Hurry() {
	select {
	case e.wake <- struct{}{}:
	default:
	}
}

func (e *Exporter) lose(spans int) {
	e.lost.Add(uint64(spans))
	if e.onLost != nil {
		e.onLost(spans)
	}
	e.arm()
}

// run is the exporter's goroutine.
func (e *Exporter) run() {
	defer close(e.done)
	for {
		select {
		case <-e.timer.C:
		case <-e.wake:
		case <-e.quit:
			e.flush()
			return
		}
		e.flush()
	}
}

// flush sends all finished requests, batch by batch.
func (e *Exporter) flush() {
	e.armed.Store(false)
	for e.collect() {
		spans, settings := 0, e.present()
		for _, q := range e.batch {
			spans += q.spans()
		}
		body, err := encode(settings.Service, e.batch)
		for _, q := range e.batch {
			q.recorder.giveBack(q) // makes room while the batch is being sent
		}
		if err == nil {
			err = e.send(settings.URL, body)
		}
		if err != nil {
			e.lose(spans)
			e.reportLost(fmt.Errorf("trace: %d spans are lost: %w", spans, err))
		} else {
			e.sent.Add(uint64(spans))
		}
	}
	if n := e.lost.Load(); n > e.reported {
		e.reportLost(fmt.Errorf("trace: %d requests have no spans: %w", n-e.reported, errNoRoom))
	}
}

var errNoRoom = errors.New("too many requests wait for the collector")

// reportLost reports an error that covers all spans lost so far.
func (e *Exporter) reportLost(err error) {
	e.reported = e.lost.Load()
	if e.report != nil {
		e.report(err)
	}
}

// collect takes a batch of requests from the recorders, an equal share from each. It returns false if there are none.
func (e *Exporter) collect() bool {
	clear(e.batch)
	e.batch = e.batch[:0]
	e.mu.Lock()
	recorders := e.recorders
	e.mu.Unlock()
	for i, r := range recorders {
		left := len(recorders) - i
		e.batch = r.ended(e.batch, (maxBatch-len(e.batch)+left-1)/left)
	}
	return len(e.batch) > 0
}

func (e *Exporter) present() Settings {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.settings
}

// send sends a batch, and retries if the collector's response, or the lack of one, says that this may help (OTLP specification,
// "OTLP/HTTP response").
func (e *Exporter) send(url string, body []byte) error {
	delay := e.backoff
	for n := 1; ; n++ {
		later, again, err := e.post(url, body)
		if err == nil || !again || n == maxSends {
			return err
		}
		if e.report != nil && n == 1 {
			e.report(fmt.Errorf("trace: %w; retrying", err))
		}
		if later == 0 {
			later = delay/2 + rand.N(delay/2+1)
			delay = min(2*delay, maxBackoff)
		}
		if !e.pause(min(later, maxBackoff)) {
			return err
		}
	}
}

// pause waits, and returns false if the exporter is being closed.
func (e *Exporter) pause(d time.Duration) bool {
	wait := time.NewTimer(d)
	defer wait.Stop()
	select {
	case <-e.quit:
		return false
	default:
	}
	select {
	case <-wait.C:
		return true
	case <-e.quit:
		return false
	}
}

// post sends a batch once. If that fails, again says whether a retry may help, and later is the delay that the collector asked for, if any.
func (e *Exporter) post(url string, body []byte) (later time.Duration, again bool, err error) {
	req, res := fasthttp.AcquireRequest(), fasthttp.AcquireResponse()
	defer fasthttp.ReleaseRequest(req)
	defer fasthttp.ReleaseResponse(res)
	req.SetRequestURI(url)
	req.Header.SetMethod(fasthttp.MethodPost)
	req.Header.SetContentType("application/x-protobuf")
	req.SetBodyRaw(body)
	if err := e.client.DoTimeout(req, res, sendTimeout); err != nil {
		return 0, true, fmt.Errorf("while sending to %s: %w", url, err)
	}
	status := res.StatusCode()
	if status/100 == 2 {
		return 0, false, nil
	}
	if seconds, bad := strconv.Atoi(string(res.Header.Peek("Retry-After"))); bad == nil && seconds > 0 {
		later = time.Duration(min(seconds, int(maxBackoff/time.Second))) * time.Second
	}
	again = status == 429 || status == 502 || status == 503 || status == 504
	return later, again, fmt.Errorf("the collector %s has answered %d %s", url, status, fasthttp.StatusMessage(status))
}
