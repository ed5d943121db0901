package trace

import "net/netip"

// Request is what is exported of one exchange: a server span, and a client span for each try at a host. It belongs to the loop
// of its recorder from Begin to End. Times are in ns of Unix time.
type Request struct {
	// Context is that of the server span. Parent is the span of whom the request came from, if that is known.
	Context
	Parent SpanID
	// Stateful is set if the tracestate of the request is to be sent on.
	Stateful bool

	Began, Ended int64

	// These are the configuration's.
	Server, Route, Group string
	// These are such as access logs have them.
	Client           netip.AddrPort
	Secure           bool
	Protocol         string // "HTTP/1.1"
	Status           int    // 0 for none
	Reason           string // "complete", or why it failed
	Cut              bool   // the response, whose status is Status, was cut short, and not by the client
	Attempts         int    // connections that were tried
	SentUp, SentDown int64

	method, path, host, agent text
	texts                     []byte
	tries                     []Try
	left                      int  // tries that there was no room for
	open                      bool // the last try is under way
	recorder                  *Recorder
}

// Try is one try at a host.
type Try struct {
	ID           SpanID
	Began, Ended int64
	Host         string // as the configuration has it
	Addr         netip.AddrPort
	Connected    int64  // how long it took until a connection stood; 0 for one that was kept
	Answered     int64  // when the head of the response was there; 0 if it never was
	Status       int    // of the response
	Failure      string // the kind of its failure; "" if it has not failed
	Why          string // the failure in words, for people; "" if there is nothing more to say
}

// text is a part of a Request's texts.
type text struct{ from, to int }

const (
	// maxTries bounds the tries of a request that are exported.
	maxTries = 16
	// maxText bounds what is kept of what a client has sent, in bytes of each value.
	maxText = 512
)

// Texts keeps what a client has sent, as far as it is not too long.
func (r *Request) Texts(method, path, host, agent []byte) {
	r.texts = r.texts[:0]
	r.method, r.path, r.host, r.agent = r.keep(method), r.keep(path), r.keep(host), r.keep(agent)
}

func (r *Request) keep(s []byte) text {
	from := len(r.texts)
	r.texts = append(r.texts, s[:min(len(s), maxText)]...)
	return text{from, len(r.texts)}
}

// BeginTry begins a try, which ends with EndTry, and returns the context that its host is told.
func (r *Request) BeginTry(t Try) Context {
	r.EndTry(t.Began, "", "")
	r.add(t)
	r.open = true
	return Context{Trace: r.Trace, Span: r.recorder.lastTry, Sampled: true}
}

// AddTry adds a try that is over.
func (r *Request) AddTry(t Try) { r.add(t) }

func (r *Request) add(t Try) {
	r.recorder.random(t.ID[:])
	r.recorder.lastTry = t.ID
	t.Began = max(t.Began, r.Began) // the loop's clock is not as exact for both
	if n := len(r.tries); n > 0 {
		t.Began = max(t.Began, r.tries[n-1].Ended) // of the same attempt to reach a host
	}
	t.Ended = max(t.Began, t.Ended)
	if len(r.tries) == maxTries {
		r.left++
		return
	}
	r.tries = append(r.tries, t)
}

// Try is the try that is under way; nil if there is none.
func (r *Request) Try() *Try {
	if !r.open || r.left > 0 {
		return nil
	}
	return &r.tries[len(r.tries)-1]
}

// EndTry ends the try that is under way, if there is one. Failure and why are a Try's.
func (r *Request) EndTry(at int64, failure, why string) {
	if t := r.Try(); t != nil {
		t.Ended, t.Failure, t.Why = max(at, t.Began), failure, why
	}
	r.open = false
}

// End gives r to the exporter. It must not be touched any more.
func (r *Request) End(at int64) {
	r.EndTry(at, "", "")
	r.Ended = max(at, r.Began)
	r.recorder.end(r)
}

// spans is how many there are of r.
func (r *Request) spans() int { return 1 + len(r.tries) }

// reset makes r ready for another use.
func (r *Request) reset() {
	texts, tries := r.texts[:0], r.tries[:0]
	clear(r.tries)
	*r = Request{texts: texts, tries: tries, recorder: r.recorder}
}
