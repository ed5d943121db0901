package route

import "bytes"

// Table is a server's routes, compiled. It is not changed after Compile, and any number of loops may use it.
//
// A route is entered under each pair of a name's pattern and a path's pattern that it has. A request has few of either, however
// many routes there are: Find looks at the routes that its pairs have.
type Table struct {
	rules []rule // one for each route, in the order of the file

	hosts, snis       names
	asksHost, asksSNI bool

	places []place        // the tree of path segments; the root is the first
	steps  map[step]int32 // where a segment leads to

	routes map[pair][]int32 // indices into rules, ascending

	takesAll bool // the first route does
}

// rule is what is left to be asked about a request that the index has found for a route. All of it must hold.
type rule []condition

// step is from a place to the next by a segment.
type step struct {
	from    int32
	segment string
}

// place has the ids of patterns that end there; anyPath if there is none.
type place struct {
	exact  int32 // the path that ends here
	prefix int32 // that path and all below it
	below  int32 // all below it
}

// anyPath is the id of a pattern that is not there: every request has it.
const anyPath = 0

// pair is the id of a pattern for names and that of one for paths.
type pair struct{ name, path int32 }

// TakesAll reports whether the first route takes all requests, whatever they are. Then nothing of them need be found out.
func (t *Table) TakesAll() bool { return t.takesAll }

// Find returns the index of the first route in the order of the file that takes r, or -1 if none does.
func (t *Table) Find(r *Request) int {
	r.prepare(t)
	best := len(t.rules)
	t.eachPath(r.Path, func(path int32) { best = t.first(r, path, best) })
	if best == len(t.rules) {
		return -1
	}
	return best
}

// eachPath calls f with anyPath and the ids of all patterns that take path. It takes one step more than lead to a pattern, so
// a long path costs no more than a short one.
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

// first returns the first route before best that is entered under path and takes r, or best.
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
