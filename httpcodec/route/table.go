package route

import "bytes"

// Table is the compiled form of a server's routes. It is immutable after Compile, and any number of loops may use it.
//
// A route is entered under each pair of a name pattern and a path pattern that it has. A request matches few patterns of either
// kind, however many routes there are. Find examines the routes that are entered under the pairs of the request's patterns.
type Table struct {
	rules []rule // one per route, in configuration order

	hosts, snis       names
	asksHost, asksSNI bool

	places []place        // the tree of path segments; the first is the root
	steps  map[step]int32 // where a segment leads

	routes map[pair][]int32 // indexes into rules, ascending

	takesAll bool // the first route takes all requests
}

// rule has the conditions of a route that the index does not check. All of them must hold.
type rule []condition

// step leads from a place to the next by a segment.
type step struct {
	from    int32
	segment string
}

// place has the ids of the patterns that end there; anyPath where there is none.
type place struct {
	exact  int32 // exactly the path of this place
	prefix int32 // that path and everything below it
	below  int32 // everything below it
}

// anyPath is the id for routes without a path pattern. Every request has it.
const anyPath = 0

// pair has the id of a name pattern and that of a path pattern.
type pair struct{ name, path int32 }

// TakesAll reports whether the first route takes every request. Then nothing about a request needs to be looked up.
func (t *Table) TakesAll() bool { return t.takesAll }

// Find returns the index of the first route in configuration order that takes r, or -1 if none does.
func (t *Table) Find(r *Request) int {
	r.prepare(t)
	best := len(t.rules)
	t.eachPath(r.Path, func(path int32) { best = t.first(r, path, best) })
	if best == len(t.rules) {
		return -1
	}
	return best
}

// eachPath calls f with anyPath and the ids of all patterns that match path. It stops one step after the last place that
// patterns have, so a long path costs no more than a short one.
func (t *Table) eachPath(path []byte, f func(id int32)) {
	f(anyPath)
	if len(path) == 0 || path[0] != '/' {
		return
	}
	at, rest := int32(0), path[1:]
	for {
		if id := t.places[at].below; id != anyPath {
			f(id)
		}
		segment, behind, more := bytes.Cut(rest, slash)
		next, known := t.steps[step{at, string(segment)}]
		if !known {
			return
		}
		at, rest = next, behind
		if id := t.places[at].prefix; id != anyPath {
			f(id)
		}
		if more {
			continue
		}
		if id := t.places[at].exact; id != anyPath {
			f(id)
		}
		return
	}
}

// first returns the first route before best that is entered under path and takes r, or else best.
func (t *Table) first(r *Request, path int32, best int) int {
	for _, name := range r.ids {
		for _, i := range t.routes[pair{name, path}] {
			if int(i) >= best {
				break
			}
			if t.rules[i].holds(r) {
				best = int(i)
				break
			}
		}
	}
	return best
}

func (rule rule) holds(r *Request) bool {
	for _, c := range rule {
		if !c.holds(r) {
			return false
		}
	}
	return true
}
