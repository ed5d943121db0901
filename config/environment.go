package config

import (
	"bytes"
	"strings"
)

// reference is the pattern of strings that contain environment variables.
const reference = `\$\{`

// expand replaces the references to environment variables in the strings of n,
// which is at path. Comment keys are left alone.
func (d *decoder) expand(n *node, path lazyPath) {
	switch n.kind {
	case kindString:
		if bytes.IndexByte(n.raw, '$') < 0 && bytes.IndexByte(n.raw, '\\') < 0 {
			return
		}
		if s := text(n.raw); strings.Contains(s, "${") {
			expanded := d.replace(n, path.String(), s)
			n.expanded = &expanded
		}
	case kindObject:
		for i := range n.members {
			if m := &n.members[i]; !isComment(m.key) {
				d.expand(&m.value, append(path, step{m.key, isMember}))
			}
		}
	case kindArray:
		for i := range n.elements {
			d.expand(&n.elements[i], append(path, step{index: i}))
		}
	}
}

// replace returns s, the text of n, with the values of environment variables in
// place of "${NAME}" and "${NAME:-default}", and with "${" in
// place of "$${".
func (d *decoder) replace(n *node, path, s string) string {
	var b strings.Builder
	for {
		i := strings.Index(s, "${")
		if i < 0 {
			return b.String() + s
		}
		if i > 0 && s[i-1] == '$' {
			b.WriteString(s[:i-1] + "${")
			s = s[i+2:]
			continue
		}
		b.WriteString(s[:i])
		inside, rest, closed := strings.Cut(s[i+2:], "}")
		name, usual, hasDefault := strings.Cut(inside, ":-")
		if !closed || name == "" || strings.IndexFunc(name, func(r rune) bool { return !isWord(r) }) >= 0 || '0' <= name[0] && name[0] <= '9' {
			d.fail(n, path, quote(shorten(s[i:], 40))+" is not a reference to an environment variable", `write "${NAME}" or "${NAME:-default}", or "$${" for the text "${"`)
			d.spoilt[n.pos] = true
			return b.String()
		}
		if strings.Contains(usual, "${") {
			d.fail(n, path, "a reference within a reference: "+quote(shorten(s[i:], 40)), "write the default itself; it cannot contain variables")
			d.spoilt[n.pos] = true
			return b.String()
		}
		value, set := d.input.from.env(name)
		if set {
			if d.input.used.Env == nil {
				d.input.used.Env = map[string]string{}
			}
			d.input.used.Env[name] = value
		}
		switch {
		case value != "" || set && !hasDefault:
			b.WriteString(value)
		case hasDefault:
			b.WriteString(usual)
		default:
			d.fail(n, path, "the environment variable "+quote(name)+" is not set", "set it, or write "+quote("${"+name+":-default}"))
			d.spoilt[n.pos] = true
		}
		s = rest
	}
}
