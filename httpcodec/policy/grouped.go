package policy

import (
	"regexp"

	"kroxy-ev/logformat"
)

// grouped is a text that may have variables and groups of the route's path_regex, $1 to $9.
type grouped struct {
	pieces  []piece
	regexes []*regexp.Regexp // nil if the text has no group
}

// piece is a part of such a text: text with variables, or a group.
type piece struct {
	text  *logformat.Template
	group int
}

// grouped compiles the text of a key of a route with the given regular expressions.
func (p *problems) grouped(at, text string, regexes []*regexp.Regexp) *grouped {
	g := &grouped{}
	most := -1
	for _, re := range regexes {
		if n := re.NumSubexp(); most < 0 || n < most {
			most = n
		}
	}
	plain := func(s string) {
		if s != "" {
			g.pieces = append(g.pieces, piece{text: p.template(at, s, logformat.OnRequest)})
		}
	}
	from := 0
	for i := 0; i+1 < len(text); i++ {
		if text[i] != '$' || text[i+1] < '1' || text[i+1] > '9' {
			continue
		}
		group := int(text[i+1] - '0')
		switch {
		case most < 0:
			p.add(at, "$"+text[i+1:i+2]+" is a group of path_regex, which the route does not have", `write a "path_regex" in "match"`)
		case group > most:
			p.add(at, "path_regex has no group for $"+text[i+1:i+2], "put it in parentheses there")
		}
		plain(text[from:i])
		g.pieces, g.regexes = append(g.pieces, piece{group: group}), regexes
		from = i + 2
	}
	plain(text[from:])
	return g
}

// append appends the text for a request. Normal is its path in normal form. It allocates only to grow dst, unless there are groups.
func (g *grouped) append(dst, normal []byte, r *logformat.Record) []byte {
	var groups []int
	for _, re := range g.regexes {
		if groups = re.FindSubmatchIndex(normal); groups != nil {
			break
		}
	}
	for _, p := range g.pieces {
		switch {
		case p.group == 0:
			dst = p.text.Append(dst, r)
		case 2*p.group+1 < len(groups) && groups[2*p.group] >= 0:
			dst = append(dst, normal[groups[2*p.group]:groups[2*p.group+1]]...)
		}
	}
	return dst
}

// has reports whether the text has the given variable.
func (g *grouped) has(name string) bool {
	for _, p := range g.pieces {
		if p.text != nil && p.text.Has(name) {
			return true
		}
	}
	return false
}

// need returns what a record must have.
func (g *grouped) need() (need logformat.Need) {
	for _, p := range g.pieces {
		if p.text != nil {
			need |= p.text.Need()
		}
	}
	return need
}
