package trace

import "net/netip"

// Request holds what is exported of one exchange: a server span, and a client span for each try at a host. From Begin to End it
// belongs to its recorder's loop. Times are in ns of Unix time.
type Request struct {
	// Context is the context of the server span. Parent is the parent span, if the request named one.
	Context
	Parent SpanID
	// Stateful says that the tracestate of the request is forwarded.
	Stateful bool

	Began, Ended int64

	// These come from the configuration.
	Server, Route, Group string
	// These are as in access logs.
	Client           netip.AddrPort
	Secure           bool
	Protocol         string // "HTTP/1.1"
	Status           int    // 0 for none
	Reason           string // "complete", or why it failed
	Cut              bool   // the response with this status was cut short, but not by the client
	Attempts         int    // connections tried
	SentUp, SentDown int64

	method, path, host, agent text
	texts                     []byte
	tries                     []Try
	left                      int  // number of tries that were not recorded, see maxTries
	open                      bool // the last try is in progress
	recorder                  *Recorder
}

// Try is one try at a host.
type Try struct {
	ID           SpanID
	Began, Ended int64
	Host         string // as configured
	Addr         netip.AddrPort
	Connected    int64  // time until the connection was established; 0 for a reused one
	Answered     int64  // when the head of the response had arrived; 0 if it never did
	Status       int    // of the response
	Failure      string // the kind of failure; "" if it has not failed
	Why          string // the failure in words; "" if there is nothing to add
}

// text is a range of a Request's texts.
type text struct{ from, to int }

const (
	// maxTries bounds the exported tries of a request.
	maxTries = 16
	// maxText bounds each value that a client has sent, in bytes.
	maxText = 512
)

// Texts stores values that the client has sent, truncated to maxText.
func (r *Request) Texts(method, path, host, agent []byte) {
	r.texts = r.texts[:0]
	r.method, r.path, r.host, r.agent = r.keep(method), r.keep(path), r.keep(host), r.keep(agent)
}

func (r *Request) keep(s []byte) text {
	from := len(r.texts)
	r.texts = append(r.texts, s[:min(len(s), maxText)]...)
	return text{from, len(r.texts)}
}

// BeginTry begins a try, which EndTry must end, and returns the context to send to the host.
func (r *Request) BeginTry(t Try) Context {
	r.EndTry(t.Began, "", "")
	r.add(t)
	r.open = true
	return Context{Trace: r.Trace, Span: r.recorder.lastTry, Sampled: true}
}

// AddTry adds a finished try.
func (r *Request) AddTry(t Try) { r.add(t) }

func (r *Request) add(t Try) {
	r.recorder.random(t.ID[:])
	r.recorder.lastTry = t.ID
	t.Began = max(t.Began, r.Began) // the two times may come from clocks of different precision
	if n := len(r.tries); n > 0 {
		t.Began = max(t.Began, r.tries[n-1].Ended) // both may belong to the same attempt to reach a host
	}
	t.Ended = max(t.Began, t.Ended)
	if len(r.tries) == maxTries {
		r.left++
		return
	}
	r.tries = append(r.tries, t)
}

// Try returns the try in progress; nil if there is none.
func (r *Request) Try() *Try {
	if !r.open || r.left > 0 {
		return nil
	}
	return &r.tries[len(r.tries)-1]
}

// EndTry ends the try in progress, if there is one. Failure and why are as in Try.
func (r *Request) EndTry(at int64, failure, why string) {
	if t := r.Try(); t != nil {
		t.Ended, t.Failure, t.Why = max(at, t.Began), failure, why
	}
	r.open = false
}

// End hands r to the exporter. The caller must not use r afterwards.
func (r *Request) End(at int64) {
	r.EndTry(at, "", "")
	r.Ended = max(at, r.Began)
	r.recorder.end(r)
}

// spans returns the number of spans of r.
func (r *Request) spans() int { return 1 + len(r.tries) }

// reset clears r for reuse.
func (r *Request) reset() {
	texts, tries := r.texts[:0], r.tries[:0]
	clear(r.tries)
	*r = Request{texts: texts, tries: tries, recorder: r.recorder}
}
