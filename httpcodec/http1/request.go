package http1

import "bytes"

var (
	errNoHost       = newFault(400, "no host")
	errHostTwice    = newFault(400, "more than one host")
	errHost         = newFault(400, "malformed host")
	errExpect       = newFault(417, "unknown expectation")
	errMaxForwards  = newFault(400, "malformed max-forwards")
	errTraceContent = newFault(400, "trace with content")
)

// maxForwards is the largest Max-Forwards that is forwarded (RFC 9110 section 7.6.2).
const maxForwards = 1 << 30

// Request is the head of a request, and what was decided about it. The zero value is ready for Parse, and may be reused after Reset.
//
// It refers to the bytes given to Parse, which must not change until Reset or Rebase. The accessors return parts of these bytes.
type Request struct {
	Framing Framing // NoBody, Length or Chunked
	Length  int64   // of the body, if Framing is Length

	Minor          uint8 // of the client's HTTP/1.x: 0 or 1
	KeepAlive      bool  // the client will send another request
	ExpectContinue bool  // the client waits for a 100 before it sends the body
	Upgrade        bool  // the client asks for another protocol that may be relayed, after the body if there is one
	Trailers       bool  // the client sent "TE: trailers"
	Idempotent     bool  // by its method (RFC 9110 section 9.2.2)
	IsHead         bool  // the method is HEAD: the response has no body
	IsTrace        bool
	MaxForwards    int // of TRACE and OPTIONS; at 0 the proxy itself replies (see AppendOptions and AppendTrace); -1 if absent

	head      []byte
	scan      headScanner
	host      authority // empty if the client named none, which only HTTP/1.0 allows
	hostField bool      // the head has a Host field
}

// Reset prepares r for another head and keeps its memory.
func (r *Request) Reset() {
	scan := r.scan
	scan.reset(requestHead, FromClient)
	*r = Request{scan: scan, MaxForwards: -1}
}

// Parse parses b, which must have everything received of the head so far and may have more. It returns the length of the head,
// including up to four empty lines before it, or 0 if more bytes are needed; the caller then calls it again with more bytes
// appended. After an error, Method and Target return what could be parsed.
func (r *Request) Parse(b []byte) (int, *HeadError) {
	r.head = b
	n, err := r.scan.scan(b)
	if n == 0 || err != nil {
		return 0, err
	}
	r.head = b[:n:n]
	if f := r.decide(); f != nil {
		return 0, f.by(FromClient)
	}
	return n, nil
}

// Rebase tells r that the bytes of its head, which Parse has completed, have moved to head.
func (r *Request) Rebase(head []byte) { r.head = head[:len(r.head):len(r.head)] }

// Method returns the request's method, which is case-sensitive.
func (r *Request) Method() []byte { return r.scan.start.method.of(r.head) }

// Head returns the whole head, including empty lines before it. It is valid once Parse has returned a length.
func (r *Request) Head() []byte { return r.head }

// Target returns the request's target as the client sent it, for logs.
func (r *Request) Target() []byte { return r.scan.start.target.of(r.head) }

// Host returns the host that the request is for, with the port if the client gave one. It is empty if an HTTP/1.0 client sent none.
func (r *Request) Host() []byte { return r.host.text.of(r.head) }

// HostName returns Host without the port, and without the brackets of an IPv6 address.
func (r *Request) HostName() []byte { return r.host.name.of(r.head) }

// HostInURL returns Host without the port.
func (r *Request) HostInURL() []byte {
	name := r.host.name
	if name.from > r.host.text.from { // behind a bracket
		name.from--
		name.to++
	}
	return name.of(r.head)
}

// Field returns the first value of a field, or nil. Low is the field's name in lower case.
func (r *Request) Field(low string) []byte {
	return r.scan.field(r.head, low)
}

// Traceparent returns the value of traceparent (W3C Trace Context); nil if there is none, or more than one.
func (r *Request) Traceparent() (value []byte) {
	for i := range r.scan.fields {
		if f := &r.scan.fields[i]; f.id == fieldTraceparent {
			if value != nil {
				return nil
			}
			value = f.value.of(r.head)
		}
	}
	return value
}

// Tracestates yields the values of the tracestate fields.
func (r *Request) Tracestates(yield func([]byte) bool) {
	for i := range r.scan.fields {
		if f := &r.scan.fields[i]; f.id == fieldTracestate && !yield(f.value.of(r.head)) {
			return
		}
	}
}

// decide interprets a well-formed head.
func (r *Request) decide() *fault {
	head, l := r.head, &r.scan.start
	r.Minor = l.minor
	r.MaxForwards = -1
	r.methodFacts()

	var ff framingFields
	var host, forwards span
	var hosts, connections, unknown, upgrades, maxForwardses int
	var expect *field
	for i := range r.scan.fields {
		f := &r.scan.fields[i]
		switch f.id {
		case fieldHost:
			hosts, host = hosts+1, f.value
		case fieldContentLength:
			ff.lengths, ff.length = ff.lengths+1, f.value
		case fieldTransferEncoding:
			ff.codings, ff.coding = ff.codings+1, f.value
		case fieldConnection:
			connections++
		case fieldExpect:
			for rest := f.value.of(head); rest != nil; {
				var m []byte
				switch m, rest = nextMember(rest); {
				case equalFold(m, "100-continue"):
					expect = f
				case len(m) > 0:
					unknown++
				}
			}
		case fieldUpgrade:
			upgrades++
		case fieldMaxForwards:
			maxForwardses, forwards = maxForwardses+1, f.value
		case fieldTE:
			r.Trailers = r.Trailers || r.Minor > 0 && listed(f.value.of(head), "trailers")
		}
	}

	var f *fault
	if r.Framing, r.Length, f = ff.decide(&r.scan, head, r.Minor); f != nil {
		return f
	}
	if f = r.decideHost(hosts, host); f != nil {
		return f
	}
	if unknown > 0 {
		return errExpect
	}
	var c connection
	if connections > 0 {
		if c, f = r.scan.connection(head); f != nil {
			return f
		}
	}
	r.KeepAlive = c.keeps(r.Minor)

	// HTTP/1.0 clients know neither of these (RFC 9110 sections 7.8 and 10.1.1).
	body := r.Framing == Chunked || r.Length > 0
	r.ExpectContinue = expect != nil && !expect.drop && body && r.Minor > 0
	if upgrades > 0 && c.upgrade && r.Minor > 0 {
		r.decideUpgrade()
	}
	if r.IsTrace && body {
		return errTraceContent
	}
	if maxForwardses > 0 && (r.IsTrace || string(r.Method()) == "OPTIONS") {
		n, ok := parseNumber(forwards.of(head))
		if !ok || maxForwardses > 1 {
			return errMaxForwards
		}
		r.MaxForwards = int(min(n, maxForwards))
	}
	return nil
}

func (r *Request) methodFacts() {
	method := r.Method()
	r.Idempotent, r.IsHead, r.IsTrace = idempotent(method), string(method) == "HEAD", string(method) == "TRACE"
}

// decideHost determines the host that the request is for (RFC 9112 sections 3.2 and 3.3).
func (r *Request) decideHost(hosts int, host span) *fault {
	l := &r.scan.start
	r.hostField = hosts > 0
	switch {
	case hosts > 1:
		return errHostTwice
	case hosts == 0 && r.Minor > 0:
		return errNoHost
	case hosts == 1:
		var ok bool
		if r.host, ok = parseAuthority(r.head, host); !ok {
			return errHost
		}
	}
	if l.absolute { // overrides Host (RFC 9112 section 3.2.2)
		r.host = l.authority
	}
	return nil
}

// decideUpgrade determines whether the client asks for a protocol that may be relayed.
func (r *Request) decideUpgrade() {
	none := r.scan.protocols(r.head, func(p []byte) bool { return !relayable(p) })
	r.Upgrade = !none
}

// WantsHead reports whether the method is HEAD, even if the rest of the head could not be parsed.
func (r *Request) WantsHead() bool {
	b := bytes.TrimLeft(r.head, "\r\n")
	n := tokenEnd(b, 0)
	return n < len(b) && string(b[:n]) == "HEAD"
}

// listed reports whether a comma-separated list has the given member, ignoring case.
func listed(list []byte, low string) bool {
	for rest := list; rest != nil; {
		var m []byte
		if m, rest = nextMember(rest); equalFold(m, low) {
			return true
		}
	}
	return false
}
