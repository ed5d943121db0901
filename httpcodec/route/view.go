package route

import (
	"bytes"

	"github.com/valyala/fasthttp"
)

// Head is the head of a request, as far as routes and policies ask for it.
type Head interface {
	// NextField returns the value of a field, and where to look for the next one of that name: a number above 0, or 0 if there is
	// no such field from place from on. low is the field's name in small letters. The first place is 0.
	NextField(low string, from int) (value []byte, next int)
}

// View is what routes and policies see of a request's query and cookies. Each is parsed when it is asked for the first time, and
// at most once for a request. It is fasthttp that parses them, and fasthttp is lenient: the results are for looking at, and are
// never sent on as they are. Decoded values may hold any byte, CR, LF and NUL too.
//
// It is for one loop. Its zero value is ready for Begin.
type View struct {
	head  Head
	query []byte

	args   fasthttp.Args
	parsed bool // args is of query

	cookies   fasthttp.RequestHeader
	collected bool // cookies are of head
	many      bool // more cookies or arguments than are worth their memory
}

// keptItems bounds the arguments and cookies whose memory is kept for the next request.
const keptItems = 1024

// Begin turns v to another request. query is its query without the question mark, as the client sent it; both must stay as
// they are as long as v is asked.
func (v *View) Begin(head Head, query []byte) {
	v.head, v.query = head, query
	if v.many {
		v.args, v.cookies, v.many = fasthttp.Args{}, fasthttp.RequestHeader{}, false
	} else if v.collected {
		v.cookies.Reset()
	}
	v.parsed, v.collected = false, false
}

// nextField is Head.NextField. A stream has no head, and no fields.
func (v *View) nextField(low string, from int) (value []byte, next int) {
	if v.head == nil {
		return nil, 0
	}
	return v.head.NextField(low, from)
}

// Query is the query of the request as the client sent it, without the question mark.
func (v *View) Query() []byte { return v.query }

// Args is the query, parsed: names and values are decoded, and a plus sign is a space. It is valid until the next Begin.
func (v *View) Args() *fasthttp.Args {
	if !v.parsed {
		v.args.ParseBytes(v.query)
		v.parsed = true
		v.many = v.many || v.args.Len() > keptItems
	}
	return &v.args
}

// Cookies is a head that has nothing but the request's cookies. It is valid until the next Begin. A cookie whose value has a
// quotation mark or a backslash in it, which RFC 6265 section 4.1.1 forbids, is not among them.
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
