package config

import (
	"net"
	"strconv"
	"strings"
)

// Syslog is an additional destination of log lines, which are sent as messages of RFC 5424.
type Syslog struct {
	Address  string // "udp:HOST:PORT", or "unix:PATH" for a datagram socket
	Facility string // one of SyslogFacilities
	Severity string // of access log lines, one of SyslogSeverities
	Tag      string // APP-NAME, 1 to 48 printable ASCII characters
	Access   bool   // receives the access logs
	Errors   bool   // receives the error log
}

const syslogExample = `{ "address": "udp:10.0.0.5:514" }`

// SyslogFacilities are the usual names of the facilities of RFC 5424 section 6.2.1;
// the index is the number.
var SyslogFacilities = []string{
	"kern", "user", "mail", "daemon", "auth", "syslog", "lpr", "news", "uucp", "cron", "authpriv", "ftp", "ntp", "audit", "alert", "clock",
	"local0", "local1", "local2", "local3", "local4", "local5", "local6", "local7",
}

// SyslogSeverities are the usual names of the severities; the index is the number.
var SyslogSeverities = []string{"emerg", "alert", "crit", "err", "warning", "notice", "info", "debug"}

// checkSyslog returns what is wrong with an address.
func checkSyslog(s string) (what, remedy string) {
	const how = `write "udp:10.0.0.5:514" or "unix:/dev/log"`
	kind, at, _ := strings.Cut(s, ":")
	switch kind {
	case "unix":
		if !strings.HasPrefix(at, "/") {
			return quote(s) + " has no absolute path", how
		}
		if len(at) > 107 { // sockaddr_un, minus a NUL
			return "the path of the socket is longer than 107 bytes", "use a shorter one"
		}
		return "", ""
	case "udp":
		host, port, err := net.SplitHostPort(at)
		if n, bad := strconv.ParseUint(port, 10, 16); err != nil || host == "" || bad != nil || n == 0 {
			return quote(s) + " does not name a host and a port", how
		}
		return "", ""
	case "tcp", "tls":
		return "only datagrams are supported, because they never block", how
	}
	return quote(s) + " begins with neither udp: nor unix:", how
}

// checkTag returns what is wrong with an APP-NAME.
func checkTag(s string) (what, remedy string) {
	const remedyTag = "write 1 to 48 printable characters of ASCII without a space"
	if len(s) == 0 || len(s) > 48 || strings.IndexFunc(s, func(r rune) bool { return r <= ' ' || r >= 0x7f }) >= 0 {
		return quote(shorten(s, 60)) + " cannot be the name of a program in a syslog", remedyTag
	}
	return "", ""
}

// syslog decodes "syslog"; nil if there is none.
func (o object) syslog() (*Syslog, object) {
	in, is := o.section("syslog")
	if is != on {
		return nil, in
	}
	s := &Syslog{}
	in.fill(ofSyslog, &target{syslog: s})
	return s, in
}

// accessSyslog returns the syslog for the access log of o, a server.
func (o object) accessSyslog() *Syslog {
	s, in := o.syslog()
	if s == nil {
		return nil
	}
	if m := o.node.get("syslog"); m != nil {
		in.idle("error_log", true, "it is ignored here: a process has one error log", "write it in syslog at the top of the file")
	}
	if !s.Access {
		return nil
	}
	return s
}

// errorSyslog returns the syslog for the error log.
func (o object) errorSyslog() *Syslog {
	if s, _ := o.syslog(); s != nil && s.Errors {
		return s
	}
	return nil
}
