package config

import (
	"net/netip"
	"time"

	"kroxy-ev/logformat"
)

// Server is one object of "http" or "stream": where it listens, what it does with
// clients' traffic, and how it talks to clients.
type Server struct {
	Mode Mode
	Path string // JSON path, such as "http" or "stream[1]"
	Name string // name in logs: "name" in the file, or else Path

	Listen []Listen // in the order of the file, at least one
	Routes []Route  // in the order of the file, at least one; the first match wins

	// TLS is for clients of those entries of Listen that have TLS; it is zero if
	// none has.
	TLS TLS
	// TLSHandshakeTimeout bounds a client's handshake or, where only the
	// ClientHello is read, the wait for it. It is set without TLS too.
	TLSHandshakeTimeout time.Duration

	// Unrouted holds the server's own keys, for requests that match no route. It
	// has no target.
	Unrouted Route

	// The following are http only.
	ClientHeaderTimeout time.Duration  // to receive the whole request head
	KeepaliveTimeout    time.Duration  // between two requests of a client
	ForwardedHeaders    bool           // set X-Forwarded-For, -Proto and -Host, and drop such fields of untrusted clients
	TrustedProxies      []netip.Prefix // clients whose own X-Forwarded fields are trusted
	HTTP2               HTTP2

	// Compiled is the compiled form of Routes, stored by the package that checked
	// them; nil if they were not checked. This package does not use
	// it.
	Compiled any

	FileLog      string            // access log path; "" for no log
	FormatLog    string            // access log line; not "" if there is a log and FormatFields is nil; its variables are known to exist in Mode
	FormatFields []logformat.Field // if not nil, access log lines are JSON objects with these fields; their variables are known to exist in Mode
	Syslog       *Syslog           // additional destination of the access log; nil if there is none
}

// mode returns the mode of the server that o is or is in.
func (o object) mode() Mode {
	if o.modes == inHTTP {
		return ModeHTTP
	}
	return ModeStream
}

// server decodes o into c. The groups in shared may be used by all servers.
func (o object) server(c *Config, shared *groupSet) {
	s := &Server{Mode: o.mode(), Path: o.path, Name: o.path}
	c.Servers = append(c.Servers, s)
	o.unknown()
	o.checkDefaults()
	if name := o.ownName(); name != "" {
		s.Name = name
	}
	o.fill(ofServer, &target{server: s})
	s.Listen = o.listens()
	s.TLS = o.tls(s.Listen)
	if s.Mode == ModeHTTP {
		s.HTTP2 = o.http2(s.Listen)
	}
	s.FileLog = o.text("file_log")
	s.FormatLog, s.FormatFields = o.formatLog()
	s.Syslog = o.accessSyslog()
	s.defaultLog()

	mine := o.groupNodes()
	if n, path := o.child("servers"); n == nil && o.node.get("servers") == nil && o.sends() {
		o.fail(o.node, path, "it is missing: there is nothing to send traffic to", `add "servers": { "backend": `+groupExample+" }")
	}
	o.routes(s, newGroupSet(mine, shared))
	o.checkRedirects(c, s)
	mine.finish(o)
	c.Groups = append(c.Groups, mine.all()...)
}

// sends reports whether o, a server, needs groups.
func (o object) sends() bool {
	if o.node.get("routes") == nil {
		return o.node.get("redirect") == nil && o.node.get("respond") == nil
	}
	for _, r := range o.node.get("routes").value.elements {
		if r.get("proxy_to") != nil {
			return true
		}
	}
	return false
}
