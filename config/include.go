package config

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
)

// input is the files of a configuration, and what else it is made from.
type input struct {
	from  environment
	used  Source          // what was used of from
	names []string        // names of the files, by the number in positions
	seen  map[string]bool // the same names, cleaned
	open  []string        // files being read, each included by the one before
}

func (in *input) name(pos position) string { return in.names[pos.file] }

// place formats pos for a message.
func (in *input) place(pos position) string {
	return fmt.Sprintf("%s:%d:%d", in.name(pos), pos.line, pos.column)
}

// lenient reports whether a file with that name may have comments and trailing
// commas.
func lenient(name string) bool {
	switch strings.ToLower(filepath.Ext(name)) {
	case ".jsonc", ".hujson":
		return true
	}
	return false
}

// readAll scans a file and everything that it includes, and returns the merged
// document; nil after a syntax error.
func (d *decoder) readAll(name string, data []byte) *node {
	in := d.input
	number := len(in.names)
	in.names, in.seen[filepath.Clean(name)] = append(in.names, name), true
	if len(data) > MaxFileSize {
		d.failAt(position{1, 1, number}, Root, fmt.Sprintf("the file is larger than %d MiB", MaxFileSize>>20), "a configuration is a few kilobytes: check the path given with --config")
		return nil
	}
	root, faults := scan(data, number, lenient(name))
	for _, f := range faults {
		d.failAt(position{f.Line, f.Column, number}, f.Path, f.What, f.Remedy)
	}
	if root == nil || root.kind != kindObject {
		return root
	}
	m := root.get("include")
	if m == nil {
		return root
	}
	d.expand(&m.value, lazyPath{{"include", isMember}}) // the rest of the document is not complete yet
	in.open = append(in.open, filepath.Clean(name))
	g := &merger{decoder: d, whole: *root, known: make(map[string]map[string]position)}
	ok := true
	object{decoder: d}.texts(&m.value, "include", `["sites/*.json"]`, func(n *node, path, pattern string) {
		if d.spoilt[n.pos] { // a variable in it is not set, so what is left is another pattern
			ok = false
			return
		}
		for _, file := range d.included(n, path, name, pattern) {
			if part := d.include(n, path, file); part != nil {
				g.merge(part)
			} else {
				ok = false
			}
		}
	})
	in.open = in.open[:len(in.open)-1]
	if !ok {
		return nil
	}
	return &g.whole
}

// included returns the files that match a pattern in the file with that name.
func (d *decoder) included(n *node, path, name, pattern string) []string {
	in := d.input
	if pattern == "" {
		d.fail(n, path, "it is empty", `write the path of a file, or a pattern such as "sites/*.json"`)
		return nil
	}
	full := pattern
	if !filepath.IsAbs(full) {
		full = filepath.Join(filepath.Dir(name), full)
	}
	if !strings.ContainsAny(pattern, `*?[\`) {
		return []string{filepath.Clean(full)}
	}
	files, err := in.from.glob(full)
	if err != nil {
		d.fail(n, path, quote(pattern)+" is not a pattern: "+err.Error(), `write one such as "sites/*.json"`)
		return nil
	}
	if in.used.Found == nil {
		in.used.Found = map[string][]string{}
	}
	in.used.Found[full] = files
	return files
}

// include reads a file that n names.
func (d *decoder) include(n *node, path, file string) *node {
	in := d.input
	if slices.Contains(in.open, file) {
		chain := append(slices.Clone(in.open[slices.Index(in.open, file):]), file)
		d.fail(n, path, "an include cycle: "+strings.Join(quoteAll(chain), " includes "), "remove one of the includes")
		return nil
	}
	if in.seen[file] {
		d.fail(n, path, quote(file)+" is included already", "remove one of the includes")
		return nil
	}
	data, err := in.from.file(file)
	if err != nil {
		what := err.Error()
		if e, ok := errors.AsType[*Error](err); ok {
			what = e.Problems[0].What
		}
		d.fail(n, path, quote(file)+": "+what, "correct the path, which is relative to the file that names it, or remove it")
		return nil
	}
	if in.used.Included == nil {
		in.used.Included = map[string][]byte{}
	}
	in.used.Included[file] = data
	root := d.readAll(file, data)
	if root != nil && root.kind != kindObject {
		d.fail(root, Root, "must be an object, not "+root.describe(), `write { "servers": { ... } } or what else is to be a part of `+quote(in.names[0]))
		return nil
	}
	return root
}

// merger merges the documents that a file includes into the file's own.
type merger struct {
	*decoder
	whole node
	known map[string]map[string]position // keys and positions of the members of merged objects, by path
}

// merge adds the members of part, a file, to the whole. Groups are merged, and so
// are servers: a server that does not say where it listens extends
// the only existing one, if there is exactly one. Anything else may be in one file
// only.
func (g *merger) merge(part *node) {
	for i := range part.members {
		m := part.members[i]
		there := g.whole.get(m.key)
		switch {
		case m.repeated || m.key == "include" || m.key == "$schema": // these concern the part alone
		case there == nil:
			g.whole.members = append(g.whole.members, m)
		case m.key == "servers" && there.value.kind == kindObject && m.value.kind == kindObject:
			g.mergeMembers(&there.value, &m.value, "servers")
		case m.key == "http" || m.key == "stream":
			g.mergeServers(&there.value, &m.value, m.key)
		default:
			g.twice(&m, there.pos, m.key)
		}
	}
}

func (d *decoder) twice(second *member, first position, path string) {
	d.failAt(second.pos, path, "the key is given twice, first in "+d.input.place(first), "remove one of the two")
}

// mergeMembers adds the members of an object to another one, which is at path. They
// must have no key in common.
func (g *merger) mergeMembers(whole, part *node, path string) {
	known := g.known[path]
	if known == nil {
		known = make(map[string]position, len(whole.members))
		for _, m := range whole.members {
			if !m.repeated {
				known[m.key] = m.pos
			}
		}
		g.known[path] = known
	}
	for i := range part.members {
		m := part.members[i]
		if m.repeated {
			continue
		}
		if first, twice := known[m.key]; twice {
			g.twice(&m, first, keyPath(path, m.key))
			continue
		}
		known[m.key] = m.pos
		whole.members = append(whole.members, m)
	}
}

// mergeServers adds the servers of one mode in another file to the existing ones.
func (g *merger) mergeServers(whole, part *node, key string) {
	if part.kind == kindObject && part.get("listen") == nil && part.get("port") == nil {
		switch {
		case whole.kind == kindObject:
			g.extend(whole, part, key)
			return
		case whole.kind == kindArray && len(whole.elements) == 1 && whole.elements[0].kind == kindObject:
			g.extend(&whole.elements[0], part, indexPath(key, 0))
			return
		case whole.kind == kindArray && len(whole.elements) > 1:
			g.fail(part, key, fmt.Sprintf("it should be added to a server, but does not say to which of %d", len(whole.elements)),
				`write "port" or "listen" into it if it is a server of its own, or put it into the file of the server that it belongs to`)
			return
		}
	}
	if whole.kind != kindArray {
		*whole = node{kind: kindArray, pos: whole.pos, elements: []node{*whole}}
	}
	if part.kind == kindArray {
		whole.elements = append(whole.elements, part.elements...)
	} else {
		whole.elements = append(whole.elements, *part)
	}
}

// extend adds the members of a server in another file to a server.
func (g *merger) extend(server, part *node, path string) {
	for i := range part.members {
		m := part.members[i]
		there := server.get(m.key)
		switch {
		case m.repeated:
		case there == nil:
			server.members = append(server.members, m)
		case m.key == "routes" && there.value.kind == kindArray && m.value.kind == kindArray:
			there.value.elements = append(there.value.elements, m.value.elements...)
		case m.key == "servers" && there.value.kind == kindObject && m.value.kind == kindObject:
			g.mergeMembers(&there.value, &m.value, keyPath(path, m.key))
		default:
			g.twice(&m, there.pos, keyPath(path, m.key))
		}
	}
}
