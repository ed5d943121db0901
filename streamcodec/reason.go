package streamcodec

import (
	"errors"

	"kroxy-ev/engine/opening"
	"kroxy-ev/engine/tlsconn"
	"kroxy-ev/engine/upstream"
	"kroxy-ev/logformat"
)

// Reason is the reason why a session ended.
type Reason uint8

const (
	// Completed means that both sides ended their streams and all bytes were delivered.
	Completed Reason = iota
	// ClientFailed means that the client's connection broke, usually by a reset.
	ClientFailed
	// HostFailed means that the host's connection broke, usually by a reset.
	HostFailed
	// Unreachable means that no host could be connected to.
	Unreachable
	// Overloaded means that every host has as many clients as allowed, and that the queue is full or the wait in it timed out.
	Overloaded
	// LeadsBack means that the connection to the host would have led back to this proxy.
	LeadsBack
	// MayLeadBack means that the host answers none of its clients, so no connections to it are made for a while.
	MayLeadBack
	// ClientReadTimeout means that the client was silent for read_timeout.
	ClientReadTimeout
	// ClientSendTimeout means that the client took no bytes for send_timeout.
	ClientSendTimeout
	// HostReadTimeout means that the host was silent for proxy_read_timeout.
	HostReadTimeout
	// HostSendTimeout means that the host took no bytes for proxy_send_timeout.
	HostSendTimeout
	// NoHeader means that no valid PROXY header was received.
	NoHeader
	// NotSecured means that the TLS handshake with the client failed, or that no readable ClientHello was received.
	NotSecured
	// NoSuchName means that no host has the name that the client asked for.
	NoSuchName
	// NoRoute means that no route matches the connection.
	NoRoute
	// Shutdown means that kroxy-ev stopped before the session had ended.
	Shutdown
	// Internal means that the kernel refused something, such as registering a connection.
	Internal
)

// reasons has, for each reason, its text in the error log and its End in the access log.
var reasons = [...]struct {
	text string
	end  logformat.End
}{
	Completed:         {"completed", logformat.Complete},
	ClientFailed:      {"client connection failed", logformat.ClientAbort},
	HostFailed:        {"host connection failed", logformat.HostCut},
	Unreachable:       {"no host reachable", logformat.Unreachable},
	Overloaded:        {"every host is full", logformat.QueueFull},
	LeadsBack:         {"the host leads back to this proxy", logformat.Unreachable},
	MayLeadBack:       {"the host answers nobody and may lead back to this proxy", logformat.Unreachable},
	ClientReadTimeout: {"client silent (read_timeout)", logformat.ReadTimeout},
	ClientSendTimeout: {"client takes no bytes (send_timeout)", logformat.SendTimeout},
	HostReadTimeout:   {"host silent (proxy_read_timeout)", logformat.ProxyReadTimeout},
	HostSendTimeout:   {"host takes no bytes (proxy_send_timeout)", logformat.ProxySendTimeout},
	NoHeader:          {"no PROXY header", logformat.Refused},
	NotSecured:        {"client handshake failed", logformat.TLSFailed},
	NoSuchName:        {"no host has the requested name", logformat.UnknownName},
	NoRoute:           {"no route matches the connection", logformat.NoRoute},
	Shutdown:          {"shutdown", logformat.Shutdown},
	Internal:          {"internal", logformat.Internal},
}

func (r Reason) String() string { return reasons[r].text }

// end returns the access log's End for a session that ended for reason r with the given error.
func (r Reason) end(err error) logformat.End {
	switch {
	case r == Unreachable && errors.Is(err, upstream.ErrNoHost):
		return logformat.NoHost
	case r == Unreachable && (errors.Is(err, upstream.ErrConnectTimeout) || errors.Is(err, upstream.ErrResolveTimeout)):
		return logformat.ConnectTimeout
	case errors.Is(err, upstream.ErrQueueTimeout):
		return logformat.QueueTimeout
	case errors.Is(err, opening.ErrHeaderTimeout), r == NotSecured && errors.Is(err, tlsconn.ErrHandshakeTimeout):
		return logformat.HandshakeTimeout
	case opening.Silent(err):
		return logformat.ClientAbort
	}
	return reasons[r].end
}
