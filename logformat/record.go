package logformat

import (
	"net/netip"
	"time"
)

// TimeISO8601 is the layout of Record.Time, which is in UTC. nginx uses the same layout.
const TimeISO8601 = "2006-01-02T15:04:05-07:00"

// Record describes a session (stream mode) or an exchange (http mode); in a log, one that is over. The byte slices are borrowed
// for the duration of the call to which the Record is passed. Empty values are written as missing.
type Record struct {
	// Client is the peer's address and port. Its zone is not written.
	Client netip.AddrPort
	// TLS describes the client's TLS session; nil if there is none.
	TLS *TLS
	// Protocol is "TCP" or the HTTP version of the request, such as "HTTP/1.1".
	Protocol string
	// BytesUpstream and BytesDownstream are the bytes sent to the host and to the client.
	BytesUpstream, BytesDownstream int64
	// Duration is the time from accepting the connection (or from the request's first byte) to the end.
	Duration time.Duration
	End      End

	// Server and Route are the names of the server and the route in the configuration.
	Server, Route string
	Group         string
	Upstream      Upstream

	// RequestID identifies the session or exchange. It may be empty unless the format Needs it.
	RequestID []byte
	// Time is when the line is written, as RFC 3339 has it. The writer of the line sets it for formats that Need it.
	Time []byte

	// The remaining fields are unused in stream mode. URI is the request target as received. If the request line is malformed,
	// Method and URI are the parts into which it could be split.
	Method, URI []byte
	// Host is the host that the client asked for, without a port; an IPv6 address is in brackets.
	Host []byte
	// HostName is the configured name of the chosen host, without a port.
	HostName []byte
	// Messages gives access to header fields; nil has none.
	Messages Messages
	// Status is the status sent to the client, or 499 if it left before it had received everything; 0 if no status was sent.
	Status int
	// GRPCStatus is the grpc-status sent to the client, as text. It may be empty unless the format has $grpc_status.
	GRPCStatus []byte
}

// Messages finds header fields in the messages of an exchange.
type Messages interface {
	// RequestField and ResponseField return the first value of a field, or nil. Low is its name in lower case. The response is the
	// one for the client, as far as it is known.
	RequestField(low string) []byte
	ResponseField(low string) []byte
}

func (r *Record) requestField(low string) []byte {
	if r.Messages == nil {
		return nil
	}
	return r.Messages.RequestField(low)
}

func (r *Record) responseField(low string) []byte {
	if r.Messages == nil {
		return nil
	}
	return r.Messages.ResponseField(low)
}

// TLS describes a client's TLS session.
type TLS struct {
	// Version and Cipher are the names of the negotiated version and cipher suite.
	Version, Cipher string
	// ServerName is the name in the client's hello, as received. It must not be changed.
	ServerName []byte
	// ClientSubject is the distinguished name in the client's certificate, in the form of RFC 2253; empty if none was requested.
	// It must not be changed.
	ClientSubject []byte
}

// Upstream describes the attempts to reach a host.
type Upstream struct {
	// Host is the last host tried, by its configured name with port; Addr is its address.
	Host string
	Addr netip.AddrPort
	// Tries is how many connections were tried. A reused idle connection counts as a try.
	Tries int
	// ConnectTime is how long it took to establish a connection, including failed attempts at other hosts; 0 for a reused
	// connection. It is missing unless Connected.
	ConnectTime time.Duration
	Connected   bool
	// Status is the status of the final response; 0 if there was none. HeaderTime is the time from choosing a host to that
	// response's head; it is missing if Status is 0. Both are unused in stream mode.
	Status     int
	HeaderTime time.Duration
}
