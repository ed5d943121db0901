package streamcodec

// Reason says why a session ended.
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
	// ClientReadTimeout means that the client was silent for read_timeout.
	ClientReadTimeout
	// ClientSendTimeout means that the client took no bytes for send_timeout.
	ClientSendTimeout
	// HostReadTimeout means that the host was silent for proxy_read_timeout.
	HostReadTimeout
	// HostSendTimeout means that the host took no bytes for proxy_send_timeout.
	HostSendTimeout
	// NotSecured means that the TLS handshake with the client failed, or that no ClientHello came that could be read.
	NotSecured
	// NoSuchName means that no host has the name that the client asked for.
	NoSuchName
	// Shutdown means that kroxy-ev stopped before the session had ended by itself.
	Shutdown
	// Internal means that the kernel refused something, such as registering a connection.
	Internal
)

var reasonNames = [...]string{
	Completed:         "completed",
	ClientFailed:      "client connection failed",
	HostFailed:        "host connection failed",
	Unreachable:       "no host reachable",
	ClientReadTimeout: "client silent (read_timeout)",
	ClientSendTimeout: "client takes no bytes (send_timeout)",
	HostReadTimeout:   "host silent (proxy_read_timeout)",
	HostSendTimeout:   "host takes no bytes (proxy_send_timeout)",
	NotSecured:        "client handshake failed",
	NoSuchName:        "no host has the name that was asked for",
	Shutdown:          "shutdown",
	Internal:          "internal",
}

func (r Reason) String() string { return reasonNames[r] }
