package http1

import "time"

var (
	errUnrequested = newFault(502, "a 101 that the client did not ask for")
	errSwitch      = newFault(502, "a 101 without connection: upgrade")
	errSwitchTo    = newFault(502, "a 101 to a protocol that the client did not ask for")
	errInterimBody = newFault(502, "content-length in a 1xx")
)

// Response is the head of a host's response, and what was decided about it. The zero value is ready for Parse, and may be
// reused after Reset.
//
// It refers to the bytes given to Parse, which must not change until Reset or Rebase.
type Response struct {
	Status int // 100 to 999; above 599 it counts as 5xx (RFC 9110 section 15)

	// Framing is how the body is delimited on the host's connection. It is NoBody for responses that never have a body whatever
	// their fields say: 1xx, 204, 304 and responses to HEAD (RFC 9112 section 6.3).
	Framing Framing
	Length  int64 // of the body, if Framing is Length

	Minor     uint8         // of the host's HTTP/1.x: 0 or 1
	KeepAlive bool          // the host accepts another request after the body
	IdleTime  time.Duration // how long the host keeps the idle connection, from Keep-Alive; 0 if it does not say
	Interim   bool          // 1xx except 101: another response follows
	Upgrade   bool          // a 101 that the client asked for: the other protocol follows

	head        []byte
	scan        headScanner
	offer       bool    // a 426 that offers a protocol
	declared    Framing // the framing according to the fields; NoBody if there are none
	declaredLen int64
}

// Reset prepares r for another head and keeps its memory.
func (r *Response) Reset() {
	scan := r.scan
	scan.reset(responseHead, FromHost)
	*r = Response{scan: scan}
}

// Parse parses b, which must have everything received of the head so far and may have more. It returns the length of the head,
// or 0 if more bytes are needed; the caller then calls it again with more bytes appended. Req is the request to which this
// responds. An error's status is 502.
func (r *Response) Parse(b []byte, req *Request) (int, *HeadError) {
	if r.scan.kind != responseHead {
		r.scan.reset(responseHead, FromHost)
	}
	n, err := r.scan.scan(b)
	if n == 0 || err != nil {
		return 0, err
	}
	r.head = b[:n:n]
	if f := r.decide(req); f != nil {
		return 0, f.by(FromHost)
	}
	return n, nil
}

// Rebase tells r that the bytes of its head, which Parse has completed, have moved to head.
func (r *Response) Rebase(head []byte) { r.head = head[:len(r.head):len(r.head)] }

// Field returns the first value of a field, or nil. Low is the field's name in lower case.
func (r *Response) Field(low string) []byte { return r.scan.field(r.head, low) }

// Reason returns the host's reason phrase.
func (r *Response) Reason() []byte { return r.scan.start.reason.of(r.head) }

func (r *Response) decide(req *Request) *fault {
	head, l := r.head, &r.scan.start
	r.Status, r.Minor = l.status, l.minor

	var ff framingFields
	connections, keepAlives := 0, 0
	for i := range r.scan.fields {
		f := &r.scan.fields[i]
		switch f.id {
		case fieldContentLength:
			ff.lengths, ff.length = ff.lengths+1, f.value
		case fieldTransferEncoding:
			ff.codings, ff.coding = ff.codings+1, f.value
		case fieldConnection:
			connections++
		case fieldKeepAlive:
			keepAlives++
		}
	}
	var f *fault
	if r.declared, r.declaredLen, f = ff.decide(&r.scan, head, r.Minor); f != nil {
		return f
	}
	var c connection
	if connections > 0 {
		if c, f = r.scan.connection(head); f != nil {
			return f
		}
	}
	r.KeepAlive = c.keeps(r.Minor)
	if keepAlives > 0 {
		if d, ok := r.scan.keepAliveTimeout(head); ok {
			r.IdleTime, r.KeepAlive = d, r.KeepAlive && d > 0
		}
	}
	r.offer = r.Status == 426 && c.upgrade

	// A 1xx or 204 ends with its head whatever its fields say, and should not have framing fields (RFC 9112 sections 6.1 and 6.3).
	// If bytes follow a 204 anyway, they are not taken for the next response, since the connection is not kept. After a 1xx, a
	// chunk cannot be taken for a response, but content announced by a length could be.
	if r.Status < 200 && r.declaredLen > 0 {
		return errInterimBody
	}
	switch {
	case r.Status == 101:
		return r.decideSwitch(req, c)
	case r.Status < 200:
		r.Interim = true
	case r.Status == 204:
		r.KeepAlive = r.KeepAlive && r.declaredLen == 0 && r.declared != Chunked
	case r.Status == 304 || req.IsHead:
	case r.declared == NoBody:
		r.Framing, r.KeepAlive = UntilClose, false
	default:
		r.Framing, r.Length = r.declared, r.declaredLen
	}
	return nil
}

// decideSwitch accepts a 101 only if client and host mean the same protocol (RFC 9110 sections 7.8 and 15.2.2).
func (r *Response) decideSwitch(req *Request, c connection) *fault {
	switch {
	case !req.Upgrade || r.Minor == 0:
		return errUnrequested
	case !c.upgrade:
		return errSwitch
	}
	some := false
	all := r.scan.protocols(r.head, func(p []byte) bool {
		some = true
		return relayable(p) && !req.scan.protocols(req.head, func(asked []byte) bool { return !sameFold(asked, p) })
	})
	if !all || !some {
		return errSwitchTo
	}
	r.Upgrade, r.KeepAlive = true, false
	return nil
}
