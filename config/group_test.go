package config_test

import (
	"testing"

	"kroxy-ev/config"
)

func TestGroupErrors(t *testing.T) {
	t.Parallel()
	checkOutcomes(t, []outcomeCase{
		{`{"stream":{"proxy_to":"b"}}`,
			`f:1:11: stream.servers: it is missing: there is nothing to send traffic to; add "servers": { "backend": { "hosts": [{ "host": "127.0.0.1", "port": 9001 }] } }`},
		{`{"stream":{"proxy_to":"b","servers":{}}}`,
			`f:1:37: stream.servers: there are no groups in it; write { "backend": { "hosts": [{ "host": "127.0.0.1", "port": 9001 }] } }`},
		{`{"stream":{"proxy_to":"b","servers":[]}}`,
			`f:1:37: stream.servers: must be an object, not an array; write an object: { "backend": { "hosts": [{ "host": "127.0.0.1", "port": 9001 }] } }`},
		{`{"stream":{"proxy_to":"b","servers":{"b":5}}}`,
			`f:1:42: stream.servers.b: must be an object, not the number 5; write { "hosts": [{ "host": "127.0.0.1", "port": 9001 }] }`},
		{`{"stream":{"servers":{"b":5}}}`,
			`f:1:11: stream.proxy_to: it is missing; add "proxy_to": "b"
f:1:27: stream.servers.b: must be an object, not the number 5; write { "hosts": [{ "host": "127.0.0.1", "port": 9001 }] }`},
		{`{"stream":{"proxy_to":"","servers":{"b":{},"c":{},"d":5}}}`,
			`f:1:23: stream.proxy_to: it is empty; write the name of a group in servers: "b", "c" or "d"
f:1:41: stream.servers.b.hosts: it is missing: the group has no hosts; add "hosts": [{ "host": "127.0.0.1", "port": 9001 }]
f:1:48: stream.servers.c.hosts: it is missing: the group has no hosts; add "hosts": [{ "host": "127.0.0.1", "port": 9001 }]
f:1:55: stream.servers.d: must be an object, not the number 5; write { "hosts": [{ "host": "127.0.0.1", "port": 9001 }] }`},
		{`{"stream":{"proxy_to":"backnd","servers":{"backend":{"hosts":[{"host":"h","port":1}]}}}}`,
			`f:1:23: stream.proxy_to: no group named "backnd" in servers; did you mean "backend"?`},
		{`{"stream":{"proxy_to":"zzz","servers":{"backend":{"hosts":[{"host":"h","port":1}]},"c":{"hosts":[{"host":"h","port":1}]}}}}`,
			`f:1:23: stream.proxy_to: no group named "zzz" in servers; write the name of a group in servers: "backend" or "c"`},
		{`{"stream":{"proxy_to":5,"servers":{"b":{"hosts":[{"host":"h","port":1}]}}}}`,
			`f:1:23: stream.proxy_to: must be a string, not the number 5; put it in double quotes: "5"`},
		{`{"stream":{"proxy_to":null,"servers":{"b":{"hosts":[{"host":"h","port":1}]}}}}`,
			`f:1:23: stream.proxy_to: must be a string, not null; write a string in double quotes`},
		{`{"stream":{"proxy_to":[5,{"group":"x"},{"weight":0},{"group":"b","weight":0},{"group":"c"}],"servers":{"b":{"hosts":[{"host":"h","port":1}]}}}}`,
			`f:1:24: stream.proxy_to[0]: must be an object, not the number 5; write { "group": "backend", "weight": 1 }
f:1:35: stream.proxy_to[1].group: no group named "x" in servers; did you mean "b"?
f:1:40: stream.proxy_to[2].group: it is missing; add "group": "b"
f:1:87: stream.proxy_to[4].group: no group named "c" in servers; did you mean "b"?`},
		{`{"stream":{"proxy_to":"b","servers":{"b":{"hosts":[{"host":"h","port":1}]},"b":{}}}}`,
			`f:1:76: stream.servers.b: the key is given twice, first in line 1; remove one of the two`},
		{group(`"hosts":[]`),
			`f:1:51: stream.servers.b.hosts: the group has no hosts; write [{ "host": "127.0.0.1", "port": 9001 }]`},
		{group(`"hosts":{}`),
			`f:1:51: stream.servers.b.hosts: must be an array, not an object; write [{ "host": "127.0.0.1", "port": 9001 }]`},
		{group(`"hosts":"h:80"`),
			`f:1:51: stream.servers.b.hosts: must be an array, not the string "h:80"; write [{ "host": "127.0.0.1", "port": 9001 }]`},
		{hosts(`"h:80"`),
			`f:1:52: stream.servers.b.hosts[0]: must be an object, not the string "h:80"; write { "host": "h", "port": 80 }`},
		{hosts(`"h"`),
			`f:1:52: stream.servers.b.hosts[0]: must be an object, not the string "h"; write { "host": "127.0.0.1", "port": 9001 }`},
		{hosts(`5`),
			`f:1:52: stream.servers.b.hosts[0]: must be an object, not the number 5; write { "host": "127.0.0.1", "port": 9001 }`},
		{hosts(`{}`),
			`f:1:52: stream.servers.b.hosts[0].host: it is missing; add "host": a name or an address
f:1:52: stream.servers.b.hosts[0].port: it is missing; add "port": the TCP port of the host, such as 9001`},
		{hosts(`{"host":null,"port":null}`),
			`f:1:60: stream.servers.b.hosts[0].host: must be a string, not null; write a string in double quotes
f:1:72: stream.servers.b.hosts[0].port: must be a whole number, not null; write a port from 1 to 65535`},
		{hosts(`{"host":5,"port":"9001"}`),
			`f:1:60: stream.servers.b.hosts[0].host: must be a string, not the number 5; put it in double quotes: "5"
f:1:69: stream.servers.b.hosts[0].port: must be a whole number, not the string "9001"; write 9001, without quotes`},
		{hosts(`{"host":"","port":0}`),
			`f:1:60: stream.servers.b.hosts[0].host: it is empty; write a name or an address
f:1:70: stream.servers.b.hosts[0].port: 0 is outside 1-65535; write a port from 1 to 65535`},
		{hosts(`{"host":"h","port":8080.0},{"host":"h","port":1e4},{"host":"h","port":70000}`),
			`f:1:71: stream.servers.b.hosts[0].port: must be a whole number, not the number 8080.0; write 8080, without a fraction or an exponent
f:1:98: stream.servers.b.hosts[1].port: must be a whole number, not the number 1e4; write 10000, without a fraction or an exponent
f:1:122: stream.servers.b.hosts[2].port: 70000 is outside 1-65535; write a port from 1 to 65535`},
		{group(`"hosts":[{"host":"h","port":1}],"balancing_algo":"rr"`),
			`f:1:92: stream.servers.b.balancing_algo: unknown algorithm "rr"; write "round_robin", "first", "least_conn", "random_two", "least_time", "hash", "ip_hash" or "sni"`},
		{group(`"hosts":[{"host":"h","port":1}],"balancing_algo":"round-robin"`),
			`f:1:92: stream.servers.b.balancing_algo: unknown algorithm "round-robin"; did you mean "round_robin"?`},
		{group(`"hosts":[{"host":"h","port":1}],"balancing_algo":"host"`),
			`f:1:92: stream.servers.b.balancing_algo: "host" chooses by the Host of an HTTP request, and "stream" has none; write "round_robin", "first", "least_conn", "random_two", "least_time", "hash", "ip_hash" or "sni"`},
		{group(`"hosts":[{"host":"h","port":1}],"balancing_algo":5`),
			`f:1:92: stream.servers.b.balancing_algo: must be a string, not the number 5; write "round_robin", "first", "least_conn", "random_two", "least_time", "hash", "ip_hash" or "sni"`},
		{group(`"hosts":[{"host":"h","port":1}],"balancing_algo":""`),
			``},
		{group(`"balancing_algo":"sni","hosts":[{"host":"h","port":1,"name":"a.example"},{"host":"h","port":1,"name":"*"},{"host":"i","port":1,"name":"*"},{"host":"h","port":1,"name":"[::1]"}]`),
			``},
		{group(`"balancing_algo":"sni","hosts":[{"host":"h","port":1,"name":""},{"host":"h","port":1,"name":"*.a.example"},{"host":"h","port":1,"name":"a.example:80"},{"host":"h","port":1,"name":null}]`),
			`f:1:103: stream.servers.b.hosts[0].name: it is empty; remove it, or write the name that clients ask for, such as "app.example.com", or "*" for all names that no other host has
f:1:135: stream.servers.b.hosts[1].name: "*.a.example" is a pattern, and only whole names are compared; write each name in an entry of its own, or "*" for all names that no other host has
f:1:178: stream.servers.b.hosts[2].name: "a.example:80" has a port in it; write the name that clients ask for, such as "app.example.com", or "*" for all names that no other host has
f:1:222: stream.servers.b.hosts[3].name: must be a string, not null; remove it, or write the name that clients ask for, such as "app.example.com", or "*" for all names that no other host has`},
		// If hosts are not chosen by name it is a label, which existing files may have.
		{hosts(`{"host":"h","port":1,"name":"Backend 1"},{"host":"h","port":1,"name":7},{"host":"h","port":1,"name":""}`),
			`W f:1:80: stream.servers.b.hosts[0].name: "Backend 1" has white space in it, so it is ignored; write the name that clients ask for, such as "app.example.com", or "*" for all names that no other host has
W f:1:121: stream.servers.b.hosts[1].name: must be a string, not the number 7, so it is ignored; remove it, or write the name that clients ask for, such as "app.example.com", or "*" for all names that no other host has
W f:1:152: stream.servers.b.hosts[2].name: it is empty, so it is ignored; remove it, or write the name that clients ask for, such as "app.example.com", or "*" for all names that no other host has`},
		{hosts(`{"host":"h","port":1,"name":"*"}`),
			`W f:1:73: stream.servers.b.hosts[0].name: "*" is ignored: "round_robin" does not choose by name; write "balancing_algo": "host" or "sni", or remove it`},
		{`{"http":{"proxy_to":"b","servers":{"b":{"balancing_algo":"sni","hosts":[{"host":"h","port":1,"name":"*"}]}}}}`,
			`W f:1:41: http.servers.b.balancing_algo: "sni" chooses by the name that a TLS client asks for, but clients do not use TLS: every request goes to a host with the name "*"; add "tls_enabled": true and a certificate, or write "host"`},
	})
}

// A host that is the proxy itself is reported, as far as the file shows it.
func TestOwnAddressAsHost(t *testing.T) {
	t.Parallel()
	file := func(host string) string {
		return `{"stream":{"port":90,"proxy_to":"b","servers":{"b":{"hosts":[{"host":"h","port":90},{"host":"` + host + `","port":90}]}}}}`
	}
	const warning = `W f:1:85: stream.servers.b.hosts[1]: the proxy itself listens here: no connection is made to it, because it would loop back; write the host's own "port", or another "port" in "stream"`
	var cases []outcomeCase
	for _, host := range []string{"127.0.0.1", "127.9.9.9", "0.0.0.0", "localhost", "LocalHost.", "::ffff:127.0.0.1", "[::ffff:7f00:1]"} {
		cases = append(cases, outcomeCase{file(host), warning})
	}
	for _, host := range []string{"::1", "::", "10.0.0.1", "localhost.example", "128.0.0.1"} {
		cases = append(cases, outcomeCase{file(host), ""})
	}
	checkOutcomes(t, append(cases,
		outcomeCase{`{"http":{"proxy_to":"b","servers":{"b":{"hosts":[{"host":"127.0.0.1","port":8080}]}}}}`,
			`W f:1:50: http.servers.b.hosts[0]: the proxy itself listens here: no connection is made to it, because it would loop back; write the host's own "port", or another "port" in "http"`},
		outcomeCase{`{"http":{"port":81,"proxy_to":"b","servers":{"b":{"hosts":[{"host":"127.0.0.1","port":8080}]}}}}`, ""},
	))
}

func TestHostAlias(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		host            config.Host
		called, matches string
	}{
		{config.Host{Name: "10.0.0.1"}, "10.0.0.1", "10.0.0.1"},
		{config.Host{Name: "10.0.0.1", Alias: "a.example"}, "a.example", "a.example"},
		{config.Host{Name: "10.0.0.1", Alias: "*"}, "10.0.0.1", "*"},
	} {
		if got := c.host.Called(); got != c.called {
			t.Errorf("%+v is called %q, want %q", c.host, got, c.called)
		}
		if got := c.host.Matches(); got != c.matches {
			t.Errorf("%+v matches %q, want %q", c.host, got, c.matches)
		}
	}
	cfg, _ := parse(t, hosts(`{"host":"h","port":1,"name":"Backend 1"}`))
	if got, want := cfg.Groups[0].Hosts[0], (config.Host{Name: "h", Port: 1, Weight: 1}); got != want {
		t.Errorf("with a label: got %+v, want %+v", got, want)
	}
	cfg, _ = parse(t, hosts(`{"host":"[::1]","port":1,"name":"[2001:DB8::A]"}`))
	if got, want := cfg.Groups[0].Hosts[0], (config.Host{Name: "::1", Port: 1, Weight: 1, Alias: "2001:DB8::A"}); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
}
