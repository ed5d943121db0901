package route

import (
	"bytes"
	"net/netip"
)

// Request is what routes look at. It is for one loop and serves one request after the other; its zero value is ready for Begin.
type Request struct {
	View

	Host   []byte     // what the client asked for, without port and without the brackets of an IPv6 address; empty if it named none
	Path   []byte     // in normal form; empty in streams
	Method []byte     // empty in streams
	TLS    bool       // the client came by TLS
	Client netip.Addr // whose request it is
	SNI    []byte     // the name in the client's hello; empty if there was none
	Port   uint16     // that the client connected to; 0 is a unix socket

	normalizer Normalizer
	name, sni  []byte  // the names in the form in which they are compared
	ids        []int32 // of all patterns that take one of the names, and anyName
}

// SetTarget sets Path and the query from a target in origin or asterisk form (RFC 9112 section 3.2), or what an absolute target
// has behind its authority. The error is one of Normalizer's. head is the rest of the request; see View.Begin.
func (r *Request) SetTarget(head Head, target []byte) (err error) {
	path, query, _ := bytes.Cut(target, question)
	r.Begin(head, query)
	r.Path, err = r.normalizer.Path(path)
	return err
}

var question = []byte("?")

// prepare finds out which patterns of t take the request's names.
func (r *Request) prepare(t *Table) {
	r.ids = append(r.ids[:0], anyName)
	r.name, r.sni = r.name[:0], r.sni[:0]
	if t.asksHost && len(r.Host) > 0 {
		r.name = hostName(r.name, r.Host)
		r.ids = t.hosts.appendIDs(r.ids, r.name)
	}
	if t.asksSNI && len(r.SNI) > 0 {
		r.sni = normalName(r.sni, r.SNI)
		r.ids = t.snis.appendIDs(r.ids, r.sni)
	}
}
