// Package config turns a kroxy-ev file into a typed, defaulted and validated
// Config, or into the list of everything that is wrong with it: each Problem
// has a line, a column, a JSON path and a remedy.
//
// It reads files (the configuration itself, and the certificates and keys that
// it names) and the clock that these are valid by, and nothing else: it opens
// no log, resolves no name, binds no port, keeps no global state, and imports
// of this module only logformat, for the variables of the access log. Turning a Config into the options of the
// packages that do the work is the business of cmd/kroxy-ev.
package config

import (
	"log/slog"
	"net/netip"
	"time"

	"kroxy-ev/logformat"
)

// Mode is what a file configures: its one top-level key.
type Mode int

// The modes. The zero value is ModeStream.
const (
	ModeStream Mode = iota // raw TCP, key "stream"
	ModeHTTP               // HTTP/1.1, key "http"
)

// String returns the top-level key of the mode, which begins every JSON path
// in its files.
func (m Mode) String() string {
	if m == ModeHTTP {
		return "http"
	}
	return "stream"
}

// KeepaliveAuto is the UpstreamKeepalive that stands for as many idle connections as were in use at once of late.
const KeepaliveAuto = -1

// LogMode is the mode as the access log's variables have it.
func (m Mode) LogMode() logformat.Mode {
	if m == ModeHTTP {
		return logformat.HTTP
	}
	return logformat.Stream
}

// Config is one valid file, all defaults filled in. It is not changed after
// Parse returns and may be read from any goroutine.
//
// A timeout of 0 is no limit, except ShutdownTimeout. Timeouts of the other
// mode are 0. No duration exceeds MaxTimeout.
type Config struct {
	Mode Mode

	Port           uint16 // TCP port to listen on
	WorkersNum     int    // processes under --multiprocess, at least 1
	ReactorsNum    int    // event loops in a process without --multiprocess; 0 is one per CPU
	MaxConnections int    // client connections per process; 0 is derived from the open file limit

	// ProxyTo names the group that traffic goes to; Group(ProxyTo) is not nil.
	ProxyTo string

	SendTimeout      time.Duration // sending to the client
	ConnectTimeout   time.Duration // connecting to a host, over all that are tried
	ResolveTimeout   time.Duration // resolving a host's name
	ProxyReadTimeout time.Duration // between two reads from the host
	ProxySendTimeout time.Duration // between two writes to the host
	ShutdownTimeout  time.Duration // letting sessions finish; 0 ends them at once
	WatchdogTimeout  time.Duration // a worker process that is silent for as long is replaced

	// TLSHandshakeTimeout is until a client's handshake is done, or until its
	// ClientHello is there where only that is read; it is set without TLS too.
	TLSHandshakeTimeout time.Duration

	// ConnectTimeoutSet is whether the file has ConnectTimeout. If so, the last host to be tried may take all that is left of
	// it; if not, it gets no more time than each of the others.
	ConnectTimeoutSet bool

	PIDFile   string // where the process, the master if there are workers, writes its id; "" is nowhere
	User      string // whom worker processes run as, a name or a number; "" is as the master. Unchecked
	GroupName string // their group likewise; "" is User's own

	ReadTimeout time.Duration // stream: between two reads from the client

	ClientHeaderTimeout time.Duration // http: until the whole request head is there
	ClientBodyTimeout   time.Duration // http: between two reads of the request body

	// All of these are http only.
	KeepaliveTimeout         time.Duration  // between two requests of a client
	UpstreamKeepalive        int            // idle connections kept for each host, by each loop; or KeepaliveAuto
	UpstreamKeepaliveTimeout time.Duration  // how long they are kept
	MaxBodySize              int64          // of a request, in bytes; 0 is no bound
	UpstreamHost             bool           // Host names the host, not what the client asked for
	ForwardedHeaders         bool           // X-Forwarded-For, -Proto and -Host are set, strangers' identity fields dropped
	TrustedProxies           []netip.Prefix // clients whose own identity fields are believed

	// Headers are set on each request sent upstream, in the order of the file
	// (http only). Where two names differ only in letter case, the later wins.
	Headers []Header

	TLS TLS

	ErrorLog string     // error log path; "" is stderr
	LogLevel slog.Level // of what is in it, at least

	FileLog      string            // access log path; "" is no log
	FormatLog    string            // access log line, not "" if there is a log and no FormatFields; its variables are known to exist in Mode
	FormatFields []logformat.Field // access log line instead, if not nil: an object; its variables likewise

	Groups []Group // in the order of the file, at least one

	file         string
	root         *node
	text         []byte
	files        Files
	certificates []Certificate
}

// Files are the contents of PEM files, by the paths that a configuration names
// them with.
type Files map[string][]byte

// Files returns what was read of the PEM files that c names and uses, all that
// ParseWith needs to make c again. It is not to be changed.
func (c *Config) Files() Files { return c.files }

// Certificates returns the PEM files with certificates that c uses, in the order
// in which they were read. It is not to be changed.
func (c *Config) Certificates() []Certificate { return c.certificates }

// Header is one field of the "headers" object. Name is an RFC 9110 token;
// Value has no control characters but may hold $host and $addr.
type Header struct {
	Name, Value string
}

// Text returns what c was parsed from. It is not to be changed.
func (c *Config) Text() []byte { return c.text }

// TLS says how clients are spoken to; all zero unless Enabled.
type TLS struct {
	Enabled      bool
	Certificates []KeyPair // at least one; the first is for names that none is for, and for no name
	VerifyClient bool      // demand a client certificate that ClientCA vouches for

	ClientCAPath string // "" unless VerifyClient
	ClientCA     []byte // PEM as read, at least one CA certificate; nil is the system roots

	MinVersion string // "1.2" or "1.3"

	TicketRotation time.Duration // how long a key of session tickets is in use; 0 is as long as the process lasts
}

// KeyPair is a certificate chain and the key of its first certificate, which
// belong together; zero if there is none.
type KeyPair struct {
	CertPath, KeyPath string
	Cert, Key         []byte // PEM as read
}

// Group is a named set of hosts in "servers".
type Group struct {
	Name      string
	Hosts     []Host // in the order of the file, at least one; may repeat
	Algorithm string // one of Algorithms, never ""
	ProxyTLS  ProxyTLS
}

// Host is one upstream host.
type Host struct {
	// Name is where it is: a DNS name, an IPv4 address, or an IPv6 address
	// without brackets, spelled as in the file.
	Name string
	Port uint16
	// Alias is what it is called, if that is not Name; spelled like a Name. It
	// is AnyName for a host that gets what no other host is called.
	Alias string
}

// AnyName is the Alias of a host that takes any name that no other host has.
const AnyName = "*"

// Called returns the name of the host for those who speak to it: in Host, in
// SNI, in its certificate.
func (h Host) Called() string {
	if h.Alias == "" || h.Alias == AnyName {
		return h.Name
	}
	return h.Alias
}

// Matches returns the name that a client asks for to get this host where hosts
// are chosen by name, or AnyName.
func (h Host) Matches() string {
	if h.Alias == AnyName {
		return AnyName
	}
	return h.Called()
}

// ProxyTLS says how the hosts of a group are spoken to; all zero unless
// Enabled.
type ProxyTLS struct {
	Enabled bool
	Verify  bool // a host needs a certificate for its name that CA vouches for

	CAPath string // "" unless Verify
	CA     []byte // PEM as read, at least one CA certificate; nil is the system roots

	// ServerName is asked for in SNI and expected in the certificate instead
	// of a host's own name; spelled like a Host's Name, or "".
	ServerName string

	KeyPair KeyPair // the proxy's own certificate; zero if none
}

// Group returns the group of that name, or nil. It belongs to c.
func (c *Config) Group(name string) *Group {
	for i := range c.Groups {
		if c.Groups[i].Name == name {
			return &c.Groups[i]
		}
	}
	return nil
}

// Problem returns a problem found after Parse (a port in use, a log that does
// not open) at the place of path, such as "stream.servers.backend.hosts[1]".
// If the file has no such path, the place is that of its nearest ancestor.
func (c *Config) Problem(path, what, remedy string) Problem {
	if path == "" {
		path = Root
	}
	p := Problem{File: c.file, Path: path, What: what, Remedy: remedy}
	if c.root != nil {
		pos := c.root.locate(path)
		p.Line, p.Column = pos.line, pos.column
	}
	return p
}
