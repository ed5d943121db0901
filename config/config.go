// Package config turns a kroxy-ev file into a typed, defaulted and validated
// Config, or into the list of everything that is wrong with it: each Problem
// has a line, a column, a JSON path and a remedy.
//
// It reads files (the configuration itself, those it includes, and the
// certificates and keys that it names), the environment variables that it names,
// and the clock that certificates are valid by, and nothing else: it opens no
// log, resolves no name, binds no port, keeps no global state, and imports
// of this module only logformat, for the variables of the access log. Turning a Config into the options of the
// packages that do the work is the business of cmd/kroxy-ev.
package config

import (
	"log/slog"
	"time"

	"kroxy-ev/logformat"
)

// Mode is what a server speaks with its clients: the key that it is in.
type Mode int

// The modes. The zero value is ModeStream.
const (
	ModeStream Mode = iota // raw TCP, key "stream"
	ModeHTTP               // HTTP/1.1, key "http"
)

// String returns the top-level key of the mode, which begins the JSON path of
// its servers.
func (m Mode) String() string {
	if m == ModeHTTP {
		return "http"
	}
	return "stream"
}

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
	Process

	Servers []*Server // in the order of the file, at least one
	Groups  []*Group  // all that routes use, and all others of the file; each once

	Admin    []Admin  // where the program is seen and steered; nil is nowhere
	Resolver Resolver // who is asked for hosts' addresses
	Syslog   *Syslog  // where the error log goes too; nil is nowhere
	Tracing  *Tracing // where spans go; nil is nowhere

	root         *node
	input        *input
	files        Files
	certificates []Certificate
}

// Process is what the whole process has once, whatever it serves.
type Process struct {
	WorkersNum     int // processes under --multiprocess, at least 1
	ReactorsNum    int // event loops in a process without --multiprocess; 0 is one per CPU
	MaxConnections int // client connections per process; 0 is derived from the open file limit

	ShutdownTimeout time.Duration // letting sessions finish; 0 ends them at once
	WatchdogTimeout time.Duration // a worker process that is silent for as long is replaced

	PIDFile   string // where the process, the master if there are workers, writes its id; "" is nowhere
	User      string // whom worker processes run as, a name or a number; "" is as the master. Unchecked
	GroupName string // their group likewise; "" is User's own

	ErrorLog string     // error log path; "" is stderr
	LogLevel slog.Level // of what is in it, at least

	ErrorLogJSON bool // its lines are objects
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

// Source returns what c was made from. It is not to be changed.
func (c *Config) Source() Source { return c.input.used }

// Group returns the first group of that name, or nil. It belongs to c.
func (c *Config) Group(name string) *Group {
	for _, g := range c.Groups {
		if g.Name == name {
			return g
		}
	}
	return nil
}

// PathOf returns the JSON path of a key of s, or of the process if s is nil:
// where it stands in the file, or else where it would.
func (c *Config) PathOf(s *Server, key string) string {
	if s == nil {
		s = c.Servers[0]
	}
	for _, path := range []string{keyPath(s.Path, key), key} {
		if c.root.has(path) {
			return path
		}
	}
	for _, other := range c.Servers { // a process key may be in any
		if path := keyPath(other.Path, key); placeOf(ofFile, inBoth).owns(key) && c.root.has(path) {
			return path
		}
	}
	return keyPath(s.Path, key)
}

// Problem returns a problem found after Parse (a port in use, a log that does
// not open) at the place of path, such as "stream.servers.backend.hosts[1]".
// If the file has no such path, the place is that of its nearest ancestor.
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
