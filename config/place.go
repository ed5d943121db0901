package config

import "slices"

// place is a kind of object in a file, and its keys.
type place struct {
	name   string // for "... belongs in <name>"
	level  level
	modes  modes
	strict bool // existing files do not have such objects, so unknown keys are errors

	// Filled in by declare.
	keys   []*key
	byName map[string]*key // the first key with each name
	bit    uint64          // its bit in sets of places
}

// places are all places, in the order in which remedies name them.
var places = []*place{
	{name: "the file's top level", level: ofFile, modes: inBoth},
	{name: `"stream"`, level: ofServer, modes: inStream},
	{name: `"http"`, level: ofServer, modes: inHTTP},
	{name: "a route", level: ofRoute, modes: inStream, strict: true},
	{name: "a route", level: ofRoute, modes: inHTTP, strict: true},
	{name: `a group in "servers"`, level: ofGroup, modes: inBoth},
	{name: `an entry of "hosts"`, level: ofHost, modes: inBoth},
	{name: `an entry of "certificates"`, level: ofCertificate, modes: inBoth, strict: true},
	{name: `an entry of "listen"`, level: ofListen, modes: inStream, strict: true},
	{name: `an entry of "listen"`, level: ofListen, modes: inHTTP, strict: true},
	{name: `"match"`, level: ofMatch, modes: inStream, strict: true},
	{name: `"match"`, level: ofMatch, modes: inHTTP, strict: true},
	{name: "a value to match", level: ofField, modes: inBoth, strict: true},
	{name: `an entry of "proxy_to"`, level: ofTarget, modes: inBoth, strict: true},
	{name: `"redirect"`, level: ofRedirect, modes: inHTTP, strict: true},
	{name: `"respond"`, level: ofRespond, modes: inHTTP, strict: true},
	{name: `"rewrite"`, level: ofRewrite, modes: inHTTP, strict: true},
	{name: `"request_headers" or "response_headers"`, level: ofEdits, modes: inHTTP, strict: true},
	{name: `"health_check"`, level: ofHealthCheck, modes: inBoth, strict: true},
	{name: `"passive_check"`, level: ofPassiveCheck, modes: inBoth, strict: true},
	{name: `"queue"`, level: ofQueue, modes: inBoth, strict: true},
	{name: `"retry"`, level: ofRetry, modes: inBoth, strict: true},
	{name: `"sticky"`, level: ofSticky, modes: inHTTP, strict: true},
	{name: `"http2"`, level: ofHTTP2, modes: inHTTP, strict: true},
	{name: `"resolver"`, level: ofResolver, modes: inBoth, strict: true},
	{name: `"log_if"`, level: ofLogIf, modes: inBoth, strict: true},
	{name: `"syslog"`, level: ofSyslog, modes: inBoth, strict: true},
	{name: `"tracing"`, level: ofTracing, modes: inBoth, strict: true},
	{name: `"admin"`, level: ofAdmin, modes: inBoth, strict: true},
	{name: `an entry of "listen" in "admin"`, level: ofAdminListen, modes: inBoth, strict: true},
}

// declare completes the table and gives each place its keys.
func declare(table []key) []*key {
	for i, p := range places {
		p.byName, p.bit = make(map[string]*key), 1<<i
		for _, m := range []modes{inHTTP, inStream, inBoth} {
			if p.modes&m != 0 && placeBy[p.level][m] == nil {
				placeBy[p.level][m] = p
			}
		}
	}
	list := make([]*key, len(table))
	for i := range table {
		k := &table[i]
		if k.modes == 0 {
			k.modes = inBoth
		}
		if k.upTo == own {
			k.upTo = k.of
		}
		list[i] = k
		for _, p := range places {
			if k.modes&p.modes != 0 && k.mayStandIn(p.level) {
				p.keys = append(p.keys, k)
				k.places |= p.bit
				if p.byName[k.name] == nil {
					p.byName[k.name] = k
				}
			}
		}
	}
	return list
}

// mayStandIn reports whether k may be in an object of level l.
func (k *key) mayStandIn(l level) bool {
	switch {
	case l == k.of, l == k.upTo:
		return true
	case k.of == ofProcess:
		return l == ofFile || l == ofServer
	case l <= k.upTo || l >= k.of:
		return false
	case l == ofServer:
		return true
	default: // groups and hosts take defaults from routes; listeners do not
		return (k.of == ofGroup || k.of == ofHost) && (l == ofRoute || l == ofGroup)
	}
}

// placeOf returns the place of a level in servers with modes m.
func placeOf(l level, m modes) *place { return placeBy[l][m] }

// placeBy are the places by level and modes.
var placeBy [levels][inBoth + 1]*place

// key returns the key in p with that name, or nil.
func (p *place) key(name string) *key { return p.byName[name] }

// has reports whether k may be in p.
func (p *place) has(k *key) bool { return k.places&p.bit != 0 }

// owns reports whether a key with that name belongs in p, and is not only a default
// for inner objects there.
func (p *place) owns(name string) bool {
	k := p.key(name)
	switch {
	case k == nil:
		return false
	case k.of == ofProcess:
		return true
	case p.level == ofServer:
		return k.of == ofServer || k.of == ofRoute // a server without routes is a route
	default:
		return k.of == p.level
	}
}

// names returns the distinct names of p's keys.
func (p *place) names() []string {
	var list []string
	for _, k := range p.keys {
		if !slices.Contains(list, k.name) {
			list = append(list, k.name)
		}
	}
	return list
}

// twin returns the place of the same level in servers of the other mode, or nil if p is for both.
func (p *place) twin() *place {
	for _, q := range places {
		if q.level == p.level && q != p {
			return q
		}
	}
	return nil
}
