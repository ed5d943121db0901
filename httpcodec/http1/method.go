package http1

// idempotent reports whether a request with the given method may be sent twice (RFC 9110 section 9.2.2). It knows the methods
// that the IANA HTTP Method Registry marks as idempotent, and treats all others as not idempotent. PRI, which opens HTTP/2, is
// not a request.
func idempotent(method []byte) bool {
	switch string(method) {
	case "GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE", // RFC 9110
		"QUERY",                                                    // RFC 10008
		"PROPFIND", "PROPPATCH", "MKCOL", "COPY", "MOVE", "UNLOCK", // RFC 4918; LOCK is not
		"ACL", "REPORT", "SEARCH", "ORDERPATCH", "BIND", "REBIND", "UNBIND", "MKCALENDAR", // RFC 3744, 3253, 5323, 3648, 5842, 4791
		"MKREDIRECTREF", "UPDATEREDIRECTREF", "LINK", "UNLINK", // RFC 4437, 2068
		"BASELINE-CONTROL", "CHECKIN", "CHECKOUT", "UNCHECKOUT", "LABEL", "MERGE", "MKACTIVITY", // RFC 3253
		"MKWORKSPACE", "UPDATE", "VERSION-CONTROL":
		return true
	}
	return false
}
