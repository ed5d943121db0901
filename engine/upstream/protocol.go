package upstream

// Protocol is the version of HTTP that the hosts of a group are spoken to in. It means nothing where streams are passed on.
type Protocol uint8

const (
	// HTTP1 is HTTP/1.1.
	HTTP1 Protocol = iota
	// HTTP2 is HTTP/2 and no other (RFC 9113): by TLS the host has to agree by ALPN, without TLS it is known beforehand that it
	// speaks it.
	HTTP2
	// Auto is HTTP/2 with hosts that agree by ALPN, else HTTP/1.1. The hosts have TLS.
	Auto
)
