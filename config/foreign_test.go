package config

import (
	"slices"
	"strings"
	"testing"

	"kroxy-ev/logformat"
)

// Words of other programs lead to existing keys, and are not keys of ours where they are explained.
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
		{`{"http":{"access_log":"x"}}`, `f:1:10: http.access_log: unknown key "access_log" is ignored; here it is called "file_log"`},
		{`{"http":{"maxconn":5}}`, `f:1:10: http.maxconn: unknown key "maxconn" is ignored; here it is called "max_connections"`},
		{`{"http":{"servers":{"a":{"maxconn":5}}}}`, `f:1:26: http.servers.a.maxconn: unknown key "maxconn" is ignored; here it is called "max_conns"`},
		{`{"http":{"servers":{"a":{"hosts":[{"address":"10.0.0.1"}]}}}}`, `f:1:36: http.servers.a.hosts[0].address: unknown key "address" is ignored; here it is called "host"`},
		{`{"http":{"servers":{"a":{"hosts":[{"url":"http://10.0.0.1"}]}}}}`, `f:1:36: http.servers.a.hosts[0].url: unknown key "url" is ignored; here it is called "host"`},
		{`{"hosts":[],"http":{}}`, `f:1:2: hosts: unknown key "hosts" is ignored here; it belongs in a group in "servers"`},
		{`{"listen":[],"http":{}}`, `f:1:2: listen: unknown key "listen" is ignored here; it belongs in "http"`},
	} {
		_, warnings, _ := Parse("f", []byte(c.input))
		if len(warnings) != 1 || warnings[0].String() != c.want {
			t.Errorf("%s: got %v, want %s", c.input, warnings, c.want)
		}
	}
}

// Variables of nginx lead to ours; in "headers", where they are plain text, by a warning.
func TestForeignVariables(t *testing.T) {
	t.Parallel()
	for name, ours := range foreignVariables {
		if !logformat.Known(ours, logformat.HTTP) || logformat.Known(name, logformat.HTTP) {
			t.Errorf("$%s leads to $%s", name, ours)
		}
	}
	const rest = `,"proxy_to":"a","servers":{"a":{"hosts":[{"host":"h","port":1}]}}}}`
	_, warnings, err := Parse("f", []byte(`{"http":{"headers":{"X-Real-IP":"$remote_addr","X-Host":"$hostname $addr $x"}`+rest))
	want := `f:1:33: http.headers.X-Real-IP: "$remote_addr" is not a variable, so hosts get that text; here it is called "$client_addr"`
	if err != nil || len(warnings) != 1 || warnings[0].String() != want {
		t.Errorf("got %v, %v, want %s", warnings, err, want)
	}
	_, _, err = Parse("f", []byte(`{"http":{"request_headers":{"set":{"X-Real-IP":"$remote_addr"}}`+rest))
	want = `f:1:49: http.request_headers.set.X-Real-IP: unknown variable "$remote_addr"; here it is called "$client_addr"`
	if err == nil || !strings.HasPrefix(err.Error(), want) {
		t.Errorf("got %v, want %s", err, want)
	}
}

// In a match, words are interpreted as names of conditions.
func TestForeignMatch(t *testing.T) {
	t.Parallel()
	for word, ours := range map[string]string{"hosts": "host", "paths": "path", "headers": "header", "uri": "path", "hostname": "host"} {
		_, _, err := Parse("f", []byte(`{"http":{"routes":[{"match":{"`+word+`":["a"]},"proxy_to":"a"}],"servers":{"a":{"hosts":[{"host":"h","port":1}]}}}}`))
		want := `f:1:30: http.routes[0].match.` + word + `: unknown key "` + word + `" has no effect; here it is called "` + ours + `"`
		if err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%s: got %v, want %s", word, err, want)
		}
	}
}

// The schema's names distinguish all places.
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
