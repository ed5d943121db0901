package route

import (
	"regexp"
	"regexp/syntax"
	"slices"
	"strings"

	"kroxy-ev/config"
)

// pathRegex is a regular expression for whole paths.
type pathRegex struct {
	text      string         // as it is configured
	directory string         // what all paths begin with that it matches, up to a slash; "" if it leaves that open
	rest      *regexp.Regexp // matches all of what follows. Most routes that are made by a rule have this in common
}

func (p *pathRegex) matches(path []byte) bool {
	n := len(p.directory)
	return len(path) >= n && string(path[:n]) == p.directory && p.rest.Match(path[n:])
}

// programs are the regular expressions of a table. A compiled one takes some kilobytes, so what several routes have is compiled once.
type programs map[string]*regexp.Regexp

func (p programs) compile(e *syntax.Regexp) (*regexp.Regexp, error) {
	text := e.String()
	if re := p[text]; re != nil {
		return re, nil
	}
	re, err := regexp.Compile(text)
	if err == nil {
		p[text] = re
	}
	return re, err
}

// path compiles a regular expression for whole paths.
func (p programs) path(s string) (*pathRegex, error) {
	e, err := parseWhole(s)
	if err != nil {
		return nil, err
	}
	directory := cutDirectory(e)
	rest, err := p.compile(e)
	return &pathRegex{s, directory, rest}, err
}

// value compiles a regular expression for whole values.
func (p programs) value(s string) (*regexp.Regexp, error) {
	e, err := parseWhole(s)
	if err != nil {
		return nil, err
	}
	return p.compile(e)
}

// whole is the text of a regular expression that matches what all of s matches. A dot matches a line's end too: values of arguments are decoded, and must not
// get past a rule by that.
func whole(s string) string { return `\A(?s:` + s + `)\z` }

// parseWhole parses whole(s). It has no groups: nobody asks what they match.
func parseWhole(s string) (*syntax.Regexp, error) {
	if _, err := syntax.Parse(s, syntax.Perl); err != nil { // which counts parentheses of its own
		return nil, err
	}
	e, err := syntax.Parse(whole(s), syntax.Perl)
	if err != nil {
		return nil, err
	}
	// What groups kept apart is one literal when it is parsed again.
	return syntax.Parse(withoutGroups(e).String(), syntax.Perl)
}

func withoutGroups(e *syntax.Regexp) *syntax.Regexp {
	for e.Op == syntax.OpCapture {
		e = e.Sub[0]
	}
	for i, sub := range e.Sub {
		e.Sub[i] = withoutGroups(sub)
	}
	return e
}

// cutDirectory takes the text up to a slash away that e begins with, if there is one.
func cutDirectory(e *syntax.Regexp) string {
	if e.Op != syntax.OpConcat {
		return ""
	}
	i := slices.IndexFunc(e.Sub, func(sub *syntax.Regexp) bool { return sub.Op != syntax.OpBeginText })
	if i <= 0 || e.Sub[i].Op != syntax.OpLiteral || e.Sub[i].Flags&syntax.FoldCase != 0 || slices.ContainsFunc(e.Sub[i:], asksForBeginning) {
		return ""
	}
	literal := string(e.Sub[i].Rune)
	n := strings.LastIndexByte(literal, '/') + 1
	if n == 0 || literal[0] != '/' {
		return ""
	}
	e.Sub[i].Rune = []rune(literal[n:])
	if n == len(literal) {
		e.Sub = slices.Delete(e.Sub, i, i+1)
	}
	return literal[:n]
}

// asksForBeginning reports whether e may ask whether a text or a line begins where it stands: behind a directory none does. What it asks of words is the
// same there: a slash is in none.
func asksForBeginning(e *syntax.Regexp) bool {
	return e.Op == syntax.OpBeginText || e.Op == syntax.OpBeginLine || slices.ContainsFunc(e.Sub, asksForBeginning)
}

// Regexes compiles the regular expressions of a route for paths, each for whole paths and with its groups; nil if it has none. They are right: the
// route was compiled.
func Regexes(r *config.Route) []*regexp.Regexp {
	if r.Match == nil {
		return nil
	}
	var list []*regexp.Regexp
	for _, s := range r.Match.PathRegex {
		list = append(list, regexp.MustCompile(whole(s)))
	}
	return list
}
