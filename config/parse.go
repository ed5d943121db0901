package config

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"time"
)

// MaxFileSize bounds a configuration file, in bytes.
const MaxFileSize = 4 << 20

// MaxTimeout bounds every timeout. It is long enough for everyone, and the sum of
// it and any clock reading of the kernel fits into int64
// nanoseconds.
const MaxTimeout = 100 * 365 * 24 * time.Hour

const maxProcesses = 4096 // bounds workers_num and reactors_num, so that a typo does not fork a million processes

// leastWatchdog is the shortest watchdog_timeout without a warning: on a busy machine even a healthy worker may be silent for some time.
const leastWatchdog = 100 * time.Millisecond

// Load reads and parses the file at path and those that it includes. The error, if
// any, is an *Error with everything that is wrong; the warnings are
// valid with and without an error. A pipe (<(...) in a shell) is read like a file.
// Relative paths of PEM files and logs are relative to the working
// directory, as they will be for the process; those in "include" are relative to
// the including file.
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
	defer func() { _ = f.Close() }() // opened for reading only: no data can be lost
	if info, err := f.Stat(); err == nil && info.IsDir() {
		return fail(nil, "it is a directory", "give the path of a file in it with --config")
	}
	data, err := io.ReadAll(io.LimitReader(f, MaxFileSize+1))
	if err != nil {
		return fail(err, "cannot read the file: "+reason(err), "give a readable JSON file with --config")
	}
	return data, nil
}

// reason returns the text of err without the operation and path, which the message has already.
func reason(err error) string {
	if pe, ok := errors.AsType[*fs.PathError](err); ok {
		return pe.Err.Error()
	}
	return err.Error()
}

// Parse parses a configuration and the files that it includes. The filename is for
// messages and for relative includes. The error and the warnings
// are as for Load. The Config retains data.
func Parse(filename string, data []byte) (*Config, []Problem, error) {
	return parse(Source{Path: filename, Text: data}, osEnvironment{}, decoder{open: readPEM, now: time.Now()})
}

func parse(s Source, from environment, d decoder) (*Config, []Problem, error) {
	d.input = &input{from: from, used: Source{Path: s.Path, Text: s.Text}, seen: make(map[string]bool)}
	d.read, d.said, d.spoilt = map[string]pemFile{}, map[Problem]bool{}, map[position]bool{}
	d.pairs, d.trusted, d.looked = map[keyPairPaths]KeyPair{}, map[string][]byte{}, map[usedGroup]bool{}
	c := d.document()
	for i := range d.certificates {
		if p, warn := d.certificates[i].Warning(d.now); warn && !d.now.IsZero() {
			d.warnings.add(p)
		}
	}
	sortProblems(d.errors.list, d.input.names)
	sortProblems(d.warnings.list, d.input.names)
	if n := d.warnings.more; n > 0 {
		d.warnings.list = append(d.warnings.list, Problem{File: s.Path, Line: 1, Column: 1, Path: Root, What: fmt.Sprintf("there are %d more warnings", n), Remedy: "fix these first"})
	}
	if len(d.errors.list) > 0 {
		return nil, d.warnings.list, &Error{Problems: d.errors.list, More: d.errors.more}
	}
	d.input.from = nil
	c.input = d.input
	c.files, c.certificates = d.contents(), d.certificates
	return c, d.warnings.list, nil
}

const topExample = `{ "stream": { ... } } or { "http": { ... } }`

// document decodes the whole input; nil if that is not possible.
func (d *decoder) document() *Config {
	root := d.readAll(d.input.used.Path, d.input.used.Text)
	if root == nil {
		return nil
	}
	d.expand(root, nil)
	top, ok := object{decoder: d, modes: inBoth}.object(root, Root, ofFile, topExample)
	if !ok {
		return nil
	}
	c := &Config{root: root}
	var servers []object
	for i := range root.members {
		m := &root.members[i]
		switch {
		case m.repeated:
		case m.key == "http":
			servers = append(servers, top.servers(&m.value, ModeHTTP)...)
		case m.key == "stream":
			servers = append(servers, top.servers(&m.value, ModeStream)...)
		}
	}
	if root.get("http") == nil && root.get("stream") == nil {
		d.fail(root, Root, `neither "stream" nor "http" is present`, `write { "stream": { ... } } for TCP or { "http": { ... } } for HTTP`)
	}
	hints := top
	if len(servers) > 0 && root.get("http") == nil {
		hints.modes = inStream
	} else if len(servers) > 0 && root.get("stream") == nil {
		hints.modes = inHTTP
	}
	hints.unknown()
	top.checkDefaults()
	c.Process = top.process(servers)
	c.Admin = top.admin(servers)
	c.Resolver = top.resolver()
	c.Syslog, c.Tracing = top.errorSyslog(), top.tracing()
	shared := top.groupNodes()
	set := newGroupSet(shared, nil)
	for _, o := range servers {
		o.server(c, set)
	}
	shared.finish(top)
	c.Groups = append(c.Groups, shared.all()...)
	d.checkListen(c)
	d.checkNames(c)
	return c
}

// checkNames warns of servers with the same name, and of routes of one server with the same name.
func (d *decoder) checkNames(c *Config) {
	check := func(before map[string]string, name, path string) {
		first, twice := before[name]
		if !twice {
			before[name] = path
			return
		}
		if name == path { // this object has its default name; the other one was given that name
			first, path = path, first
		}
		at := keyPath(path, "name")
		d.warn(c.root.locate(at), at, first+" is called "+quote(name)+" too: logs and metrics cannot tell them apart", "write another name")
	}
	servers := make(map[string]string, len(c.Servers))
	for _, s := range c.Servers {
		check(servers, s.Name, s.Path)
		routes := make(map[string]string, len(s.Routes))
		for i := range s.Routes {
			check(routes, s.Routes[i].Name, s.Routes[i].Path)
		}
	}
}

// servers returns the objects in n, the value of a mode's key.
func (o object) servers(n *node, m Mode) []object {
	const example = `an object: { "proxy_to": ..., "servers": { ... } }`
	list, path := []node{*n}, m.String()
	if n.kind == kindArray {
		if list = n.elements; len(list) == 0 {
			o.fail(n, path, "there are no servers in it", "write "+example+", or an array of them")
		}
	}
	o.modes = m.modes()
	var servers []object
	for i := range list {
		at := path
		if n.kind == kindArray {
			at = indexPath(path, i)
		}
		if s, ok := o.object(&list[i], at, ofServer, example); ok {
			servers = append(servers, s.within(o))
		}
	}
	return servers
}

// process decodes the settings of the process, which may be at the top of the file
// or in servers.
func (o object) process(servers []object) Process {
	var p Process
	o.beside = servers
	for _, k := range o.place.keys {
		if k.of != ofProcess {
			continue
		}
		// Decode all occurrences: they must not differ.
		var first *member
		var value any
		var where string
		for _, in := range append([]object{o}, servers...) {
			m := in.node.get(k.name)
			if m == nil {
				continue
			}
			path := keyPath(in.path, k.name)
			before := o.errors.count()
			v := k.form.decode(o, &m.value, path)
			switch {
			case o.errors.count() > before || o.spoilt[m.value.pos]: // v is only the default, because the value is invalid
			case first == nil:
				first, value, where = m, v, path
			case v != value:
				o.fail(&m.value, path, "it differs from "+where+" in "+o.input.place(first.value.pos)+": a process has one "+quote(k.name), "remove one of the two")
			}
		}
	}
	o.fill(ofProcess, &target{process: &p})
	if n, path := o.child("watchdog_timeout"); n != nil && p.WatchdogTimeout > 0 && p.WatchdogTimeout < leastWatchdog {
		o.warn(n.pos, path, "a worker that only waits for a CPU may be silent for "+p.WatchdogTimeout.String()+", and is then killed", "write 1000 (milliseconds) or more, or 0 for no limit")
	}
	return p
}
