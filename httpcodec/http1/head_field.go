package http1

// fieldID names the fields that this package decides about. All others are 0.
type fieldID uint8

const (
	fieldOther fieldID = iota
	fieldAccept
	fieldDate

	// Sent on, after a look or with another value.
	fieldHost
	fieldExpect
	fieldMaxForwards
	fieldTrailer
	fieldTraceparent
	fieldTracestate

	// From here on: never a trailer. These say who the client is.
	fieldForwardedFor
	fieldForwardedHost
	fieldForwardedProto
	fieldRequestID
	fieldIdentity      // all others
	fieldIdentityAlias // any of them, in a spelling that only some readers take for the name

	// From here on: of one connection or one message's framing, never copied.
	fieldOwn
	fieldContentLength
	fieldTransferEncoding
	fieldConnection
	fieldKeepAlive
	fieldProxyConnection
	fieldTE
	fieldUpgrade
	fieldHTTP2Settings // RFC 7540 section 3.2.1: goes with "Upgrade: h2c"
	fieldFramingAlias  // Content_Length and the like
)

// identify finds a field name's ID; letter case does not count.
func identify(name []byte) fieldID {
	if id := identifyExactly(name); id != fieldOther || !mayBeAlias(name) {
		return id
	}
	id := identifyAlike(name)
	if fieldForwardedFor <= id && id <= fieldIdentity && !spelled(name) {
		return fieldIdentityAlias
	}
	return id
}

// identifyExactly knows the fields of which hosts know no other spelling.
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

// connectionKeeps reports whether a field stays although Connection names it: what frames or addresses a message, and what
// proxies say about the client, is not for the client to take away.
func connectionKeeps(id fieldID) bool {
	switch id {
	case fieldHost, fieldContentLength, fieldTransferEncoding:
		return true
	}
	return id >= fieldForwardedFor && id < fieldOwn
}

// appendField writes one field line.
func appendField(dst, name, value []byte) []byte {
	dst = append(dst, name...)
	dst = append(dst, ": "...)
	dst = append(dst, value...)
	return append(dst, "\r\n"...)
}

// headRoom is what a head of n bytes may grow to on its way, unless configured fields are long.
func headRoom(n int) int { return n + 256 }
