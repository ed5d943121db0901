package config

import (
	"net/netip"
	"time"

	"kroxy-ev/logformat"
)

// Server is one object of "http" or "stream": where it listens, what it does
// with what comes in, and how it speaks with its clients.
type Server struct {
	Mode Mode
	Path string // its JSON path, such as "http" or "stream[1]"
	Name string // for logs: what the file calls it, or else Path

	Listen []Listen // in the order of the file, at least one
	Routes []Route  // in the order of the file, at least one; the first that matches is taken

	// TLS is for clients of those entries of Listen that have TLS; all zero if
	// none has.
	TLS TLS
	// TLSHandshakeTimeout is until a client's handshake is done, or until its
	// ClientHello is there where only that is read; it is set without TLS too.
	TLSHandshakeTimeout time.Duration

	// Unrouted is what the server's own keys say, for what no route takes. It
	// leads nowhere.
	Unrouted Route

	// All of these are http only.
	ClientHeaderTimeout time.Duration  // until the whole request head is there
	KeepaliveTimeout    time.Duration  // between two requests of a client
	ForwardedHeaders    bool           // X-Forwarded-For, -Proto and -Host are set, strangers' identity fields dropped
	TrustedProxies      []netip.Prefix // clients whose own identity fields are believed
	HTTP2               HTTP2

	// Compiled is what Routes were compiled to when they were checked, for
	// whoever serves by them; nil if nobody has. This package knows nothing of it.
	Compiled any

	FileLog      string            // access log path; "" is no log
	FormatLog    string            // access log line, not "" if there is a log and no FormatFields; its variables are known to exist in Mode
	FormatFields []logformat.Field // access log line instead, if not nil: an object; its variables likewise
	Syslog       *Syslog           // where access log lines go too; nil is nowhere
}

// mode returns the mode of the server that o is or is in.
func (o object) mode() Mode {
	if o.modes == inHTTP {
		return ModeHTTP
	}
	return ModeStream
}

// server decodes o into c. Shared are the groups that all servers may use.
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
