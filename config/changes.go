package config

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/goccy/go-json"
)

// maxChanges bounds how many changes are listed.
const maxChanges = 1000

// Changes describes how after differs from before, one change per line: what was
// added, removed and changed of the process, of servers with their
// listening sockets and routes, of groups with their hosts, and of PEM files. Of a
// value that may be secret it says only that it has changed. The
// result is not nil.
func Changes(before, after *Config) []string {
	c := &changes{lines: []string{}, said: make(map[string]bool)}
	for _, d := range differences(before, after) {
		c.add("changed " + d)
	}
	if !slices.EqualFunc(before.Admin, after.Admin, Admin.same) {
		c.add("changed admin")
	}
	c.servers(before.Servers, after.Servers)
	c.groups(before.Groups, after.Groups)
	c.contents(before.files, after.files)
	if more := len(c.lines) - maxChanges; more > 0 {
		c.lines = append(c.lines[:maxChanges], fmt.Sprintf("and %d more", more))
	}
	return c.lines
}

// changes collects the lines.
type changes struct {
	lines []string
	said  map[string]bool
}

// add adds a line unless it is there already: something with several uses changes in all of them.
func (c *changes) add(line string) {
	if !c.said[line] {
		c.said[line] = true
		c.lines = append(c.lines, line)
	}
}

func (c *changes) servers(before, after []*Server) {
	p := match(before, after,
		func(s *Server) string { return s.Mode.String() + " " + s.givenName() },
		func(s *Server) string { return s.Mode.String() + " " + s.listenKeys() },
		func(s *Server) string { return s.Path })
	for _, i := range p.removed {
		c.add("removed server " + shorten(before[i].Name, 80) + ", " + before[i].where())
	}
	for i, was := range p.was {
		if s := after[i]; was < 0 {
			c.add("added server " + shorten(s.Name, 80) + ", " + s.where())
		} else {
			c.server(before[was], s)
		}
	}
}

// givenName returns the name of s in the file; "" if there is none.
func (s *Server) givenName() string {
	if s.Name == s.Path {
		return ""
	}
	return s.Name
}

// listenKeys identifies the set of s's listeners.
func (s *Server) listenKeys() string {
	keys := make([]string, len(s.Listen))
	for i, l := range s.Listen {
		keys[i] = l.Key()
	}
	slices.Sort(keys)
	return strings.Join(keys, ", ")
}

// where describes where s listens, for messages.
func (s *Server) where() string {
	all := make([]string, len(s.Listen))
	for i, l := range s.Listen {
		all[i] = l.String()
	}
	return "on " + strings.Join(all, ", ")
}

func (c *changes) server(before, after *Server) {
	name := "server " + shorten(after.Name, 80)
	all := differences(before, after)
	routes := match(before.Routes, after.Routes, Route.givenName, Route.matchText, func(r Route) string { return r.Path })
	if before.onlyRoute() && after.onlyRoute() {
		all = append(all, missing(all, before.Routes[0].differences(&after.Routes[0]))...)
		routes = matching{}
	}
	if before.Name != after.Name && (before.givenName() != "" || after.givenName() != "") {
		all = append(all, "name "+quote(before.givenName())+" -> "+quote(after.givenName()))
	}
	if len(all) > 0 {
		c.add("changed " + name + ": " + strings.Join(all, ", "))
	}
	c.listeners(name, before.Listen, after.Listen)

	for _, i := range routes.removed {
		c.add("removed route " + shorten(before.Routes[i].Name, 80) + " of " + name)
	}
	var same equalChanges
	for i, was := range routes.was {
		if was < 0 {
			c.add("added route " + shorten(after.Routes[i].Name, 80) + " of " + name)
		} else {
			r := &after.Routes[i]
			same.add(shorten(r.Name, 80), missing(all, before.Routes[was].differences(r)))
		}
	}
	same.tell(c, "route", "routes", " of "+name)
	if routes.reordered() {
		c.add("changed " + name + ": order of routes")
	}
}

// onlyRoute reports whether s has no "routes", so that its own keys are its only route.
func (s *Server) onlyRoute() bool { return len(s.Routes) == 1 && s.Routes[0].Path == s.Path }

func (c *changes) listeners(of string, before, after []Listen) {
	p := match(before, after, Listen.Key)
	for _, i := range p.removed {
		c.add("removed listener on " + before[i].String() + " of " + of)
	}
	for i, was := range p.was {
		if l := after[i]; was < 0 {
			c.add("added listener on " + l.String() + " of " + of)
		} else if d := differences(&before[was], &l); len(d) > 0 {
			c.add("changed listener on " + l.String() + " of " + of + ": " + strings.Join(d, ", "))
		}
	}
}

// givenName returns the name of r in the file; "" if there is none.
func (r Route) givenName() string {
	if r.Name == r.Path {
		return ""
	}
	return r.Name
}

// matchText returns a text that identifies r's conditions.
func (r Route) matchText() string {
	if r.Match == nil {
		return "everything"
	}
	text, err := json.Marshal(r.Match)
	if err != nil {
		panic("config: a match is not JSON: " + err.Error()) // cannot happen: it is made of strings, numbers and the like
	}
	return string(text)
}

// differences describes how after differs from r.
func (r Route) differences(after *Route) []string {
	all := differences(&r, after)
	if was, is := targets(r.To), targets(after.To); was != is {
		all = append([]string{"proxy_to " + was + " -> " + is}, all...)
	}
	return all
}

// targets describes the targets of a route, for messages.
func targets(to []Target) string {
	if len(to) == 0 {
		return "none"
	}
	all := make([]string, len(to))
	for i, t := range to {
		all[i] = quote(t.Group.Name)
		if len(to) > 1 {
			all[i] += " by " + strconv.Itoa(t.Weight)
		}
	}
	return strings.Join(all, " and ")
}

func (c *changes) groups(before, after []*Group) {
	p := match(before, after, func(g *Group) string { return g.Path + " " + g.text() }, func(g *Group) string { return g.Path }, func(g *Group) string { return g.Name })
	names := make(map[string]string) // path of the group with that name; "" if there are several
	for _, g := range slices.Concat(before, after) {
		if path, ok := names[g.Name]; ok && path != g.Path {
			names[g.Name] = ""
		} else if !ok {
			names[g.Name] = g.Path
		}
	}
	called := func(g *Group) string {
		if names[g.Name] == "" {
			return shorten(g.Path, 80) // the name is ambiguous
		}
		return shorten(g.Name, 80)
	}
	kept := make(map[string]bool)
	for i, was := range p.was {
		if was >= 0 {
			kept[before[was].Path], kept[after[i].Path] = true, true
		}
	}
	for _, i := range p.removed {
		if !kept[before[i].Path] {
			c.add("removed group " + called(before[i]) + " with " + hostCount(len(before[i].Hosts)))
		}
	}
	var same equalChanges
	for i, was := range p.was {
		g := after[i]
		switch {
		case was >= 0:
			same.add(called(g), differences(before[was], g))
			c.hosts(called(g), before[was].Hosts, g.Hosts)
		case !kept[g.Path]:
			c.add("added group " + called(g) + " with " + hostCount(len(g.Hosts)))
		}
	}
	same.tell(c, "group", "groups", "")
}

func hostCount(n int) string {
	if n == 1 {
		return "1 host"
	}
	return strconv.Itoa(n) + " hosts"
}

func (c *changes) hosts(group string, before, after []Host) {
	p := match(before, after, func(h Host) string { return h.Place() + " " + h.Alias }, Host.Place)
	for _, i := range p.removed {
		c.add("removed host " + group + "/" + before[i].Place())
	}
	var same equalChanges
	for i, was := range p.was {
		if h := after[i]; was < 0 {
			c.add("added host " + group + "/" + h.Place())
		} else {
			same.add(group+"/"+h.Place(), differences(&before[was], &h))
		}
	}
	same.tell(c, "host", "hosts", "")
	if p.reordered() {
		c.add("changed group " + group + ": order of hosts")
	}
}

// contents reports the PEM files in both whose contents differ.
func (c *changes) contents(before, after Files) {
	var paths []string
	for path, content := range after {
		if was, ok := before[path]; ok && string(was) != string(content) {
			paths = append(paths, path)
		}
	}
	slices.Sort(paths)
	for _, path := range paths {
		c.add("changed content of " + shorten(path, 80))
	}
}

// equalChanges collects things that have changed in the same way.
type equalChanges struct {
	ways  []string
	names map[string][]string // by the change
}

// fewAlike is how many such things are named individually.
const fewAlike = 4

func (a *equalChanges) add(name string, differences []string) {
	if len(differences) == 0 {
		return
	}
	way := strings.Join(differences, ", ")
	if a.names[way] == nil {
		a.ways = append(a.ways, way)
		if a.names == nil {
			a.names = make(map[string][]string)
		}
	}
	a.names[way] = append(a.names[way], name)
}

// tell adds a line for each thing with a certain change, or one line for all of them if there are many.
func (a *equalChanges) tell(c *changes, one, many, of string) {
	for _, way := range a.ways {
		names := a.names[way]
		if n := len(names); n > fewAlike {
			c.add(fmt.Sprintf("changed %d %s%s (%s to %s): %s", n, many, of, names[0], names[n-1], way))
			continue
		}
		for _, name := range names {
			c.add("changed " + one + " " + name + of + ": " + way)
		}
	}
}

// missing returns those of lines that are not in all.
func missing(all, lines []string) []string {
	return slices.DeleteFunc(slices.Clone(lines), func(l string) bool { return slices.Contains(all, l) })
}

// matching pairs the elements of two lists.
type matching struct {
	was     []int // for each element of the second list, its index in the first; -1 if it is not there
	removed []int // indexes of elements of the first list that are not in the second
}

// match pairs elements that are equal by the first key, then the remaining ones
// that are equal by the second key, and so on. Elements with the same
// key are paired in order. A key that is empty or ends in a space pairs nothing.
func match[T any](before, after []T, keys ...func(T) string) (m matching) {
	taken := make([]bool, len(before))
	m.was = make([]int, len(after))
	for i := range m.was {
		m.was[i] = -1
	}
	for _, key := range keys {
		at := make(map[string][]int)
		for i := range before {
			if k := key(before[i]); !taken[i] && k != "" && !strings.HasSuffix(k, " ") {
				at[k] = append(at[k], i)
			}
		}
		for i := range after {
			if m.was[i] >= 0 {
				continue
			}
			if k := key(after[i]); len(at[k]) > 0 {
				m.was[i], at[k] = at[k][0], at[k][1:]
				taken[m.was[i]] = true
			}
		}
	}
	for i := range before {
		if !taken[i] {
			m.removed = append(m.removed, i)
		}
	}
	return m
}

// reordered reports whether the elements that both lists have are in a different order.
func (m matching) reordered() bool {
	last := -1
	for _, was := range m.was {
		if was >= 0 && was < last {
			return true
		}
		last = max(last, was)
	}
	return false
}
