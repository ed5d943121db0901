package http1

import (
	"kroxy-ev/httpcodec/fieldname"
	"kroxy-ev/httpcodec/policy"
)

// noTrailer are fields that may not be trailers, or that nobody expects there (RFC 9110 section 6.5.1): they frame, route,
// authenticate, or say how the content is to be read. A host that merges trailers into the head would be misled. Identity fields
// are such, too.
var noTrailer = newNames(
	"age", "authentication-info", "authorization", "cache-control", "connection", "cookie", "date", "expect", "expires",
	"from", "host", "http2-settings", "keep-alive", "location", "max-forwards", "origin", "pragma", "range", "realm", "referer",
	"retry-after", "set-cookie", "strict-transport-security", "te", "trailer", "transfer-encoding", "upgrade", "user-agent", "vary", "via",
	"warning", "www-authenticate",
)

// noTrailerPrefix are families of such fields. Two of "content-" are made for trailers.
var noTrailerPrefix = [...]string{"accept", "access-control-", "content-", "if-", "proxy-", "sec-"}

// names is a set of field names, by length. Readers may take for one of them what differs in case and separators.
type names [32][]string

func newNames(list ...string) (n names) {
	for _, low := range list {
		n[len(low)] = append(n[len(low)], low)
	}
	return n
}

func (n *names) has(name []byte) bool {
	if len(name) >= len(n) {
		return false
	}
	for _, low := range n[len(name)] {
		if fieldname.EqualAlike(name, low) {
			return true
		}
	}
	return false
}

// mayTrail reports whether a field is relayed as a trailer.
func mayTrail(name []byte) bool {
	if identify(name) >= fieldForwardedFor || noTrailer.has(name) {
		return false
	}
	for _, p := range noTrailerPrefix {
		if fieldname.HasPrefixAlike(name, p) {
			return equalFold(name, "content-digest") || equalFold(name, "content-md5")
		}
	}
	return true
}

// validTrailerList reports whether a Trailer field announces only what may come.
func validTrailerList(list []byte) bool {
	for rest := list; rest != nil; {
		var m []byte
		m, rest = nextMember(rest)
		if len(m) > 0 && (!validToken(m) || !mayTrail(m)) {
			return false
		}
	}
	return true
}

// appendLastChunk writes the last chunk, and behind it those of from's trailers that may be one and are none of set: a
// peer must not say in a trailer what the configuration sets or removes in the head. A nil from has no trailers.
func appendLastChunk(dst []byte, from *chunkReader, set *policy.Headers) []byte {
	dst = append(dst, "0\r\n"...)
	if from != nil {
		for i := range from.fields.fields {
			f := &from.fields.fields[i]
			if name := f.name.of(from.trail); mayTrail(name) && !set.Drops(name) {
				dst = appendField(dst, name, f.value.of(from.trail))
			}
		}
	}
	return append(dst, "\r\n"...)
}
