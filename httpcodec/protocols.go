package httpcodec

// Protocols are the versions of HTTP that clients of an Entry may speak. Zero is HTTP1 alone.
type Protocols uint8

const (
	// HTTP1 is HTTP/1.1 and 1.0. Without it whoever speaks these is refused.
	HTTP1 Protocols = 1 << iota
	// HTTP2 is HTTP/2 where ALPN agrees on it, with clients by TLS.
	HTTP2
	// H2C is HTTP/2 without TLS, with clients that begin with its preface (RFC 9113 section 3.3).
	H2C
)
