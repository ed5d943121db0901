package route

import (
	"slices"

	"kroxy-ev/config"
)

// Shadow is a route that no request reaches.
type Shadow struct {
	Route int // the index of the unreachable route
	By    int // the index of an earlier route that takes all its requests
}

// Check compiles routes like Compile, and finds routes that are unreachable because a single earlier route takes all their
// requests. It finds only cases that are evident from comparing the routes' keys one by one, and none where several earlier
// routes together take all requests. If there are problems, no shadows are returned.
func Check(routes []config.Route) (t *Table, shadows []Shadow, problems []Problem) {
	c := compile(routes)
	if len(c.problems) > 0 {
		return nil, nil, c.problems
	}
	for i, p := range c.parsed {
		by := i
		c.table.eachSuspect(p, func(suspect int) (stop bool) {
			if suspect < by && c.parsed[suspect].covers(p) {
				by = suspect
			}
			return suspect >= by
		})
		if by < i {
			shadows = append(shadows, Shadow{i, by})
		}
	}
	return c.table, shadows, nil
}

// eachSuspect calls f with the routes that match one of p's names and one of p's paths, which includes all routes that cover p.
// F returns true to skip later routes of the same pair.
func (t *Table) eachSuspect(p *patterns, f func(route int) (stop bool)) {
	ids := []int32{anyName}
	if len(p.hosts) > 0 {
		ids = t.hosts.appendIDs(ids, []byte(p.hosts[0]))
	}
	if len(p.snis) > 0 {
		ids = t.snis.appendIDs(ids, []byte(p.snis[0]))
	}
	for _, paths := range [][]string{{""}, p.exact, p.prefixes, p.directories} {
		if len(paths) == 0 {
			continue
		}
		t.eachPath([]byte(paths[0]), func(path int32) {
			for _, name := range ids {
				for _, i := range t.routes[pair{name, path}] {
					if f(int(i)) {
						break
					}
				}
			}
		})
	}
}

// covers reports whether p certainly takes all requests that q takes.
func (p *patterns) covers(q *patterns) bool {
	return coverNames(p.hosts, q.hosts) && coverNames(p.snis, q.snis) && p.coversPaths(q) && p.coversRest(q)
}

// coverNames reports whether patterns match all names that others match. An empty list matches all names.
func coverNames(patterns, others []string) bool {
	return len(patterns) == 0 || every(others, func(other string) bool {
		return slices.Contains(patterns, other) || anyTakesName(patterns, []byte(other))
	})
}

// every reports whether texts is not empty and ok holds for all of them.
func every(texts []string, ok func(string) bool) bool {
	return len(texts) > 0 && !slices.ContainsFunc(texts, func(s string) bool { return !ok(s) })
}

func (p *patterns) coversPaths(q *patterns) bool {
	below := func(path string) bool {
		return slices.ContainsFunc(p.prefixes, func(prefix string) bool { return hasPathPrefix(path, prefix) })
	}
	return (len(p.exact) == 0 || every(q.exact, func(path string) bool { return slices.Contains(p.exact, path) })) &&
		(len(p.prefixes) == 0 || every(q.exact, below) || every(q.prefixes, below)) &&
		(len(p.regexes) == 0 || every(q.exact, p.regexes.matchString) || every(q.regexes.texts(), func(s string) bool {
			return slices.Contains(p.regexes.texts(), s)
		}))
}

func (c regexes) matchString(path string) bool { return c.match([]byte(path)) }

func (c regexes) texts() (texts []string) {
	for _, re := range c {
		texts = append(texts, re.text)
	}
	return texts
}

// coversRest reports whether each condition of p follows from one of q.
func (p *patterns) coversRest(q *patterns) bool {
	follow := func(conditions, from []condition) bool {
		return !slices.ContainsFunc(conditions, func(c condition) bool {
			return !slices.ContainsFunc(from, func(d condition) bool { return follows(c, d) })
		})
	}
	return follow(p.quick, q.quick) && follow(p.slow, q.slow)
}

// follows reports whether c certainly holds whenever d does.
func follows(c, d condition) bool {
	switch c := c.(type) {
	case methods:
		d, ok := d.(methods)
		return ok && subset(d, c)
	case ports:
		d, ok := d.(ports)
		return ok && subset(d, c)
	case tls:
		return c == d
	case networks:
		d, ok := d.(networks)
		return ok && c.contain(d)
	case *headerField:
		d, ok := d.(*headerField)
		return ok && c.followsFrom(&d.value)
	case *argument:
		d, ok := d.(*argument)
		return ok && c.followsFrom(&d.value)
	case *cookie:
		d, ok := d.(*cookie)
		return ok && c.followsFrom(&d.value)
	}
	return false
}

func subset[T comparable](of, in []T) bool {
	return !slices.ContainsFunc(of, func(x T) bool { return !slices.Contains(in, x) })
}

// contain reports whether each of others lies inside one of c's networks.
func (c networks) contain(others networks) bool {
	for _, other := range others {
		inside := false
		for _, n := range c {
			inside = inside || n.Bits() <= other.Bits() && n.Contains(other.Addr())
		}
		if !inside {
			return false
		}
	}
	return true
}

func (v *value) followsFrom(w *value) bool {
	switch {
	case v.name != w.name || v.absent != w.absent:
		return false
	case v.absent, v.pattern == nil && v.texts == nil:
		return true
	case w.pattern != nil:
		return v.pattern != nil && v.pattern.String() == w.pattern.String()
	case v.pattern != nil:
		return every(w.texts, v.pattern.MatchString)
	}
	return len(w.texts) > 0 && subset(w.texts, v.texts)
}
