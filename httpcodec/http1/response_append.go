package http1

import (
	"slices"

	"kroxy-ev/httpcodec/policy"
	"kroxy-ev/logformat"
)

// ResponseRewrite says how a response is changed on its way to a client.
type ResponseRewrite struct {
	Minor uint8  // of the client's HTTP/1.x
	Close bool   // the client's connection closes after this response
	Date  []byte // for responses that have none; nil for none (RFC 9110 section 6.6.1)

	Cookie  []byte            // the value of a Set-Cookie to add to a final response; nil for none
	Headers *policy.Headers   // the configured edits of final responses
	Record  *logformat.Record // for the variables in Headers; may be nil if these are Fixed
}

// ClientFraming returns how the body is delimited on the connection of a client that speaks HTTP/1.minor. After UntilClose that
// connection closes in any case.
func (r *Response) ClientFraming(minor uint8) Framing {
	switch {
	case r.Framing == NoBody || r.Framing == Length:
		return r.Framing
	case minor > 0:
		return Chunked
	}
	return UntilClose
}

// AppendResponse appends r's head as it is sent to a client: HTTP/1.1 whatever the client's version (RFC 9110 section 6.2),
// with the host's reason phrase, without hop-by-hop fields, and with new framing fields. End-to-end fields keep their order,
// case and repetition.
func AppendResponse(dst []byte, r *Response, w *ResponseRewrite) []byte {
	head, s := r.head, &r.scan
	dst = slices.Grow(dst, headRoom(len(head)+len(w.Date)+len(w.Cookie)))
	dst = append(dst, "HTTP/1.1 "...)
	dst = append(dst, byte('0'+r.Status/100), byte('0'+r.Status/10%10), byte('0'+r.Status%10), ' ')
	dst = append(dst, s.start.reason.of(head)...)
	dst = append(dst, "\r\n"...)

	edits := w.Headers
	if r.Interim {
		edits = nil
	}
	framing, dated := r.ClientFraming(w.Minor), edits.Decide(policy.Date)
	for i := range s.fields {
		f := &s.fields[i]
		switch {
		case f.drop || f.id > fieldOwn:
			continue
		case f.id == fieldTrailer && (framing != Chunked || r.Framing != Chunked || !validTrailerList(f.value.of(head))):
			continue
		case edits != nil && edits.Drops(f.name.of(head)):
			continue
		case f.id == fieldDate:
			dated = true
		}
		dst = appendField(dst, f.name.of(head), f.value.of(head))
	}
	dst = edits.Append(dst, w.Record)
	if w.Cookie != nil && !r.Interim {
		dst = append(dst, "Set-Cookie: "...)
		dst = append(dst, w.Cookie...)
		dst = append(dst, "\r\n"...)
	}
	if !dated && w.Date != nil && r.Status >= 200 {
		dst = append(dst, "Date: "...)
		dst = append(dst, w.Date...)
		dst = append(dst, "\r\n"...)
	}
	switch {
	case r.Upgrade:
		return append(s.appendUpgrade(dst, head), "\r\n"...)
	case r.Status < 200:
		return append(dst, "\r\n"...)
	case r.offer:
		dst = s.appendUpgrade(dst, head)
	}
	if r.Framing == NoBody && r.Status != 204 && r.declared == Length {
		dst = AppendFraming(dst, Length, r.declaredLen) // what a GET would have returned
	} else {
		dst = AppendFraming(dst, framing, r.Length)
	}
	return append(AppendConnection(dst, w.Minor, w.Close || framing == UntilClose), "\r\n"...)
}

// AppendConnection appends Connection unless the default for the client's version is meant.
func AppendConnection(dst []byte, minor uint8, closes bool) []byte {
	switch {
	case closes:
		return append(dst, "Connection: close\r\n"...)
	case minor == 0:
		return append(dst, "Connection: keep-alive\r\n"...)
	}
	return dst
}
