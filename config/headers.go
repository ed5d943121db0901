package config

import (
	"slices"
	"strings"
)

// framing are the fields that describe one connection or one message's length
// (RFC 9110 section 7.6.1, RFC 9112 section 6), which a proxy decides itself.
var framing = []string{
	"connection", "content-length", "keep-alive", "proxy-connection", "te",
	"trailer", "transfer-encoding", "upgrade",
}

// headers decodes "headers". Values are for requests as they are; $host and
// $addr in them are the business of whoever sends them.
func (o object) headers() []Header {
	n, path := o.child("headers")
	if n == nil {
		return nil
	}
	if _, ok := o.object(n, path, nil, `an object: { "Host": "$host" }`); !ok {
		return nil
	}
	var headers []Header
	first := map[string]string{}
	for i := range n.members {
		m := &n.members[i]
		if m.repeated {
			continue
		}
		at := keyPath(path, m.key)
		lower := strings.ToLower(m.key)
		switch before, twice := first[lower]; {
		case m.key == "" || strings.IndexFunc(m.key, notToken) >= 0:
			o.failAt(m.pos, at, quote(m.key)+" is not a header field name", `write letters, digits and '-' without a colon or a space, such as "X-Real-IP"`)
		case slices.Contains(framing, lower):
			o.warn(m.pos, at, quote(m.key)+" describes one connection or the length of a message, which the proxy decides itself", "remove it")
		case twice:
			o.warn(m.pos, at, "the same header field as "+quote(before)+", which it replaces: letter case does not count", "remove one of the two")
		}
		first[lower] = m.key

		value := o.str(&m.value, at)
		if c := strings.IndexFunc(value, func(r rune) bool { return r < ' ' && r != '\t' || r == 0x7f }); c >= 0 {
			o.fail(&m.value, at, "a control character in a header value", "remove "+quote(value[c:c+1])+" from it")
		}
		headers = append(headers, Header{m.key, value})
	}
	return headers
}

// notToken reports whether r may not be in a token (RFC 9110 section 5.6.2).
func notToken(r rune) bool {
	return !isWord(r) && !strings.ContainsRune("!#$%&'*+-.^`|~", r)
}
