package httpcodec

// Protocols is a set of HTTP versions that clients of an Entry may speak. Zero means HTTP1 alone.
type Protocols uint8

const (
	// HTTP1 is HTTP/1.1 and 1.0. Without it, clients that speak these are refused.
	HTTP1 Protocols = 1 << iota
	// HTTP2 is HTTP/2 over TLS, if ALPN agrees on it.
	HTTP2
	// H2C is HTTP/2 without TLS, for clients that begin with its preface (RFC 9113 section 3.3).
	H2C
)
