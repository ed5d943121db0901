package httpcodec

import (
	"bytes"
	"slices"

	"kroxy-ev/httpcodec/http1"
	"kroxy-ev/logformat"
)

// headFields keeps some fields of a head that has been sent, for the log.
type headFields struct {
	names  []string // in lower case; borrowed
	ends   []int    // where each value ends in values
	values []byte
}

// keep copies the first values of the named fields from a head that this proxy has written.
func (h *headFields) keep(head []byte, names []string) {
	h.names, h.ends, h.values = names, h.ends[:0], h.values[:0]
	for _, low := range names {
		h.values = append(h.values, http1.FindField(head, low)...)
		h.ends = append(h.ends, len(h.values))
	}
}

// clear forgets the fields but keeps the memory.
func (h *headFields) clear() { h.names = nil }

// get returns the value of the named field; empty if it was not kept.
func (h *headFields) get(low string) []byte {
	i := slices.Index(h.names, low)
	switch i {
	case -1:
		return nil
	case 0:
		return h.values[:h.ends[0]]
	}
	return h.values[h.ends[i-1]:h.ends[i]]
}

// keptHeads are the heads of an exchange that is over.
type keptHeads struct {
	request  []byte
	response headFields
}

// RequestField implements logformat.Messages.
func (k *keptHeads) RequestField(low string) []byte { return http1.FindField(k.request, low) }

// ResponseField implements logformat.Messages.
func (k *keptHeads) ResponseField(low string) []byte { return k.response.get(low) }

// retain copies the memory that the record of x borrows.
func (x *exchange) retain(r *logformat.Record) {
	for _, b := range []*[]byte{&r.Method, &r.URI, &r.Host, &r.HostName, &r.RequestID, &r.GRPCStatus} {
		*b = bytes.Clone(*b)
	}
	from := x.logged
	r.Messages = &keptHeads{bytes.Clone(x.req.Head()), headFields{from.names, slices.Clone(from.ends), bytes.Clone(from.values)}}
}
