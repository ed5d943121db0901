package http1

import (
	"kroxy-ev/httpcodec/fieldname"
	"kroxy-ev/httpcodec/policy"
)

// noTrailer has fields that must not be trailers, or that nobody expects there (RFC 9110 section 6.5.1): fields for framing,
// routing and authentication, and those that say how to process the content. They would mislead a host that merges trailers
// into the head. Identity fields are excluded, too.
var noTrailer = newNames(
	"age", "authentication-info", "authorization", "cache-control", "connection", "cookie", "date", "expect", "expires",
	"from", "host", "http2-settings", "keep-alive", "location", "max-forwards", "origin", "pragma", "range", "realm", "referer",
	"retry-after", "set-cookie", "strict-transport-security", "te", "trailer", "transfer-encoding", "upgrade", "user-agent", "vary", "via",
	"warning", "www-authenticate",
)

// noTrailerPrefix has prefixes of such fields. Two fields with "content-" are allowed: they are meant for trailers.
var noTrailerPrefix = [...]string{"accept", "access-control-", "content-", "if-", "proxy-", "sec-"}

// names is a set of field names, indexed by length. Names match if they differ only in case and separators, as some readers
// treat them.
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

// allowedTrailer reports whether a field may be forwarded as a trailer.
func allowedTrailer(name []byte) bool {
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

// validTrailerList reports whether a Trailer field announces only allowed trailers.
func validTrailerList(list []byte) bool {
	for rest := list; rest != nil; {
		var m []byte
		m, rest = nextMember(rest)
		if len(m) > 0 && (!validToken(m) || !allowedTrailer(m)) {
			return false
		}
	}
	return true
}

// appendLastChunk appends the last chunk and the trailers. It omits trailers that are not allowed, and those named in set: a
// trailer must not repeat a field that the configuration sets or removes in the head. If from is nil there are no trailers.
func appendLastChunk(dst []byte, from *chunkReader, set *policy.Headers) []byte {
	dst = append(dst, "0\r\n"...)
	if from != nil {
		for i := range from.fields.fields {
			f := &from.fields.fields[i]
			if name := f.name.of(from.trail); allowedTrailer(name) && !set.Drops(name) {
				dst = appendField(dst, name, f.value.of(from.trail))
			}
		}
	}
	return append(dst, "\r\n"...)
}
