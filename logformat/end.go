package logformat

// End is the reason why a session or an exchange ended: $end_reason.
type End uint8

// The reasons. The zero value is Complete.
const (
	Complete End = iota
	ClientAbort
	HostCut
	BadResponse
	Unreachable
	NoHost
	QueueFull
	QueueTimeout
	UnknownName
	NoRoute
	Refused
	TLSFailed
	ConnectTimeout
	HandshakeTimeout
	ReadTimeout
	SendTimeout
	ProxyReadTimeout
	ProxySendTimeout
	ClientHeaderTimeout
	ClientBodyTimeout
	Shutdown
	Internal
	Ends = iota // the number of reasons
)

// ends has each reason's word in a log and its meaning. A timeout is named like its configuration key.
var ends = [...]struct{ word, doc string }{
	Complete:            {"complete", "both sides received everything; in http, the response was sent completely"},
	ClientAbort:         {"client_abort", "the client's connection ended or failed before it had everything"},
	HostCut:             {"host_cut", "the host's connection ended or failed before it had sent everything"},
	BadResponse:         {"bad_response", "the host's response is malformed, or breaks the protocol"},
	Unreachable:         {"unreachable", "no host accepted a connection"},
	NoHost:              {"no_host", "there was no host to try"},
	QueueFull:           {"queue_full", "every host had `max_conns` connections, and the `queue` was full, or there is none"},
	QueueTimeout:        {"queue_timeout", "no host had room in time (`queue.timeout`)"},
	UnknownName:         {"unknown_name", "no host has the name that the client asked for"},
	NoRoute:             {"no_route", "no route matches"},
	Refused:             {"refused", "the request is malformed, or exceeds a limit; in stream, no valid PROXY header came"},
	TLSFailed:           {"tls_failed", "the TLS handshake with the client failed"},
	ConnectTimeout:      {"connect_timeout", "no host accepted a connection in time (also `resolve_timeout`)"},
	HandshakeTimeout:    {"tls_handshake_timeout", "the client did not complete its TLS handshake, or send its PROXY header, in time"},
	ReadTimeout:         {"read_timeout", "the client was silent for too long"},
	SendTimeout:         {"send_timeout", "the client accepted no bytes for too long"},
	ProxyReadTimeout:    {"proxy_read_timeout", "the host was silent for too long"},
	ProxySendTimeout:    {"proxy_send_timeout", "the host accepted no bytes for too long"},
	ClientHeaderTimeout: {"client_header_timeout", "the head of the request did not arrive in time"},
	ClientBodyTimeout:   {"client_body_timeout", "the body of the request did not arrive in time"},
	Shutdown:            {"shutdown", "kroxy-ev stopped and ended it (`shutdown_timeout`)"},
	Internal:            {"internal", "a system call failed; the error log has details"},
}

// String returns the word for e in a log.
func (e End) String() string { return ends[e].word }
