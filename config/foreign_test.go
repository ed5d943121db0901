package config

import (
	"slices"
	"strings"
	"testing"
)

// Words of other programs lead to keys that there are, and are none of ours where they are explained.
func TestForeignWords(t *testing.T) {
	t.Parallel()
	for word, ours := range foreign {
		for _, name := range strings.Fields(ours) {
			if !slices.ContainsFunc(places, func(p *place) bool { return p.owns(name) }) {
				t.Errorf("%s leads to %s, which is no key", word, name)
			}
			for _, p := range places {
				if p.key(word) != nil && p.owns(name) {
					t.Errorf("%s is a key of %s", word, p.name)
				}
			}
		}
	}
	for _, c := range []struct{ input, want string }{
		{`{"http":{"upstream":{}}}`, `f:1:10: http.upstream: unknown key "upstream" is ignored; here it is called "servers"`},
		{`{"upstream":{}}`, `f:1:2: upstream: unknown key "upstream" is ignored; here it is called "servers"`},
		{`{"http":{"server":{}}}`, `f:1:10: http.server: unknown key "server" is ignored; here it is called "servers"`},
		{`{"http":{"bind":":80"}}`, `f:1:10: http.bind: unknown key "bind" is ignored; here it is called "listen"`},
		{`{"http":{"reverse_proxy":"x"}}`, `f:1:10: http.reverse_proxy: unknown key "reverse_proxy" is ignored; here it is called "proxy_to"`},
		{`{"http":{"proxy_pass":"x"}}`, `f:1:10: http.proxy_pass: unknown key "proxy_pass" is ignored; here it is called "proxy_to"`},
		{`{"http":{"location":{}}}`, `f:1:10: http.location: unknown key "location" is ignored; here it is called "routes"`},
		{`{"http":{"server_name":"x"}}`, `f:1:10: http.server_name: unknown key "server_name" is ignored; here it is called "match", and belongs in a route`},
		{`{"worker_processes":4,"http":{}}`, `f:1:2: worker_processes: unknown key "worker_processes" is ignored; here it is called "workers_num"`},
		{`{"listen":[],"http":{}}`, `f:1:2: listen: unknown key "listen" is ignored here; it belongs in "http"`},
	} {
		_, warnings, _ := Parse("f", []byte(c.input))
		if len(warnings) != 1 || warnings[0].String() != c.want {
			t.Errorf("%s: got %v, want %s", c.input, warnings, c.want)
		}
	}
}

// Places are told apart by their names in the schema.
func TestPlaces(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for _, p := range places {
		if seen[p.id()] {
			t.Errorf("there are two %s", p.id())
		}
		if seen[p.id()] = true; len(p.keys) == 0 {
			t.Errorf("%s has no keys", p.name)
		}
	}
}
