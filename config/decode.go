package config

import (
	"strings"
	"time"
)

// decoder collects problems while nodes are decoded. An invalid value decodes to
// its default, so that decoding can continue.
type decoder struct {
	input            *input
	errors, warnings problems
	said             map[Problem]bool // already in errors or warnings: an inherited value is decoded wherever it applies

	spoilt map[position]bool // strings with an error in an environment variable: one error about each is enough

	open func(path string) pemFile // reads a file that the document names
	read map[string]pemFile        // results of open
	now  time.Time                 // when certificates should be valid; zero for any time

	certificates []Certificate
	pairs        map[keyPairPaths]KeyPair // results of keyPair
	trusted      map[string][]byte        // results of authorities, by path
	looked       map[usedGroup]bool       // groups that were already checked against a server
}

func (d *decoder) problem(pos position, path, what, remedy string) (p Problem, isNew bool) {
	p = Problem{File: d.input.name(pos), Line: pos.line, Column: pos.column, Path: path, What: what, Remedy: remedy}
	if len(d.said) > 3*maxProblems { // a megabyte of nonsense needs no more
		return p, true
	}
	isNew = !d.said[p] && !d.spoilt[pos]
	d.said[p] = true
	return p, isNew
}

func (d *decoder) failAt(pos position, path, what, remedy string) {
	if p, isNew := d.problem(pos, path, what, remedy); isNew {
		d.errors.add(p)
	}
}

func (d *decoder) fail(n *node, path, what, remedy string) { d.failAt(n.pos, path, what, remedy) }

func (d *decoder) warn(pos position, path, what, remedy string) {
	if p, isNew := d.problem(pos, path, what, remedy); isNew {
		d.warnings.add(p)
	}
}

// object is an object being decoded, and its place.
type object struct {
	*decoder
	node  *node
	path  string
	place *place // nil if any key is allowed
	modes modes  // of the server that contains it; both outside of all servers
	// outer is the object around it, from which it inherits defaults; nil if there is none.
	outer *object
	// beside are other objects that may have the keys that are not in node.
	beside []object
}

// object returns n as an object, or reports that it should be one, such as example.
func (o object) object(n *node, path string, l level, example string) (object, bool) {
	if n.kind != kindObject {
		o.fail(n, path, "must be an object, not "+n.describe(), "write "+example)
		return object{}, false
	}
	inner := object{decoder: o.decoder, node: n, path: path, modes: o.modes}
	if l != own {
		inner.place = placeOf(l, o.modes)
	}
	return inner, true
}

// within returns o with outer as the object around it.
func (o object) within(outer object) object {
	o.outer = &outer
	return o
}

// unknown reports keys that nothing reads. They are warnings, but errors if a key
// looks like a security setting or existing files cannot have the
// object.
func (o object) unknown() {
	for i := range o.node.members {
		m := &o.node.members[i]
		if o.place.key(m.key) != nil {
			continue
		}
		path := keyPath(o.path, m.key)
		secure := meansSecure(m.key)
		if !secure && !isComment(m.key) && !holdsHeaders(m.key) {
			o.unread(&m.value, lazyPath{{path, isPath}})
		}
		report := o.warn
		if secure || o.place.strict && !isComment(m.key) {
			report = o.failAt
		}
		what, remedy := unknownKey(o.place, o.modes, m.key, secure)
		report(m.pos, path, what, remedy)
	}
}

// checkDefaults checks the values in o that are only defaults for inner objects,
// because there may be no inner object that uses them. Defaults of
// the process are decoded by process.
func (o object) checkDefaults() {
	for i := range o.node.members {
		m := &o.node.members[i]
		takesAway := m.value.kind == kindNull && o.inherited(m.key) != nil
		if k := o.place.key(m.key); k != nil && k.of != o.place.level && k.of != ofProcess && !m.repeated && !takesAway {
			k.form.decode(o, &m.value, keyPath(o.path, m.key))
		}
	}
}

// member returns the member that applies in o for the key with that name, which may
// be inherited, and its path; nil if there is none.
func (o object) member(name string) (*member, string) {
	m, in := o.find(name)
	return m, keyPath(in, name)
}

// find is member with the path of the object that contains m.
func (o *object) find(name string) (m *member, in string) {
	at := o
	for {
		if m := at.node.get(name); m != nil {
			if m.value.kind != kindNull || !at.place.isSection() && at.inherited(name) == nil {
				return m, at.path
			}
			return nil, at.path // null removes what outer objects have
		}
		for i := range at.beside {
			if m := at.beside[i].node.get(name); m != nil {
				return m, at.beside[i].path
			}
		}
		from := at.inherited(name)
		if from == nil {
			return nil, at.path
		}
		at = from
	}
}

// inherited returns the nearest outer object that has the key with that name as a
// default for o, or nil.
func (o *object) inherited(name string) *object {
	if o.place == nil || o.outer == nil {
		return nil
	}
	k := o.place.key(name)
	for from := o.outer; from != nil; from = from.outer {
		if k == nil || !from.place.has(k) {
			return nil
		}
		if from.node.get(name) != nil {
			return from
		}
	}
	return nil
}

// says reports whether o, or any object that it inherits the key with that name
// from, has the key.
func (o *object) says(name string) bool { return o.node.get(name) != nil || o.inherited(name) != nil }

// child returns the value of member, or nil, and its path.
func (o object) child(name string) (*node, string) {
	m, path := o.member(name)
	if m == nil {
		return nil, path
	}
	return &m.value, path
}

// merged calls each for the members of the object called name, over all levels from
// the outermost inward; later members replace earlier ones or, if
// they are null, remove them. A value that is not an object is reported, with
// example.
func (o object) merged(name, example string, each func(m *member, path string)) {
	if o.outer != nil && o.place != nil {
		if k := o.place.key(name); k != nil && o.outer.place.has(k) {
			o.outer.merged(name, example, each)
		}
	}
	m := o.node.get(name)
	if m == nil {
		return
	}
	path := keyPath(o.path, name)
	if m.value.kind != kindObject {
		o.fail(&m.value, path, "must be an object, not "+m.value.describe(), "write "+example)
		return
	}
	for i := range m.value.members {
		if inner := &m.value.members[i]; !inner.repeated {
			each(inner, keyPath(path, inner.key))
		}
	}
}

// value decodes the value that applies for the key with that name.
func (o object) value(name string) any { return o.valueOf(o.place.key(name)) }

func (o object) text(name string) string            { return o.value(name).(string) }
func (o object) boolean(name string) bool           { return o.value(name).(bool) }
func (o object) integer(name string) int64          { return o.value(name).(int64) }
func (o object) duration(name string) time.Duration { return o.value(name).(time.Duration) }

// fill decodes the keys of level l that apply in o.
func (o object) fill(l level, t *target) {
	for _, k := range o.place.keys {
		if k.of == l && k.into != nil {
			assign(k.into(t), o.valueOf(k))
		}
	}
}

func (o object) valueOf(k *key) any {
	if m, in := o.find(k.name); m != nil {
		return k.form.decode(o, &m.value, keyPath(in, k.name))
	}
	return k.form.fallback()
}

// require reports a key that is missing or is an empty string; it returns whether the key is good.
func (o object) require(key, why, example string) bool {
	n, path := o.child(key)
	if why != "" {
		why = ", and " + why
	}
	switch {
	case n == nil:
		o.fail(o.node, keyPath(o.path, key), "it is missing"+why, "add "+quote(key)+": "+example)
	case n.kind == kindString && n.text() == "":
		o.fail(n, path, "it is empty"+why, "write "+example)
	default:
		return true
	}
	return false
}

// array returns the elements of n, which should be an array such as example.
func (o object) array(n *node, path, example string) []node {
	if n.kind != kindArray {
		o.fail(n, path, "must be an array, not "+n.describe(), "write "+example)
		return nil
	}
	return n.elements
}

// texts calls each for a string, or for each string of an array.
func (o object) texts(n *node, path, example string, each func(n *node, path, s string)) {
	list := []node{*n}
	switch n.kind {
	case kindArray:
		if list = n.elements; len(list) == 0 {
			o.fail(n, path, "there is nothing in it", "write "+example+", or remove it")
		}
	case kindString:
	default:
		o.fail(n, path, "must be a string or an array of strings, not "+n.describe(), "write "+example)
		return
	}
	for i := range list {
		at := path
		if n.kind == kindArray {
			at = indexPath(path, i)
		}
		e := &list[i]
		if e.kind != kindString {
			o.fail(e, at, "must be a string, not "+e.describe(), "write "+example)
			continue
		}
		each(e, at, e.text())
	}
}

// splitAddress splits "name:port" if port is all digits; otherwise port is "".
func splitAddress(s string) (name, port string) {
	i := strings.LastIndexByte(s, ':')
	if i < 0 || s[i+1:] == "" || len(s[i+1:]) > 5 || strings.Trim(s[i+1:], "0123456789") != "" {
		return s, ""
	}
	return s[:i], s[i+1:]
}
