package route

import (
	"bytes"

	"github.com/valyala/fasthttp"
)

// Head is a request's head as routes and policies see it.
type Head interface {
	// NextField returns the value of the first field with the given name at or after position from, and the position after it,
	// which is above 0. If there is no such field, next is 0. Low is the name in lower case. The first position is 0.
	NextField(low string, from int) (value []byte, next int)
}

// View gives routes and policies access to a request's query and cookies. Each is parsed at its first use, at most once per
// request. fasthttp parses them, and it is lenient: the results are only for matching and are never forwarded as they are.
// Decoded values may contain any byte, including CR, LF and NUL.
//
// A View belongs to one loop. Its zero value is ready for Begin.
type View struct {
	head  Head
	query []byte

	args   fasthttp.Args
	parsed bool // args has the parsed query

	cookies   fasthttp.RequestHeader
	collected bool // cookies has the cookies of head
	many      bool // there are too many cookies or arguments to keep their memory
}

// keptItems is the number of arguments or cookies up to which their memory is kept for the next request.
const keptItems = 1024

// Begin switches v to another request. Query is the request's query as the client sent it, without the question mark. Head and
// query must not change while v is used.
func (v *View) Begin(head Head, query []byte) {
	v.head, v.query = head, query
	if v.many {
		v.args, v.cookies, v.many = fasthttp.Args{}, fasthttp.RequestHeader{}, false
	} else if v.collected {
		v.cookies.Reset()
	}
	v.parsed, v.collected = false, false
}

// nextField is Head.NextField. A stream has no head and thus no fields.
func (v *View) nextField(low string, from int) (value []byte, next int) {
	if v.head == nil {
		return nil, 0
	}
	return v.head.NextField(low, from)
}

// Query returns the request's query as the client sent it, without the question mark.
func (v *View) Query() []byte { return v.query }

// Args returns the parsed query: names and values are decoded, and a plus sign is a space. It is valid until the next Begin.
func (v *View) Args() *fasthttp.Args {
	if !v.parsed {
		v.args.ParseBytes(v.query)
		v.parsed = true
		v.many = v.many || v.args.Len() > keptItems
	}
	return &v.args
}

// Cookies returns a head that has only the request's cookies. It is valid until the next Begin. Cookies whose value contains a
// quotation mark or a backslash, which RFC 6265 section 4.1.1 forbids, are omitted.
func (v *View) Cookies() *fasthttp.RequestHeader {
	if v.collected {
		return &v.cookies
	}
	v.collected = true
	count := 0
	for at := 0; ; {
		value, next := v.nextField("cookie", at)
		if next == 0 {
			break
		}
		v.cookies.SetBytesKV(cookieField, value)
		count += 1 + bytes.Count(value, semicolon)
		at = next
	}
	v.many = v.many || count > keptItems
	return &v.cookies
}

var (
	cookieField = []byte(fasthttp.HeaderCookie)
	semicolon   = []byte(";")
)
