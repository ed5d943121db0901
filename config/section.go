package config

// section is an object of settings that is merged over the levels, key by key:
// outer values are the defaults of inner ones. Most sections may be
// true, which means all defaults, or false, which means none.
type section struct {
	of       level
	written  string // the default for people
	example  string // how to write it
	switched bool   // true and false are allowed instead of an object
}

// state is the combined result of all levels for a section.
type state uint8

const (
	absent state = iota // no level has it
	off                 // the nearest level that has it says false
	on
)

// isSection reports whether p is for sections. A null there removes a value,
// whether outer levels have one or not.
func (p *place) isSection() bool { return p != nil && p.level >= ofHealthCheck }

func (s section) fallback() any { return nil }
func (s section) spell() string { return s.written }

func (s section) schema(m modes) schema {
	if s.switched {
		return anyOf(ref(s.of, m), schema{"type": "boolean"}, schema{"type": "string", "pattern": reference})
	}
	return anyOf(ref(s.of, m))
}

// decode checks a section on its own, because there may be nothing that uses it.
func (s section) decode(o object, n *node, path string) any {
	if _, is := s.switches(n); is {
		return nil
	}
	if in, ok := s.object(o, n, path); ok {
		for i := range n.members {
			m := &n.members[i]
			if k := in.place.key(m.key); k != nil && !m.repeated && m.value.kind != kindNull {
				k.form.decode(in, &m.value, keyPath(path, m.key))
			}
		}
	}
	return nil
}

// switches reports whether n is a boolean in place of a section (is), and its value (yes).
func (s section) switches(n *node) (yes, is bool) {
	if !s.switched {
		return false, false
	}
	return isTrue(n)
}

// object returns n, which is at path, as an object of s, or reports that it is not one.
func (s section) object(o object, n *node, path string) (object, bool) {
	if n.kind != kindObject && s.switched {
		o.fail(n, path, "must be an object, true or false, not "+n.describe(), "write "+s.example+", true for the defaults, or false for none")
		return object{}, false
	}
	in, ok := o.object(n, path, s.of, s.example)
	if ok {
		in.unknown()
	}
	return in, ok
}

// section returns the merged object of o's levels for the key of a section. Without
// any, it is an object without members.
func (o object) section(key string) (in object, is state) {
	s := o.place.key(key).form.(section)
	none := object{decoder: o.decoder, node: &node{kind: kindObject, pos: o.node.pos}, path: keyPath(o.path, key), place: placeOf(s.of, o.modes), modes: o.modes}
	in = none
	if !o.says(key) {
		return in, absent
	}
	for _, at := range o.levels(key) {
		m := at.node.get(key)
		if m == nil {
			continue
		}
		path := keyPath(at.path, key)
		if yes, switches := s.switches(&m.value); switches && yes {
			is = on
			continue
		} else if switches {
			in, is = none, off
			continue
		}
		if m.value.kind == kindNull && is != absent {
			in, is = none, absent // removes what outer levels have
			continue
		}
		next, ok := s.object(o, &m.value, path)
		if !ok {
			continue
		}
		if at.modes == inStream && (at.place.level == ofServer || at.place.level == ofRoute) {
			next.onlyHTTP()
		}
		in, is = next.within(in), on
	}
	return in, is
}

// onlyHTTP warns of keys in o, a section in stream mode, that have no effect there.
func (o object) onlyHTTP() {
	for i := range o.node.members {
		m := &o.node.members[i]
		k, path := o.place.key(m.key), keyPath(o.path, m.key)
		switch {
		case k == nil:
		case k.modes == inHTTP:
			o.warn(m.pos, path, quote(m.key)+ignoredInStream, "remove it")
		case m.key == "on":
			o.onlyConnect(&m.value, path)
		}
	}
}

const ignoredInStream = ` is ignored: it is a key of "http" only`
