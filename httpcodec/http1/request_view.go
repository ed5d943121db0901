package http1

// NextField implements route.Head. It also finds fields that are not forwarded.
func (r *Request) NextField(low string, from int) (value []byte, next int) {
	for i := from; i < len(r.scan.fields); i++ {
		if f := &r.scan.fields[i]; equalFold(f.name.of(r.head), low) {
			return f.value.of(r.head), i + 1
		}
	}
	return nil, 0
}

// PathAndQuery returns the target without scheme and authority. It begins with a slash or a question mark, or is "*", or is
// empty, which means the root.
func (r *Request) PathAndQuery() []byte {
	if l := &r.scan.start; l.path.len() > 0 || string(r.Method()) != "OPTIONS" {
		return l.path.of(r.head)
	}
	return asterisk // RFC 9112 section 3.2.4
}

var asterisk = []byte("*")
