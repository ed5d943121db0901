package config_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"kroxy-ev/config"
)

// groupB is a group for use in other objects.
const groupB = `"servers":{"b":{"hosts":[{"host":"h","port":1}]}}`

// The innermost level wins.
func TestLevels(t *testing.T) {
	t.Parallel()
	c, warnings := parse(t, `{
		"send_timeout": 1, "proxy_read_timeout": 1, "connect_timeout": 1, "resolve_timeout": 1, "keepalive_timeout": 1, "trusted_proxies": ["10.0.0.1"], "file_log": "f",
		"read_timeout": 1, "client_body_timeout": 7, "tcp_keepalive": "1s",
		"servers": { "b": { "hosts": [{ "host": "h", "port": 1 }], "resolve_timeout": 3 } },
		"http": [
			{ "port": 1, "name": "first", "proxy_read_timeout": 2, "connect_timeout": 2, "trusted_proxies": [],
			  "routes": [ { "proxy_to": "b", "name": "r", "proxy_read_timeout": 3 }, { "proxy_to": "b", "connect_timeout": 4, "client_body_timeout": null }, { "proxy_to": "b" } ] },
			{ "port": 2, "proxy_to": "b", "file_log": null, "tcp_keepalive": 0 }
		],
		"stream": { "port": 3, "proxy_to": "b", "connect_timeout": 2, "file_log": "g" }
	}`)
	var got []string
	say := func(format string, args ...any) { got = append(got, fmt.Sprintf(format, args...)) }
	ms := func(d time.Duration) int64 { return d.Milliseconds() }
	for _, s := range c.Servers {
		say("%s: send %d keepalive %d trusted %v log %q probe %v", s.Name, ms(s.Unrouted.SendTimeout), ms(s.KeepaliveTimeout), s.TrustedProxies, s.FileLog, s.Listen[0].TCPKeepalive)
		for _, r := range s.Routes {
			g := r.To[0].Group
			say("%s: send %d body %d read %d proxy_read %d connect %d resolve %d probe %v", r.Name,
				ms(r.SendTimeout), ms(r.ClientBodyTimeout), ms(r.ReadTimeout), ms(r.ProxyReadTimeout), ms(g.ConnectTimeout), ms(g.ResolveTimeout), g.TCPKeepalive)
		}
	}
	want := []string{
		`first: send 1 keepalive 1 trusted [] log "f" probe 1s`,
		`r: send 1 body 7 read 0 proxy_read 3 connect 2 resolve 3 probe 1s`,
		`http[0].routes[1]: send 1 body 60000 read 0 proxy_read 2 connect 4 resolve 3 probe 1s`,
		`http[0].routes[2]: send 1 body 7 read 0 proxy_read 2 connect 2 resolve 3 probe 1s`,
		`http[1]: send 1 keepalive 1 trusted [10.0.0.1/32] log "" probe 0s`,
		`http[1]: send 1 body 7 read 0 proxy_read 1 connect 1 resolve 3 probe 0s`,
		`stream: send 1 keepalive 0 trusted [] log "g" probe 1s`,
		`stream: send 1 body 0 read 1 proxy_read 1 connect 2 resolve 3 probe 1s`,
	}
	if !slices.Equal(got, want) || len(warnings) > 0 {
		t.Errorf("got\n%s\nwant\n%s\nwarnings %v", strings.Join(got, "\n"), strings.Join(want, "\n"), warnings)
	}
	// There is one Group per distinct use: the first and the third route use it alike.
	first := c.Servers[0].Routes
	if len(c.Groups) != 4 || first[0].To[0].Group != first[2].To[0].Group || first[0].To[0].Group == first[1].To[0].Group {
		t.Errorf("there are %d groups", len(c.Groups))
	}
}

// Objects are merged key by key.
func TestHeaderLevels(t *testing.T) {
	t.Parallel()
	c, _ := parse(t, `{
		"headers": { "A": "file", "B": "file", "C": "file" },
		"request_headers": { "remove": ["X"], "add": { "L": "file" } },
		"rewrite": { "add_prefix": "/file", "query": "q" },
		"http": {
			"headers": { "a": "server", "D": "server" },
			"request_headers": { "set": { "D": "server's set", "E": "server" } },
			"routes": [
				{ "proxy_to": "b", "headers": { "C": null }, "request_headers": { "set": { "B": "route" }, "add": { "L": null, "M": "route" }, "remove": ["Y", "Z"] },
				  "rewrite": { "strip_prefix": "/a", "query": null } },
				{ "proxy_to": "b", "rewrite": null, "response_headers": { "set": { "S": "$status" } } }
			]
		}, `+groupB+`}`)
	want := []string{
		`{[{a server true} {D server's set false} {E server false} {B route false}] [{M route false}] [Y Z]} {[] [] []} &{/a /file   false}`,
		`{[{B file true} {C file true} {a server true} {D server's set false} {E server false}] [{L file false}] [X]} {[{S $status false}] [] []} <nil>`,
	}
	for i, r := range c.Servers[0].Routes {
		rewrite := "<nil>"
		if r.Rewrite != nil {
			rewrite = fmt.Sprintf("&%v", *r.Rewrite)
		}
		if got := fmt.Sprintf("%v %v %s", r.RequestHeaders, r.ResponseHeaders, rewrite); got != want[i] {
			t.Errorf("got\n%s\nwant\n%s", got, want[i])
		}
	}
}

// An error is reported once, wherever the value applies; errors in unused values are reported too.
func TestLevelErrors(t *testing.T) {
	t.Parallel()
	checkOutcomes(t, []outcomeCase{
		{`{"send_timeout":-1,"max_body_size":"x","http":[{"port":1,"proxy_to":"b"},{"port":2,"proxy_to":"b","send_timeout":2,"max_body_size":1}],` + groupB + `}`,
			`f:1:17: send_timeout: -1 is negative; write whole milliseconds, such as 60000, a time with a unit, such as "1.5s", or 0 for no limit
f:1:36: max_body_size: "x" is not a size; the units are "KB", "MB", "GB", and "KiB", "MiB", "GiB"; write a number of bytes, a size with a unit, such as "10MB", or 0 for no limit`},
		{`{"keepalive_timeout":"x","stream":{"proxy_to":"b"},` + groupB + `}`,
			`f:1:22: keepalive_timeout: "x" is not a time; the units are "ms", "s", "m" and "h"; write whole milliseconds, such as 75000, a time with a unit, such as "1.5s", or 0 for no limit`},
		{`{"keepalive_timeout":"99999999h","send_timeout":"1hm","http":{"proxy_to":"b"},` + groupB + `}`,
			`f:1:22: keepalive_timeout: "99999999h" is longer than 100 years; write whole milliseconds, such as 75000, a time with a unit, such as "1.5s", or 0 for no limit
f:1:49: send_timeout: "1hm" is not a time; the units are "ms", "s", "m" and "h"; write whole milliseconds, such as 60000, a time with a unit, such as "1.5s", or 0 for no limit`},
		{`{"send_timeout":1,"http":{"send_timeout":null,"proxy_to":"b"},` + groupB + `}`, ``},
		{`{"workers_num":2,"http":[{"port":1,"workers_num":2,"proxy_to":"b"},{"port":2,"proxy_to":"b"}],` + groupB + `}`, ``},
		{`{"http":[{"port":1,"workers_num":2,"proxy_to":"b"},{"port":2,"workers_num":3,"proxy_to":"b"}],` + groupB + `}`,
			`f:1:76: http[1].workers_num: it differs from http[0].workers_num in f:1:34: a process has one "workers_num"; remove one of the two`},
		{`{"workers_num":null,"http":{"proxy_to":"b","workers_num":2},"stream":{"port":1,"proxy_to":"b","workers_num":0},` + groupB + `}`,
			`f:1:16: workers_num: must be a whole number, not null; remove the key to have the default, 1
f:1:109: stream.workers_num: 0 is outside 1-4096; write a number of processes from 1 to 4096`},
		{`{"http":{"proxy_to":"b","servers":null},` + groupB + `}`,
			`f:1:35: http.servers: must be an object, not null; write an object: { "backend": { "hosts": [{ "host": "127.0.0.1", "port": 9001 }] } }`},
		{`{"http":{"proxy_to":"b","headers":{"A":null},"read_timeout":null},` + groupB + `}`,
			`W f:1:46: http.read_timeout: "read_timeout" is ignored: it is a key of "stream" only; "http" has "client_header_timeout" or "client_body_timeout"
f:1:40: http.headers.A: must be a string, not null; write a string in double quotes`},
		{`{"http":{"proxy_to":"b","servers":{"b":{"hosts":[{"host":"h","port":1}]}}},"servers":{"b":{"hosts":[{"host":"other","port":1}]}}}`,
			`W f:1:91: servers.b: no route uses this group; remove it, or name it in "proxy_to"`},
		{`{"balancing_algo":"host","http":{"port":1,"proxy_to":"b"},"stream":{"port":2,"proxy_to":"b"},` + groupB + `}`,
			`f:1:19: balancing_algo: "host" chooses by the Host of an HTTP request, and "stream" has none; write "round_robin", "first", "least_conn", "random_two", "least_time", "hash", "ip_hash" or "sni"`},
	})
}

// The process uses what the file or any of its servers says.
func TestProcessLevels(t *testing.T) {
	t.Parallel()
	for _, in := range []string{
		`{"workers_num":7,"pid_file":"p","http":{"proxy_to":"b"},` + groupB + `}`,
		`{"http":{"workers_num":7,"pid_file":"p","proxy_to":"b"},` + groupB + `}`,
		`{"http":[{"port":1,"proxy_to":"b"},{"port":2,"workers_num":7,"proxy_to":"b"}],"stream":{"pid_file":"p","port":3,"proxy_to":"b"},` + groupB + `}`,
	} {
		c, _ := parse(t, in)
		if want := (config.Process{WorkersNum: 7, PIDFile: "p", ShutdownTimeout: 8 * time.Second, WatchdogTimeout: 10 * time.Second}); c.Process != want {
			t.Errorf("%s: %+v", in, c.Process)
		}
		if p := c.Problem(c.PathOf(nil, "workers_num"), "w", "r"); !strings.HasSuffix(p.Path, "workers_num") || in[p.Column-1] != '7' {
			t.Errorf("%s: %v", in, p)
		}
	}
}
