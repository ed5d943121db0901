package http1

// secret has the fields that are omitted from the reply to TRACE, so that scripts cannot read them.
var secret = newNames("authorization", "cookie", "proxy-authorization")

// AppendTrace appends the request's head as the reply to TRACE (RFC 9110 section 9.3.8), without secret fields.
func (r *Request) AppendTrace(dst []byte) []byte {
	dst = append(dst, r.Method()...)
	dst = append(dst, ' ')
	dst = append(dst, r.Target()...)
	dst = append(dst, " HTTP/1."...)
	dst = append(dst, '0'+r.Minor, '\r', '\n')
	for i := range r.scan.fields {
		f := &r.scan.fields[i]
		if name := f.name.of(r.head); !secret.has(name) {
			dst = appendField(dst, name, f.value.of(r.head))
		}
	}
	return append(dst, "\r\n"...)
}
