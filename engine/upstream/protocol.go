package upstream

// Protocol is the version of HTTP spoken to the hosts of a group. It has no meaning for stream groups.
type Protocol uint8

const (
	// HTTP1 is HTTP/1.1.
	HTTP1 Protocol = iota
	// HTTP2 is HTTP/2 only (RFC 9113). With TLS, the host must agree by ALPN; without TLS, the host is known to speak it (prior
	// knowledge).
	HTTP2
	// Auto is HTTP/2 with hosts that agree by ALPN, otherwise HTTP/1.1. The hosts must have TLS.
	Auto
)
