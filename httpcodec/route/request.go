package route

import (
	"bytes"
	"net/netip"
)

// Request is what routes look at. It belongs to one loop and is reused for one request after another. Its zero value is ready
// for Begin.
type Request struct {
	View

	Host   []byte     // the requested host without port, an IPv6 address without brackets; empty if there is none
	Path   []byte     // in normal form; empty in streams
	Method []byte     // empty in streams
	TLS    bool       // the client uses TLS
	Client netip.Addr // the client's address
	SNI    []byte     // the name in the client's TLS hello; empty if there is none
	Port   uint16     // to which the client connected; 0 for a unix socket

	normalizer Normalizer
	name, sni  []byte  // Host and SNI in the form in which they are compared
	ids        []int32 // of all patterns that match one of the names, and anyName
}

// SetTarget sets Path and the query from a target in origin or asterisk form (RFC 9112 section 3.2), or from the part of an
// absolute target after its authority. Its errors are those of Normalizer. Head is the request's head; see View.Begin.
func (r *Request) SetTarget(head Head, target []byte) (err error) {
	path, query, _ := bytes.Cut(target, question)
	r.Begin(head, query)
	r.Path, err = r.normalizer.Path(path)
	return err
}

var question = []byte("?")

// prepare determines which patterns of t match the request's names.
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
