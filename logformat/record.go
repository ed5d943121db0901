package logformat

import (
	"net/netip"
	"time"
)

// TimeISO8601 is the layout of Record.Time, which is in UTC. It is nginx's.
const TimeISO8601 = "2006-01-02T15:04:05-07:00"

// Record is what is known of a session (stream mode) or an exchange (http mode): for a log, of one that is over. The byte slices are borrowed for
// the length of the call that they are passed to. What is empty is written as missing.
type Record struct {
	// Client is the peer's address and port. A zone is not written.
	Client netip.AddrPort
	// TLS is what the client's TLS came to; nil if there was none.
	TLS *TLS
	// Protocol is "TCP", or the version of the request, such as "HTTP/1.1".
	Protocol string
	// BytesUpstream and BytesDownstream are the bytes sent to the host and to the client.
	BytesUpstream, BytesDownstream int64
	// Duration is the time from accepting (or from the request's first byte) to the end.
	Duration time.Duration
	End      End

	// Server and Route are the names of what it went by in the configuration.
	Server, Route string
	Group         string
	Upstream      Upstream

	// RequestID tells the session or exchange from all others. It is wanted only by formats that Need it.
	RequestID []byte
	// Time is when the line is written, as RFC 3339 has it. Whoever writes lines fills it in, for formats that Need it.
	Time []byte

	// The rest is unused in stream mode. URI is the request target as it came; where the request line is malformed, Method
	// and URI are what it can be cut into.
	Method, URI []byte
	// Host is the host that the client asked for, without a port; an IPv6 address is in brackets.
	Host []byte
	// HostName is what the configuration calls the host that was chosen, without a port.
	HostName []byte
	// Messages is asked for fields; nil has none.
	Messages Messages
	// Status is what the client was sent, or 499 if it left before it had everything; 0 if it was sent none.
	Status int
	// GRPCStatus is the grpc-status that the client was sent, as it came. It may be left empty unless the format has $grpc_status.
	GRPCStatus []byte
}

// Messages finds fields in the messages of an exchange.
type Messages interface {
	// RequestField and ResponseField answer the first value of a field, or nil; low is its name in small letters. The
	// response is the one that the client gets, as far as it is known.
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

// TLS is what a line tells of a client's TLS.
type TLS struct {
	// Version and Cipher are the names of what was agreed on.
	Version, Cipher string
	// ServerName is the name in the client's hello, as it came. It is not changed.
	ServerName []byte
	// ClientSubject is the distinguished name in the certificate of a client that was asked for one, as RFC 2253 writes it. It is not changed.
	ClientSubject []byte
}

// Upstream is what a line tells of the way to a host.
type Upstream struct {
	// Host is the last host that was tried, as the configuration names it, with its port; Addr the address of it.
	Host string
	Addr netip.AddrPort
	// Tries is how many connections were tried; one that was kept from an earlier exchange counts too.
	Tries int
	// ConnectTime is how long it took until a connection stood, the hosts that failed before included; 0 for one that was
	// kept. It is missing unless Connected.
	ConnectTime time.Duration
	Connected   bool
	// Status is the final response's; 0 if there was none. HeaderTime is the time from choosing a host to that response's
	// head; it is missing without Status. Both are unused in stream mode.
	Status     int
	HeaderTime time.Duration
}
