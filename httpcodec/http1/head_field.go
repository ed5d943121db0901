package http1

// fieldID identifies the fields that this package treats specially. All others are 0.
type fieldID uint8

const (
	fieldOther fieldID = iota
	fieldAccept
	fieldDate

	// Forwarded after a check, or with another value.
	fieldHost
	fieldExpect
	fieldMaxForwards
	fieldTrailer
	fieldTraceparent
	fieldTracestate

	// From here on: never allowed as a trailer. These identify the client.
	fieldForwardedFor
	fieldForwardedHost
	fieldForwardedProto
	fieldRequestID
	fieldIdentity      // any other identity field
	fieldIdentityAlias // an identity field in a spelling that only some readers recognize

	// From here on: specific to one connection or one message's framing, never copied.
	fieldOwn
	fieldContentLength
	fieldTransferEncoding
	fieldConnection
	fieldKeepAlive
	fieldProxyConnection
	fieldTE
	fieldUpgrade
	fieldHTTP2Settings // RFC 7540 section 3.2.1: accompanies "Upgrade: h2c"
	fieldFramingAlias  // Content_Length and the like
)

// identify returns the ID of a field name, ignoring case.
func identify(name []byte) fieldID {
	if id := identifyExactly(name); id != fieldOther || !mayBeAlias(name) {
		return id
	}
	id := identifyAlike(name)
	if fieldForwardedFor <= id && id <= fieldIdentity && !isCanonical(name) {
		return fieldIdentityAlias
	}
	return id
}

// identifyExactly recognizes names that have no alternative spellings.
func identifyExactly(name []byte) fieldID {
	is := func(low string, id fieldID) fieldID {
		if equalFold(name, low) {
			return id
		}
		return fieldOther
	}
	switch c := lower[name[0]]; len(name) {
	case 2:
		return is("te", fieldTE)
	case 4:
		if c == 'h' {
			return is("host", fieldHost)
		}
		return is("date", fieldDate)
	case 6:
		if c == 'a' {
			return is("accept", fieldAccept)
		}
		return is("expect", fieldExpect)
	case 7:
		if c == 'u' {
			return is("upgrade", fieldUpgrade)
		}
		return is("trailer", fieldTrailer)
	case 10:
		if c == 'c' {
			return is("connection", fieldConnection)
		}
		if c == 't' {
			return is("tracestate", fieldTracestate)
		}
		return is("keep-alive", fieldKeepAlive)
	case 11:
		return is("traceparent", fieldTraceparent)
	case 12:
		return is("max-forwards", fieldMaxForwards)
	case 14:
		if c == 'c' {
			return is("content-length", fieldContentLength)
		}
		return is("http2-settings", fieldHTTP2Settings)
	case 16:
		return is("proxy-connection", fieldProxyConnection)
	case 17:
		return is("transfer-encoding", fieldTransferEncoding)
	}
	return fieldOther
}

// connectionKeeps reports whether a field is kept although Connection names it: a client must not remove fields that frame or
// address a message, nor what proxies say about the client.
func connectionKeeps(id fieldID) bool {
	switch id {
	case fieldHost, fieldContentLength, fieldTransferEncoding:
		return true
	}
	return id >= fieldForwardedFor && id < fieldOwn
}

// appendField appends one field line.
func appendField(dst, name, value []byte) []byte {
	dst = append(dst, name...)
	dst = append(dst, ": "...)
	dst = append(dst, value...)
	return append(dst, "\r\n"...)
}

// headRoom estimates the size to which a head of n bytes may grow, unless configured fields are long.
func headRoom(n int) int { return n + 256 }
