package config

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"slices"
	"syscall"
	"time"
)

// MaxFileSize bounds a configuration file, in bytes.
const MaxFileSize = 4 << 20

// MaxTimeout bounds every timeout: no one waits longer, and adding it to any
// clock reading that the kernel gives stays within int64 nanoseconds.
const MaxTimeout = 100 * 365 * 24 * time.Hour

const maxProcesses = 4096 // bounds workers_num and reactors_num: a slip of the keys should not fork a million

// Load reads and parses the file at path. Its error, if any, is an *Error with
// all that is wrong; the warnings are valid with and without an error. A pipe
// (<(...) in a shell) is read like a file. Relative paths in the file are
// taken from the working directory, as the process will take them.
func Load(path string) (*Config, []Problem, error) {
	data, err := readFile(path)
	if err != nil {
		return nil, nil, err
	}
	return Parse(path, data)
}

// readFile reads at most one byte more than Parse accepts.
func readFile(path string) ([]byte, error) {
	fail := func(err error, what, remedy string) ([]byte, error) {
		return nil, &Error{err: err, Problems: []Problem{{File: path, What: what, Remedy: remedy}}}
	}
	f, err := os.Open(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return fail(err, "there is no such file", "check the path given with --config")
	case errors.Is(err, fs.ErrPermission):
		return fail(err, "no permission to read the file", fmt.Sprintf("make it readable for user %d", os.Geteuid()))
	case err != nil:
		return fail(err, "cannot open the file: "+reason(err), "check the path given with --config")
	}
	defer func() { _ = f.Close() }() // only read from: nothing can be lost
	if info, err := f.Stat(); err == nil && info.IsDir() {
		return fail(nil, "it is a directory", "give the path of a file in it with --config")
	}
	data, err := io.ReadAll(io.LimitReader(f, MaxFileSize+1))
	if err != nil {
		return fail(err, "cannot read the file: "+reason(err), "give a readable JSON file with --config")
	}
	return data, nil
}

// reason is err without the operation and path that the message says anyway.
func reason(err error) string {
	if pe, ok := errors.AsType[*fs.PathError](err); ok {
		return pe.Err.Error()
	}
	return err.Error()
}

// Parse parses a configuration. The filename is only for messages. The error
// and the warnings are as those of Load. The Config keeps data.
func Parse(filename string, data []byte) (*Config, []Problem, error) {
	return parse(filename, data, &decoder{open: readPEM, now: time.Now()})
}

// ParseWith is Parse for a process that may not read the files that the
// configuration names, or has to take them as they were: it opens none, and
// one that is not in files does not exist. Nor does it look at the clock: it
// warns of no certificate. The Config keeps data and the contents of files.
func ParseWith(filename string, data []byte, files Files) (*Config, []Problem, error) {
	return parse(filename, data, &decoder{open: func(path string) pemFile {
		if content, ok := files[path]; ok {
			return newPEM(content)
		}
		return unopened(syscall.ENOENT)
	}})
}

func parse(filename string, data []byte, d *decoder) (*Config, []Problem, error) {
	d.read = map[string]pemFile{}
	c := d.document(data)
	for i := range d.certificates {
		d.certificates[i].place.File = filename
		if p, warn := d.certificates[i].Warning(d.now); warn && !d.now.IsZero() {
			d.warnings = append(d.warnings, p)
		}
	}
	if c != nil {
		c.file = filename
		c.text, c.files, c.certificates = data, d.contents(), d.certificates
	}
	for _, list := range [][]Problem{d.errors, d.warnings} {
		for i := range list {
			list[i].File = filename
		}
		sortProblems(list)
	}
	if len(d.errors) > 0 {
		return nil, d.warnings, &Error{Problems: d.errors}
	}
	return c, d.warnings, nil
}

func (d *decoder) document(data []byte) *Config {
	start := &node{pos: position{1, 1}}
	if len(data) > MaxFileSize {
		d.fail(start, Root, fmt.Sprintf("the file is larger than %d MiB", MaxFileSize>>20), "a configuration is a few kilobytes: check the path given with --config")
		return nil
	}
	root, faults := scan(data)
	d.errors = append(d.errors, faults...)
	if root == nil {
		return nil
	}
	top, ok := d.object(root, Root, topPlace, `{ "stream": { ... } } or { "http": { ... } }`)
	if !ok {
		return nil
	}

	c := &Config{root: root}
	for i := range root.members {
		m := &root.members[i]
		if m.repeated || m.key != "http" && m.key != "stream" {
			continue
		}
		mode := ModeStream
		if m.key == "http" {
			mode = ModeHTTP
		}
		if len(c.Servers) > 0 {
			d.failAt(m.pos, m.key, fmt.Sprintf("both %q and %q are present", c.Servers[0].Mode.String(), m.key), "keep one of the two: a process has one mode")
		}
		d.mode = mode
		d.server(&m.value, c)
	}
	if len(c.Servers) == 0 {
		d.fail(root, Root, `neither "stream" nor "http" is present`, `write { "stream": { ... } } for TCP or { "http": { ... } } for HTTP`)
		d.mode = ModeStream
	} else {
		d.mode = c.Servers[0].Mode
	}
	top.unknown()
	return c
}

// server decodes the object of d.mode into c.
func (d *decoder) server(n *node, c *Config) {
	s := &Server{Mode: d.mode, Path: d.mode.String(), Name: d.mode.String()}
	c.Servers = append(c.Servers, s)
	o, ok := d.object(n, s.Path, placeOf(s.Mode), `an object: { "proxy_to": ..., "servers": { ... } }`)
	if !ok {
		return
	}
	o.unknown()

	port := uint16(o.integer("port", portRange(8080)))
	c.Process = o.process()

	groups := o.groups()
	c.Groups = append(c.Groups, groups...)
	connect, resolve := o.millis("connect_timeout", 60000), o.millis("resolve_timeout", 60000)
	for _, g := range groups {
		g.ConnectTimeout, g.ResolveTimeout = connect, resolve
		g.ConnectTimeoutSet = o.node.get("connect_timeout") != nil
	}

	s.SendTimeout = o.millis("send_timeout", 60000)
	r := Route{Path: s.Path, Name: s.Path, SendTimeout: s.SendTimeout}
	r.ProxyReadTimeout = o.millis("proxy_read_timeout", 60000)
	r.ProxySendTimeout = o.millis("proxy_send_timeout", 60000)
	if s.Mode == ModeHTTP {
		o.http(s, &r, groups)
	} else {
		s.ReadTimeout = o.millis("read_timeout", 60000)
		r.ReadTimeout = s.ReadTimeout
	}

	s.TLSHandshakeTimeout = o.millis("tls_handshake_timeout", 10000)
	s.TLS = o.tls()
	s.Listen = []Listen{{Path: keyPath(s.Path, "port"), Port: port, TLS: s.TLS.Enabled}}

	s.FileLog = o.text("file_log")
	s.FormatLog, s.FormatFields = o.formatLog()
	s.defaultLog()

	name := o.proxyTo()
	i := slices.IndexFunc(groups, func(g *Group) bool { return g.Name == name })
	if i < 0 {
		return // said already
	}
	r.To = []Target{{Group: groups[i], Weight: 1}}
	s.Routes = []Route{r}
	o.checkNames(s, groups[i])
	o.checkLoop(port, groups[i])
}

// process decodes what a process has once.
func (o object) process() Process {
	return Process{
		WorkersNum:      int(o.integer("workers_num", bounds{1, maxProcesses, 1, fmt.Sprintf("write a number of processes from 1 to %d", maxProcesses)})),
		ReactorsNum:     int(o.integer("reactors_num", bounds{0, maxProcesses, 0, "write a number of event loops, or 0 for one per CPU"})),
		MaxConnections:  int(o.integer("max_connections", bounds{0, math.MaxInt32, 0, "write a number of connections, or 0 for as many as the open file limit allows"})),
		ShutdownTimeout: o.millis("shutdown_timeout", 8000),
		WatchdogTimeout: o.millis("watchdog_timeout", 10000),
		PIDFile:         o.text("pid_file"),
		User:            o.text("user"),
		GroupName:       o.text("group"),
		ErrorLog:        o.text("error_log"),
		LogLevel:        o.logLevel(),
	}
}
