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

// Settings say where spans go.
type Settings struct {
	URL     string // of a collector, with the path
	Service string // service.name
}

// Options are an exporter's.
type Options struct {
	Settings
	// Report, if not nil, is told when spans cannot be sent, each time. It is called on the exporter's goroutine.
	Report func(error)
	// Lost, if not nil, is told how many spans are lost, as Exporter.Lost counts them. It may be called by any goroutine.
	Lost func(spans int)
	// Every is how long a span waits at most while all goes well; 0 is a second.
	Every time.Duration
	// Backoff is how long the exporter waits before it sends a batch again, the first time; 0 is a second.
	Backoff time.Duration
}

const (
	defaultEvery   = time.Second
	defaultBackoff = time.Second
	maxBackoff     = 30 * time.Second
	// maxSends is how often a batch is sent that the collector does not take.
	maxSends = 5
	// maxBatch is how many requests are sent at once.
	maxBatch = 512
	// sendTimeout bounds one exchange with the collector.
	sendTimeout = 10 * time.Second
	// maxAnswer bounds what is read of its answer.
	maxAnswer = 64 << 10
)

// Exporter sends what recorders hold. Its methods may be called by any goroutine.
type Exporter struct {
	report  func(error)
	told    func(spans int)
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

	batch    []*Request // of the goroutine
	reported uint64     // of lost, what was told
}

// NewExporter makes an exporter, with its goroutine.
func NewExporter(o Options) *Exporter {
	e := &Exporter{
		settings: o.Settings, report: o.Report, told: o.Lost, every: o.Every, backoff: o.Backoff,
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

// Follow has spans go where s says from now on.
func (e *Exporter) Follow(s Settings) {
	e.mu.Lock()
	e.settings = s
	e.mu.Unlock()
}

// Lost is how many spans were lost since the start: for want of room, or because the collector did not take them. Sent is how many it took.
func (e *Exporter) Lost() uint64 { return e.lost.Load() }

// Sent is how many spans the collector has taken.
func (e *Exporter) Sent() uint64 { return e.sent.Load() }

// Close sends what there is and ends the goroutine. It waits for so long at most; what was not sent then is lost.
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

// arm has spans sent an interval from now, unless some wait already.
func (e *Exporter) arm() {
	if !e.armed.Load() && e.armed.CompareAndSwap(false, true) {
		e.timer.Reset(e.every)
	}
}

// Hurry has what there is sent at once.
func (e *Exporter) Hurry() {
	select {
	case e.wake <- struct{}{}:
	default:
	}
}

func (e *Exporter) lose(spans int) {
	e.lost.Add(uint64(spans))
	if e.told != nil {
		e.told(spans)
	}
	e.arm()
}

// run is the goroutine.
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

// flush sends all that is there, batch by batch.
func (e *Exporter) flush() {
	e.armed.Store(false)
	for e.collect() {
		spans, settings := 0, e.present()
		for _, q := range e.batch {
			spans += q.spans()
		}
		body, err := encode(settings.Service, e.batch)
		for _, q := range e.batch {
			q.recorder.giveBack(q) // there is room for others while this is sent
		}
		if err == nil {
			err = e.send(settings.URL, body)
		}
		if err != nil {
			e.lose(spans)
			e.say(fmt.Errorf("trace: %d spans are lost: %w", spans, err))
		} else {
			e.sent.Add(uint64(spans))
		}
	}
	if n := e.lost.Load(); n > e.reported {
		e.say(fmt.Errorf("trace: %d requests have no spans: %w", n-e.reported, errNoRoom))
	}
}

var errNoRoom = errors.New("there are as many as may wait for the collector")

// say reports an error that tells of all spans that are lost until now.
func (e *Exporter) say(err error) {
	e.reported = e.lost.Load()
	if e.report != nil {
		e.report(err)
	}
}

// collect takes a batch of requests from the recorders, a like share of each. It reports false if there are none.
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

// send sends a batch, and again for a while if the collector says, by its answer or by none, that this may help (OTLP specification,
// "OTLP/HTTP response").
func (e *Exporter) send(url string, body []byte) error {
	delay := e.backoff
	for n := 1; ; n++ {
		later, again, err := e.post(url, body)
		if err == nil || !again || n == maxSends {
			return err
		}
		if e.report != nil && n == 1 {
			e.report(fmt.Errorf("trace: %w; it is tried again", err))
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

// pause waits, and reports false if the exporter is being closed.
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

// post sends a batch once. If that fails, again says whether it may be sent again, and later after how long, if the collector says so.
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
