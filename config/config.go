// Package config turns a kroxy-ev file into a typed, defaulted and validated Config, or into the list of everything that is wrong with it:
// each Problem has a line, a column, a JSON path and a remedy.
//
// It reads the configuration file, the files that it includes, the certificates and keys that it names, the environment variables that it
// names, and the clock (for the validity of certificates), and nothing else: it opens no logs, resolves no names, binds no ports, and keeps
// no global state. Of this module it imports only logformat, for the variables of the access log, and balance, for the names of algorithms.
// Converting a Config to the options of the packages that do the work is the job of cmd/kroxy-ev.
package config

import (
	"log/slog"
	"time"

	"kroxy-ev/logformat"
)

// Mode is the kind of a server, named by its top-level key.
type Mode int

// The modes. The zero value is ModeStream.
const (
	ModeStream Mode = iota // raw TCP, key "stream"
	ModeHTTP               // HTTP, key "http"
)

// String returns the top-level key of the mode, which begins the JSON path of its
// servers.
func (m Mode) String() string {
	if m == ModeHTTP {
		return "http"
	}
	return "stream"
}

// LogMode returns the mode for the access log's variables.
func (m Mode) LogMode() logformat.Mode {
	if m == ModeHTTP {
		return logformat.HTTP
	}
	return logformat.Stream
}

// Config is one valid file with all defaults filled in. It is immutable after Parse
// returns and may be read from any goroutine.
//
// A timeout of 0 means no limit, except ShutdownTimeout. Timeouts of the other mode
// are 0. No duration exceeds MaxTimeout.
type Config struct {
	Process

	Servers []*Server // in the order of the file, at least one
	Groups  []*Group  // each group of the file once, whether a route uses it or not

	Admin    []Admin  // the admin endpoint; nil if there is none
	Resolver Resolver // how the addresses of hosts are looked up
	Syslog   *Syslog  // additional destination of the error log; nil if there is none
	Tracing  *Tracing // destination of spans; nil if there is none

	root         *node
	input        *input
	files        Files
	certificates []Certificate
}

// Process is the settings of the whole process.
type Process struct {
	WorkersNum     int // processes with --multiprocess, at least 1
	ReactorsNum    int // event loops in a process without --multiprocess; 0 means one per CPU
	MaxConnections int // client connections per process; 0 means that the limit on open files determines it

	ShutdownTimeout time.Duration // time for sessions to finish; 0 ends them at once
	WatchdogTimeout time.Duration // a worker process that is silent for this long is replaced

	PIDFile   string // where the process, or the master if there are workers, writes its PID; "" for nowhere
	User      string // user that workers run as, a name or a number; "" for the master's user. Not checked
	GroupName string // group that workers run as, likewise; "" for the primary group of User

	ErrorLog string     // error log path; "" for stderr
	LogLevel slog.Level // lowest level in the error log

	ErrorLogJSON bool // lines of the error log are JSON objects
}

// Files are the contents of PEM files, by the paths under which the configuration
// names them.
type Files map[string][]byte

// Files returns the contents of the PEM files that c names and uses, which
// ParseWith needs to make c again. The caller must not change them.
func (c *Config) Files() Files { return c.files }

// Certificates returns the PEM files with certificates that c uses, in the order
// in which they were read. The caller must not change them.
func (c *Config) Certificates() []Certificate { return c.certificates }

// Source returns what c was made from. The caller must not change it.
func (c *Config) Source() Source { return c.input.used }

// Group returns the first group with that name, or nil. It belongs to c.
func (c *Config) Group(name string) *Group {
	for _, g := range c.Groups {
		if g.Name == name {
			return g
		}
	}
	return nil
}

// PathOf returns the JSON path of a key of s, or of the process if s is nil: where
// the key is in the file or, if it is not there, where it
// would be.
func (c *Config) PathOf(s *Server, key string) string {
	if s == nil {
		s = c.Servers[0]
	}
	for _, path := range []string{keyPath(s.Path, key), key} {
		if c.root.has(path) {
			return path
		}
	}
	for _, other := range c.Servers { // a process key may be in any server
		if path := keyPath(other.Path, key); placeOf(ofFile, inBoth).owns(key) && c.root.has(path) {
			return path
		}
	}
	return keyPath(s.Path, key)
}

// Problem returns a problem found after Parse (a port in use, a log that cannot be
// opened) at the place of path, such as
// "stream.servers.backend.hosts[1]". If the file has no such path, the place is
// that of the nearest ancestor.
func (c *Config) Problem(path, what, remedy string) Problem {
	if path == "" {
		path = Root
	}
	p := Problem{Path: path, What: what, Remedy: remedy}
	if c.root != nil {
		pos := c.root.locate(path)
		p.File, p.Line, p.Column = c.input.name(pos), pos.line, pos.column
	}
	return p
}

// ErrorAt returns a problem found after Parse as an error.
func (c *Config) ErrorAt(path, what, remedy string) error {
	return &Error{Problems: []Problem{c.Problem(path, what, remedy)}}
}

// KeyError is ErrorAt for a key of s, or of the process if s is nil.
func (c *Config) KeyError(s *Server, key, what, remedy string) error {
	return c.ErrorAt(c.PathOf(s, key), what, remedy)
}
