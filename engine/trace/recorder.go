package trace

import (
	crand "crypto/rand"
	"encoding/binary"
	"math/rand/v2"
	"sync"
)

// maxRequests bounds the requests of one recorder whose spans are not encoded yet.
const maxRequests = 2048

// Recorder makes spans for one event loop. Its methods may only be called on the loop's goroutine.
type Recorder struct {
	exporter *Exporter
	chacha   *rand.ChaCha8
	bound    uint64 // the lower half of a sampled trace's ID is below this
	lastTry  SpanID
	made     int // existing requests, at most maxRequests

	mu   sync.Mutex
	free []*Request
	done []*Request // for the exporter
}

// NewRecorder makes a recorder.
func (e *Exporter) NewRecorder() *Recorder {
	var seed [32]byte
	_, _ = crand.Read(seed[:]) // never fails
	r := &Recorder{exporter: e, chacha: rand.NewChaCha8(seed)}
	e.mu.Lock()
	e.recorders = append(e.recorders, r)
	e.mu.Unlock()
	return r
}

// Sample sets the share of traces that begin here, from 0 to 1, that are sampled.
func (r *Recorder) Sample(share float64) { r.bound = uint64(share * (1 << 63)) }

// samples decides by the trace's ID, like every implementation of OpenTelemetry's TraceIdRatioBased.
func (r *Recorder) samples(id ID) bool { return binary.BigEndian.Uint64(id[8:])>>1 < r.bound }

// Begin returns the Request for an exchange with the given parent; without a parent known is false. It returns nil if the trace is not
// sampled, or if there is no room, which is counted.
func (r *Recorder) Begin(parent Context, known bool, began int64) *Request {
	if !known {
		parent = Context{Trace: r.newTrace()}
		parent.Sampled = r.samples(parent.Trace)
	}
	if !parent.Sampled {
		return nil
	}
	q := r.take()
	if q == nil {
		r.exporter.lose(1)
		return nil
	}
	q.Context, q.Parent, q.Began = parent, parent.Span, began
	r.random(q.Span[:])
	return q
}

// Unsampled returns the context for an exchange whose trace begins here and is not sampled.
func (r *Recorder) Unsampled() (c Context) {
	c.Trace = r.newTrace()
	r.random(c.Span[:])
	return c
}

func (r *Recorder) newTrace() (id ID) {
	r.random(id[:8])
	r.random(id[8:])
	return id
}

// random fills p with 8 random bytes that are not all zero.
func (r *Recorder) random(p []byte) {
	n := r.chacha.Uint64()
	for n == 0 {
		n = r.chacha.Uint64()
	}
	binary.NativeEndian.PutUint64(p, n)
}

// take takes a request from the pool, or makes one.
func (r *Recorder) take() *Request {
	r.mu.Lock()
	defer r.mu.Unlock()
	if n := len(r.free); n > 0 {
		q := r.free[n-1]
		r.free = r.free[:n-1]
		return q
	}
	if r.made == maxRequests {
		return nil
	}
	r.made++
	return &Request{recorder: r, tries: make([]Try, 0, 2), texts: make([]byte, 0, 256)}
}

// end hands q to the exporter.
func (r *Recorder) end(q *Request) {
	r.mu.Lock()
	r.done = append(r.done, q)
	n := len(r.done)
	r.mu.Unlock()
	if n == maxRequests/2 {
		r.exporter.Hurry()
	}
	r.exporter.arm()
}

// ended appends up to most finished requests to list.
func (r *Recorder) ended(list []*Request, most int) []*Request {
	r.mu.Lock()
	defer r.mu.Unlock()
	n := min(len(r.done), most)
	list = append(list, r.done[:n]...)
	left := copy(r.done, r.done[n:])
	clear(r.done[left:])
	r.done = r.done[:left]
	return list
}

// giveBack returns a request to the pool.
func (r *Recorder) giveBack(q *Request) {
	q.reset()
	r.mu.Lock()
	r.free = append(r.free, q)
	r.mu.Unlock()
}
