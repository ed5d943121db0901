package config_test

import (
	"fmt"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"kroxy-ev/config"
	"kroxy-ev/logformat"
)

// checkGrammarGroups compares groups with those of the grammar's example.
func checkGrammarGroups(t *testing.T, c *config.Config) {
	t.Helper()
	const ms = time.Millisecond
	web, usual := c.Group("web"), usualRetry
	if want := []config.Host{{Name: "10.0.0.1", Port: 8080, Weight: 3}, {Name: "10.0.0.2", Port: 8080, Weight: 1, MaxConns: 200}, {Name: "10.0.0.9", Port: 8080, Weight: 1, Backup: true}}; !slices.Equal(web.Hosts, want) {
		t.Errorf("%+v", web.Hosts)
	}
	retry := config.Retry{Attempts: 2, On: config.RetryOn{Connect: true, Reset: true, Status: config.Statuses{{502, 502}, {503, 503}}}, Budget: usual.Budget, Buffer: usual.Buffer}
	for _, c := range []struct{ got, want any }{
		{*web.HealthCheck, config.HealthCheck{Type: "http", Path: "/healthz", Method: "GET", Status: config.Statuses{{200, 399}},
			Interval: 2000 * ms, FastInterval: 2000 * ms, Timeout: 500 * ms, Rise: 2, Fall: 3}},
		{web.PassiveCheck, config.PassiveCheck{Enabled: true, Requests: true, Failures: 3, Window: 10000 * ms, Eject: 10000 * ms, MaxEject: 100000 * ms}},
		{web.SlowStart, 30000 * ms},
		{web.Queue, config.Queue{Size: 100, Timeout: 1000 * ms}},
		{web.Retry, retry},
		{*web.Sticky, config.Sticky{Cookie: "kroxy", Path: "/", SameSite: "Lax"}},
		{c.Group("api").HashKey, "$http_x_tenant"},
		{c.Group("api").Hosts, []config.Host{{SRV: "_api._tcp.example", Weight: 1}}},
		{*c.Group("pg").HealthCheck, config.HealthCheck{Type: "tcp", Interval: 1000 * ms, FastInterval: 1000 * ms, Timeout: 1000 * ms, Rise: 2, Fall: 3}},
		{c.Group("pg").Retry, config.Retry{Attempts: 1, On: config.RetryOn{Connect: true}, Budget: usual.Budget}},
	} {
		if !reflect.DeepEqual(c.got, c.want) {
			t.Errorf("got %+v, want %+v", c.got, c.want)
		}
	}
}

// Sections are merged key by key; true and false switch them; null removes what outer levels have.
func TestSections(t *testing.T) {
	t.Parallel()
	c, warnings := parse(t, `{
		"retry": { "attempts": 3, "on": ["5xx", 404, "timeout"], "try_timeout": "2s" }, "health_check": { "path": "/file", "fall": 5 }, "max_conns": 9,
		"queue": { "timeout": "5s" }, "sticky": { "ttl": "1h", "same_site": "strict", "domain": ".a.example" }, "slow_start": 7,
		"passive_check": { "status": "500-599", "eject": 500 },
		"servers": { "b": { "health_check": { "interval": "1s", "fall": null }, "hosts": [{ "host": "h", "port": 1 }, { "host": "i", "port": 2, "max_conns": 3, "drain": true }] } },
		"http": { "max_conns": 8, "routes": [
			{ "proxy_to": "b", "match": { "path": "/1" }, "retry": false, "queue": true, "health_check": false, "passive_check": false, "sticky": false },
			{ "proxy_to": "b", "match": { "path": "/2" }, "retry": { "on": "reset" }, "queue": null, "health_check": { "path": null }, "passive_check": true, "max_conns": null },
			{ "proxy_to": "b", "match": { "path": "/3" }, "retry": null, "queue": false, "passive_check": null, "sticky": { "ttl": null }, "slow_start": null },
			{ "proxy_to": "b", "health_check": "${NONE:-true}" } ] },
		"stream": { "port": 3, "proxy_to": "b" }
	}`)
	var got []string
	for _, s := range c.Servers {
		for _, r := range s.Routes {
			g := r.To[0].Group
			check := "none"
			if h := g.HealthCheck; h != nil {
				check = fmt.Sprintf("%s %s %v %d", h.Type, h.Path, h.Interval, h.Fall)
			}
			sticky := "none"
			if g.Sticky != nil {
				sticky = fmt.Sprint(*g.Sticky)
			}
			got = append(got, fmt.Sprintf("retry %v queue %v check %s passive %v sticky %s slow %v max %d %d %d", g.Retry, g.Queue, check, g.PassiveCheck, sticky, g.SlowStart, g.MaxConns, g.Hosts[0].MaxConns, g.Hosts[1].MaxConns))
		}
	}
	want := []string{
		`retry {0 {false false false []} 0 0 0s} queue {100 5s} check http / 1s 3 passive {false false 0 0s 0s 0s []} sticky none slow 7ms max 8 8 3`,
		`retry {3 {true true false []} 20 16384 2s} queue {0 0s} check http / 1s 3 passive {true true 1 10s 500ms 5s [{500 599}]} sticky {kroxy 1h0m0s / a.example Strict} slow 7ms max 0 0 3`,
		`retry {1 {true true false []} 20 16384 0s} queue {0 0s} check http /file 1s 3 passive {true false 1 10s 1s 10s []} sticky {kroxy 0s / a.example Strict} slow 0s max 8 8 3`,
		`retry {3 {true false true [{500 599} {404 404}]} 20 16384 2s} queue {100 5s} check http /file 1s 3 passive {true true 1 10s 500ms 5s [{500 599}]} sticky {kroxy 1h0m0s / a.example Strict} slow 7ms max 8 8 3`,
		`retry {3 {true false false []} 20 0 0s} queue {100 5s} check tcp  1s 3 passive {true true 1 10s 500ms 5s []} sticky none slow 7ms max 9 9 3`,
	}
	if !slices.Equal(got, want) || len(warnings) > 0 {
		t.Errorf("got\n%s\nwant\n%s\nwarnings %v", strings.Join(got, "\n"), strings.Join(want, "\n"), warnings)
	}
}

// Two routes with different settings for one group's section do not get each other's.
func TestSectionsOfOneGroup(t *testing.T) {
	t.Parallel()
	c, _ := parse(t, `{"http":{"routes":[{"proxy_to":"b","match":{"path":"/1"},"retry":{"budget":1}},{"proxy_to":"b","retry":{"budget":2}}]},
		"servers":{"b":{"hosts":[{"host":"h","port":1}],"retry":{"attempts":5}}}}`)
	one, two := c.Servers[0].Routes[0].To[0].Group.Retry, c.Servers[0].Routes[1].To[0].Group.Retry
	if one.Attempts != 5 || two.Attempts != 5 || one.Budget != 1 || two.Budget != 2 {
		t.Errorf("got %+v and %+v", one, two)
	}
}

func TestResolver(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]config.Resolver{
		`{}`: usualResolver,
		`{"servers":["10.0.0.53","127.0.0.1:5353","::1","[::1]","[::2]:54"],"min_ttl":1500,"max_ttl":"1h","search":["a.example",".b.example."]}`: {
			Servers: []netip.AddrPort{
				netip.MustParseAddrPort("10.0.0.53:53"), netip.MustParseAddrPort("127.0.0.1:5353"), netip.MustParseAddrPort("[::1]:53"), netip.MustParseAddrPort("[::1]:53"), netip.MustParseAddrPort("[::2]:54"),
			},
			MinTTL: 1500 * time.Millisecond, MaxTTL: time.Hour, Search: []string{"a.example", "b.example"},
		},
		`{"servers":"${DNS:-10.0.0.1:53}","search":[]}`: {
			Servers: []netip.AddrPort{netip.MustParseAddrPort("10.0.0.1:53")}, MinTTL: time.Second, MaxTTL: 5 * time.Minute, Search: []string{},
		},
	} {
		file := `{"resolver":` + in + `,"http":{"proxy_to":"b"},` + groupB + `}`
		c, warnings := parse(t, file)
		if !reflect.DeepEqual(c.Resolver, want) || len(warnings) > 0 {
			t.Errorf("%s: got %+v, want %+v, warnings %v", in, c.Resolver, want, warnings)
		}
		checkSchema(t, []byte(file), "")
	}
}

// healing wraps members of a group of an http server.
func healing(members string) string {
	return `{"http":{"proxy_to":"b","servers":{"b":{"hosts":[{"host":"h","port":1}],` + members + `}}}}`
}

func TestHostKeyErrors(t *testing.T) {
	t.Parallel()
	checkOutcomes(t, []outcomeCase{
		{hosts(`{"host":"h","port":1,"weight":0,"backup":true,"drain":true,"max_conns":5},{"host":"i","port":1,"weight":1000}`), ``},
		{hosts(`{"host":"h","port":1,"weight":2000},{"host":"h","port":1,"weight":-1},{"host":"h","port":1,"weight":"3"},{"host":"h","port":1,"weight":1.5},{"host":"h","port":1,"weight":null}`),
			`f:1:82: stream.servers.b.hosts[0].weight: 2000 is outside 0-1000; write a number from 0 to 1000
f:1:118: stream.servers.b.hosts[1].weight: -1 is negative; write a number from 0 to 1000
f:1:152: stream.servers.b.hosts[2].weight: must be a whole number, not the string "3"; write 3, without quotes
f:1:187: stream.servers.b.hosts[3].weight: must be a whole number, not the number 1.5; write a number from 0 to 1000
f:1:222: stream.servers.b.hosts[4].weight: must be a whole number, not null; remove the key to have the default, 1`},
		{hosts(`{"host":"h","port":1,"weight":0},{"host":"i","port":1,"weight":0}`),
			`f:1:51: stream.servers.b.hosts: all weights are 0, so no host would get anything; give one of them a weight from 1 to 1000`},
		{hosts(`{"host":"h","port":1,"backup":true},{"host":"i","port":1,"backup":true}`),
			`f:1:51: stream.servers.b.hosts: all hosts are backups, and there is no host that they could stand in for; remove "backup" from those that are to serve`},
		{hosts(`{"host":"h","port":1,"drain":true}`),
			`W f:1:51: stream.servers.b.hosts: all hosts are drained: no new client is served; remove "drain" from those that are to serve`},
		{hosts(`{"host":"h","port":1,"backup":"yes","drain":1}`),
			`f:1:82: stream.servers.b.hosts[0].backup: must be true or false, not the string "yes"; write true or false
f:1:96: stream.servers.b.hosts[0].drain: must be true or false, not the number 1; write true, without quotes`},
		{hosts(`{"host":"h","port":1,"max_conns":0},{"host":"h","port":1,"max_conns":-1},{"host":"h","port":1,"max_conns":"many"}`),
			`f:1:85: stream.servers.b.hosts[0].max_conns: a host with 0 connections would serve nobody; leave the key out for no bound, or write "drain": true for a host that should get no new clients
f:1:121: stream.servers.b.hosts[1].max_conns: -1 is outside 1-2147483647; write a number of connections, or leave the key out for no bound
f:1:158: stream.servers.b.hosts[2].max_conns: must be a whole number, not the string "many"; write a number of connections, or leave the key out for no bound`},
		{group(`"hosts":[{"host":"h","port":1}],"max_conns":0`),
			`f:1:87: stream.servers.b.max_conns: a host with 0 connections would serve nobody; leave the key out for no bound, or write "drain": true for a host that should get no new clients`},
		{hosts(`{"srv":"_api._tcp.example"},{"srv":"api.service.consul.","backup":true,"max_conns":4,"drain":true,"name":"a.example"}`), ``},
		{hosts(`{"srv":"_api._tcp.example","host":"h","port":1,"weight":5},{"srv":"s.example","unix":"/x"},{"srv":"s.example","unix":"/x","port":1}`),
			`f:1:79: stream.servers.b.hosts[0].host: it has no effect together with "srv"; remove one of the two
f:1:90: stream.servers.b.hosts[0].port: it has no effect together with "srv"; remove one of the two
f:1:99: stream.servers.b.hosts[0].weight: it has no effect together with "srv", whose records have weights; remove it
f:1:112: stream.servers.b.hosts[1].srv: it has no effect together with "unix"; remove one of the two
f:1:144: stream.servers.b.hosts[2].srv: it has no effect together with "unix"; remove one of the two
f:1:174: stream.servers.b.hosts[2].port: it has no effect together with "unix"; remove one of the two`},
		{hosts(`{"srv":"api"},{"srv":"10.0.0.1"},{"srv":"_api._tcp.example:80"},{"srv":""},{"srv":5}`),
			`f:1:59: stream.servers.b.hosts[0].srv: "api" is not the name of a service; write the name of SRV records such as "_api._tcp.example"
f:1:73: stream.servers.b.hosts[1].srv: "10.0.0.1" is not the name of a service; write the name of SRV records such as "_api._tcp.example"
f:1:92: stream.servers.b.hosts[2].srv: "_api._tcp.example:80" has a port in it; write the name of SRV records such as "_api._tcp.example"
f:1:123: stream.servers.b.hosts[3].srv: "" has an empty part between dots; write the name of SRV records such as "_api._tcp.example"
f:1:134: stream.servers.b.hosts[4].srv: must be a string, not the number 5; put it in double quotes: "5"`},
	})
}

func TestHashKeyErrors(t *testing.T) {
	t.Parallel()
	const known = `; the variables are `
	checkOutcomes(t, []outcomeCase{
		{healing(`"balancing_algo":"hash","hash_key":"$http_x_tenant$cookie_a-$arg_b $path"`), ``},
		{group(`"hosts":[{"host":"h","port":1}],"balancing_algo":"hash","hash_key":"$client_addr $tls_sni"`), ``},
		{`{"hash_key":"$http_x","stream":{"proxy_to":"b"},` + groupB + `}`, ``},
		{healing(`"balancing_algo":"hash"`),
			`f:1:40: http.servers.b.hash_key: it is missing, and "hash" chooses by it; add "hash_key": a text with variables such as "$http_x_tenant"`},
		{group(`"hosts":[{"host":"h","port":1}],"balancing_algo":"hash"`),
			`f:1:42: stream.servers.b.hash_key: it is missing, and "hash" chooses by it; add "hash_key": "$client_addr" or "$tls_sni"`},
		{healing(`"balancing_algo":"hash","hash_key":"tenant"`),
			`f:1:108: http.servers.b.hash_key: "tenant" has no variable in it, so that one host would get everything; write one such as "$client_addr"`},
		{healing(`"balancing_algo":"hash","hash_key":""`),
			`f:1:108: http.servers.b.hash_key: it is empty, and "hash" chooses by it; write a text with variables such as "$http_x_tenant"`},
		{healing(`"balancing_algo":"hash","hash_key":5`),
			`f:1:108: http.servers.b.hash_key: must be a string, not the number 5; put it in double quotes: "5"`},
		{healing(`"balancing_algo":"hash","hash_key":"$htp_x $status"`),
			`f:1:109: http.servers.b.hash_key: unknown variable "$htp_x"` + known + variables(logformat.OnRequest) + `
f:1:116: http.servers.b.hash_key: "$status" is not known yet when this is written` + known + variables(logformat.OnRequest)},
		{group(`"hosts":[{"host":"h","port":1}],"balancing_algo":"hash","hash_key":"$path $bytes_sent_upstream"`),
			`f:1:111: stream.servers.b.hash_key: "$path" is known in "http" only` + known + variables(logformat.OnSession) + `
f:1:117: stream.servers.b.hash_key: "$bytes_sent_upstream" is not known yet when this is written` + known + variables(logformat.OnSession)},
		{healing(`"hash_key":"$path"`),
			`W f:1:73: http.servers.b.hash_key: it is ignored with "round_robin": only "hash" uses it; write "balancing_algo": "hash", or remove it`},
		{healing(`"balancing_algo":"maglev"`),
			`f:1:90: http.servers.b.balancing_algo: unknown algorithm "maglev"; here it is called "hash"`},
		{healing(`"balancing_algo":"leastconn"`),
			`f:1:90: http.servers.b.balancing_algo: unknown algorithm "leastconn"; did you mean "least_conn"?`},
		{healing(`"balancing_algo":"random"`),
			`f:1:90: http.servers.b.balancing_algo: unknown algorithm "random"; here it is called "random_two"`},
	})
}

// Keys that have no effect in combination with others are reported.
func TestTogether(t *testing.T) {
	t.Parallel()
	checkOutcomes(t, []outcomeCase{
		{healing(`"health_check":{"type":"tcp","path":"/x","status":200,"body":"a"}`),
			`W f:1:102: http.servers.b.health_check.path: it is ignored with "type": "tcp": no request is sent; write "type": "http", or remove it
W f:1:114: http.servers.b.health_check.status: it is ignored with "type": "tcp": no request is sent; write "type": "http", or remove it
W f:1:127: http.servers.b.health_check.body: it is ignored with "type": "tcp": no request is sent; write "type": "http", or remove it`},
		{healing(`"health_check":{"type":"tcp","host":"h","service":"a.B"}`),
			`W f:1:102: http.servers.b.health_check.host: it is ignored with "type": "tcp": no request is sent; write "type": "http", or remove it
W f:1:113: http.servers.b.health_check.service: it is ignored with "type": "tcp": no request is sent; write "type": "grpc", or remove it`},
		{healing(`"health_check":{"service":"a.B"}`),
			`W f:1:89: http.servers.b.health_check.service: it is ignored with "type": "http": only gRPC has services; write "type": "grpc", or remove it`},
		{healing(`"health_check":{"type":"grpc"}`),
			`W f:1:89: http.servers.b.health_check.type: gRPC needs HTTP/2, but these hosts get HTTP/1.1, so no call reaches them; write "protocol": "h2c" in the group, or "h2" if the hosts have TLS`},
		{healing(`"health_check":{"type":"grpc","port":81}`), ``},
		{healing(`"health_check":{"type":"grpc"},"protocol":"h2c"`), ``},
		{group(`"hosts":[{"host":"h","port":1}],"health_check":{"type":"grpc"}`), ``},
		{healing(`"protocol":"h2c","health_check":{"type":"grpc","host":"h","service":"a.B","path":"/x","body":"a"}`),
			`W f:1:147: http.servers.b.health_check.path: it is ignored with "type": "grpc": the protocol defines the request and the answer of a healthy host; write "type": "http", or remove it
W f:1:159: http.servers.b.health_check.body: it is ignored with "type": "grpc": the protocol defines the request and the answer of a healthy host; write "type": "http", or remove it`},
		{healing(`"retry":{"attempts":0,"budget":5,"buffer":1}`),
			`W f:1:95: http.servers.b.retry.budget: it is ignored with "attempts": 0: there are no retries; remove it
W f:1:106: http.servers.b.retry.buffer: it is ignored with "attempts": 0: there are no retries; remove it`},
		{group(`"hosts":[{"host":"h","port":1}],"upstream_keepalive":5,"passive_check":{"status":[500]},"retry":{"on":["connect","reset",502,"5xx"],"buffer":1,"try_timeout":1,"attempts":2}`),
			`W f:1:75: stream.servers.b.upstream_keepalive: "upstream_keepalive" is ignored: it is a key of "http" only, and only "stream" uses the group; remove it
W f:1:115: stream.servers.b.passive_check.status: "status" is ignored: it is a key of "http" only; remove it
W f:1:156: stream.servers.b.retry.on[1]: "reset" is ignored in "stream": once a session has begun, it cannot be repeated; write "connect" alone
W f:1:164: stream.servers.b.retry.on[2]: "502" is ignored in "stream": once a session has begun, it cannot be repeated; write "connect" alone
W f:1:168: stream.servers.b.retry.on[3]: "5xx" is ignored in "stream": once a session has begun, it cannot be repeated; write "connect" alone
W f:1:175: stream.servers.b.retry.buffer: "buffer" is ignored: it is a key of "http" only; remove it
W f:1:186: stream.servers.b.retry.try_timeout: "try_timeout" is ignored: it is a key of "http" only; remove it`},
		{`{"http":{"port":1,"proxy_to":"b"},"stream":{"port":2,"proxy_to":"b"},"servers":{"b":{"hosts":[{"host":"h","port":1}],"sticky":true,"upstream_keepalive":5,"retry":{"on":"reset"}}}}`, ``},
		{healing(`"proxy_protocol":"v2","upstream_keepalive":5,"upstream_keepalive_timeout":7`),
			`W f:1:95: http.servers.b.upstream_keepalive: it is ignored together with "proxy_protocol": a connection that begins with a PROXY header is for one client, and is not kept; remove it
W f:1:118: http.servers.b.upstream_keepalive_timeout: it is ignored together with "proxy_protocol": a connection that begins with a PROXY header is for one client, and is not kept; remove it`},
		{healing(`"proxy_protocol":"v2","upstream_keepalive":0`), ``},
		{healing(`"upstream_keepalive":0,"upstream_keepalive_timeout":7`),
			`W f:1:96: http.servers.b.upstream_keepalive_timeout: it is ignored with "upstream_keepalive": 0: no connection is kept; remove it`},
		{`{"upstream_keepalive":9,"http":{"proxy_to":"b","servers":{"b":{"proxy_protocol":"v1","hosts":[{"host":"h","port":1}]}}}}`, ``},
		{`{"http":{"proxy_to":"b","servers":{"b":{"balancing_algo":"host","hosts":[{"host":"h","port":1,"weight":3},{"host":"i","port":1,"weight":0}],"sticky":true,"slow_start":5}}}}`,
			`W f:1:95: http.servers.b.hosts[0].weight: it is ignored with "host", which does not use weights; remove it
W f:1:141: http.servers.b.sticky: it is ignored with "host": the name that a client asks for determines its host; remove it
W f:1:155: http.servers.b.slow_start: it is ignored with "host", which does not use weights; remove it`},
		{`{"sticky":true,"slow_start":5,"http":{"proxy_to":"b","servers":{"b":{"balancing_algo":"host","hosts":[{"host":"h","port":1}]}}}}`, ``},
		{healing(`"slow_start":5,"passive_check":false`),
			`W f:1:73: http.servers.b.slow_start: it is ignored without checks: no host ever recovers; add "health_check", or remove it`},
		{healing(`"queue":true`),
			`W f:1:73: http.servers.b.queue: it is ignored without "max_conns": no host is ever full; add "max_conns" to the group, or remove it`},
		{`{"http":{"proxy_to":"b","servers":{"b":{"hosts":[{"unix":"/x"}],"health_check":{"port":5}}}}}`,
			`W f:1:81: http.servers.b.health_check.port: it is ignored: all hosts are Unix-domain sockets, which have no ports; remove it`},
	})
}

// So are those of routes and listeners.
func TestRoutesTogether(t *testing.T) {
	t.Parallel()
	pair := writePair(t)
	tls := `"tls_enabled":true,"tls_cert_path":"` + pair.CertPath + `","tls_key_path":"` + pair.KeyPath + `",`
	checkOutcomes(t, []outcomeCase{
		{routes("http", `{"redirect":{"to":"/x"},"match":{"path":"/y"},"proxy_read_timeout":1,"proxy_set_host":"upstream","retry":false,"max_conns":1,"send_timeout":1,"connect_timeout":1}`),
			`W f:1:66: http.routes[0].proxy_read_timeout: it is ignored with "redirect": no request goes to a host; remove it
W f:1:89: http.routes[0].proxy_set_host: it is ignored with "redirect": no request goes to a host; remove it
W f:1:117: http.routes[0].retry: it is ignored with "redirect": no request goes to a host; remove it
W f:1:131: http.routes[0].max_conns: it is ignored with "redirect": no request goes to a host; remove it
W f:1:162: http.routes[0].connect_timeout: it is ignored with "redirect": no request goes to a host; remove it
W f:1:200: servers.b: no route uses this group; remove it, or name it in "proxy_to"`},
		{routes("http", `{"proxy_to":"b","proxy_set_host":"upstream","request_headers":{"set":{"host":"a.example"}}}`),
			`W f:1:36: http.routes[0].proxy_set_host: it is ignored: "Host" is among the fields that are set; remove one of the two`},
		{routes("http", `{"proxy_to":"b","proxy_set_host":"client","request_headers":{"set":{"host":"a.example"}}}`), ``},
		{routes("http", `{"proxy_to":"b","match":{"sni":"a.example","scheme":"https","listen_port":[81,82]}}`),
			`W f:1:45: http.routes[0].match.sni: no client matches: none uses TLS; correct it, or remove the route
W f:1:63: http.routes[0].match.scheme: no client matches: none uses TLS; correct it, or remove the route
W f:1:80: http.routes[0].match.listen_port: no client matches: the server does not listen there; correct it, or remove the route`},
		{routes("http", `{"proxy_to":"b","match":{"scheme":["http","https"],"listen_port":[81,8080]}}`), ``},
		{`{"http":{` + tls + `"routes":[{"proxy_to":"b","match":{"scheme":"https","sni":"a.example"}}]},` + groupB + `}`, ``},
		{routes("stream", `{"proxy_to":"b","match":{"sni":"a.example"}}`), ``},
		{routes("stream", `{"proxy_to":"b","match":{"listen_port":5}}`),
			`W f:1:47: stream.routes[0].match.listen_port: no client matches: the server does not listen there; correct it, or remove the route`},
		{`{"tcp_keepalive":5,"http":{"listen":[{"unix":"/x","tcp_keepalive":5},{"unix":"/y"}],"proxy_to":"b"},` + groupB + `}`,
			`W f:1:51: http.listen[0].tcp_keepalive: it is ignored: a Unix-domain socket has no probes; remove it`},
	})
}

// Keys for http only are reported, and have no effect in stream mode.
func TestHealingInStream(t *testing.T) {
	t.Parallel()
	checkOutcomes(t, []outcomeCase{
		{group(`"hosts":[{"host":"h","port":1}],"sticky":true`),
			`f:1:75: stream.servers.b.sticky: "sticky" has no effect: it is a key of "http" only, and only "stream" uses the group; remove it`},
		{`{"stream":{"proxy_to":"b","sticky":true,"retry":{"on":"reset","buffer":5},"passive_check":{"status":500}},` + groupB + `}`,
			`W f:1:27: stream.sticky: "sticky" is ignored: it is a key of "http" only; remove it
W f:1:55: stream.retry.on: "reset" is ignored in "stream": once a session has begun, it cannot be repeated; write "connect" alone
W f:1:63: stream.retry.buffer: "buffer" is ignored: it is a key of "http" only; remove it
W f:1:92: stream.passive_check.status: "status" is ignored: it is a key of "http" only; remove it`},
		{`{"stream":{"routes":[{"proxy_to":"b","sticky":true}]},` + groupB + `}`,
			`f:1:38: stream.routes[0].sticky: "sticky" has no effect: it is a key of "http" only; remove it`},
		{`{"sticky":true,"retry":{"on":"reset"},"stream":{"proxy_to":"b"},` + groupB + `}`, ``},
		{`{"sticky":{"cookie":"a b"},"retry":{"attempts":-1},"health_check":{"path":"x"},"queue":[],"stream":{"proxy_to":"b","retry":false,"health_check":null,"queue":false},` + groupB + `}`,
			`f:1:21: sticky.cookie: "a b" is not the name of a cookie; write letters, digits and '-', such as "kroxy"
f:1:48: retry.attempts: -1 is negative; write a number of further tries from 0 to 100
f:1:75: health_check.path: "x" does not begin with a slash, as every path does; write "/x"
f:1:88: queue: must be an object, true or false, not an array; write { "size": 100 }, true for the defaults, or false for none`},
	})
}

func TestHealthCheckErrors(t *testing.T) {
	t.Parallel()
	checkOutcomes(t, []outcomeCase{
		{healing(`"health_check":{"path":"/x?y=1","method":"HEAD","host":"a.example:81","status":["2xx",404,"300-399"],"port":81,"interval":"10ms","fast_interval":10,"timeout":1,"rise":1,"fall":1,"_note":1}`),
			`W f:1:251: http.servers.b.health_check._note: unknown key "_note" has no effect; remove it`},
		{healing(`"health_check":5`),
			`f:1:88: http.servers.b.health_check: must be an object, true or false, not the number 5; write { "path": "/healthz" }, true for the defaults, or false for none`},
		{healing(`"health_check":"on"`),
			`f:1:88: http.servers.b.health_check: must be an object, true or false, not the string "on"; write { "path": "/healthz" }, true for the defaults, or false for none`},
		{healing(`"health_check":[]`),
			`f:1:88: http.servers.b.health_check: must be an object, true or false, not an array; write { "path": "/healthz" }, true for the defaults, or false for none`},
		{healing(`"health_check":{"type":"https"}`),
			`f:1:96: http.servers.b.health_check.type: unknown type "https"; write "http", "tcp" or "grpc"`},
		{healing(`"protocol":"h2c","health_check":{"type":"grpc","service":"/a.B/C"}`),
			`f:1:130: http.servers.b.health_check.service: "/a.B/C" begins with a slash, as a path does; write a name such as "shop.Cart"`},
		{healing(`"protocol":"h2c","health_check":{"type":"grpc","service":"` + strings.Repeat("n", 257) + `"}`),
			`f:1:130: http.servers.b.health_check.service: the name is longer than 256 bytes; write a shorter one`},
		{healing(`"health_check":{"grpc_service":"a.B"}`),
			`f:1:89: http.servers.b.health_check.grpc_service: unknown key "grpc_service" has no effect; here it is called "service"`},
		{healing(`"health_check":{"type":5}`),
			`f:1:96: http.servers.b.health_check.type: must be a string, not the number 5; write "http", "tcp" or "grpc"`},
		{healing(`"health_check":{"path":"healthz","method":"get","host":"http://a/","status":["700-800"],"port":0,"interval":5,"fast_interval":"1ms","timeout":0,"rise":0,"fall":"x"}`),
			`f:1:96: http.servers.b.health_check.path: "healthz" does not begin with a slash, as every path does; write "/healthz"
f:1:115: http.servers.b.health_check.method: "get" is not a method that hosts know: case matters; write "GET"
f:1:128: http.servers.b.health_check.host: "http://a/" is a URL, not a host; write a name such as "app.example.com", with a port if it needs one
f:1:150: http.servers.b.health_check.status[0]: 700-800 is outside 100-599; write a status from 100 to 599, or several as in "200-399" or "2xx"
f:1:168: http.servers.b.health_check.port: 0 is outside 1-65535; write a port from 1 to 65535
f:1:181: http.servers.b.health_check.interval: 5ms is less than 10ms; write whole milliseconds, such as 2000, or a time with a unit, such as "1.5s"
f:1:199: http.servers.b.health_check.fast_interval: 1ms is less than 10ms; write whole milliseconds, such as 500, or a time with a unit, such as "1.5s"
f:1:215: http.servers.b.health_check.timeout: 0s is less than 1ms; write whole milliseconds, such as 2000, or a time with a unit, such as "1.5s"
f:1:224: http.servers.b.health_check.rise: 0 is outside 1-1000; write a number of checks from 1 to 1000
f:1:233: http.servers.b.health_check.fall: must be a whole number, not the string "x"; write a number of checks from 1 to 1000`},
		{healing(`"health_check":{"path":"/a b","method":"","host":"a b","status":[]}`),
			`f:1:96: http.servers.b.health_check.path: "/a b" has " " in it, which cannot be in a request; write it in percent-encoding, or leave it out
f:1:112: http.servers.b.health_check.method: "" is not a method; write one such as "GET"
f:1:122: http.servers.b.health_check.host: "a b" has white space in it; write a name such as "app.example.com", with a port if it needs one
f:1:137: http.servers.b.health_check.status: there is nothing in it; write ["200-399"], or remove it`},
		{healing(`"health_check":{"path":"/a#b","method":"CONNECT","host":5,"status":["ok","399-200",99,"6xx",true]}`),
			`f:1:96: http.servers.b.health_check.path: "/a#b" has "#" in it, which cannot be in a request; write it in percent-encoding, or leave it out
f:1:112: http.servers.b.health_check.method: "CONNECT" asks for a tunnel, which says nothing about the health of a host; write one such as "GET"
f:1:129: http.servers.b.health_check.host: must be a string, not the number 5; put it in double quotes: "5"
f:1:141: http.servers.b.health_check.status[0]: "ok" is not a status; write a status from 100 to 599, or several as in "200-399" or "2xx"
f:1:146: http.servers.b.health_check.status[1]: "399-200" ends before it begins; write a status from 100 to 599, or several as in "200-399" or "2xx"
f:1:156: http.servers.b.health_check.status[2]: 99 is outside 100-599; write a status from 100 to 599, or several as in "200-399" or "2xx"
f:1:159: http.servers.b.health_check.status[3]: 6xx is outside 100-599; write a status from 100 to 599, or several as in "200-399" or "2xx"
f:1:165: http.servers.b.health_check.status[4]: must be a status, not true; write a status from 100 to 599, or several as in "200-399" or "2xx"`},
		{healing(`"health_check":{"path":"/\u0000","method":"G T","host":":80","status":"","body":5}`),
			`f:1:96: http.servers.b.health_check.path: "/\x00" has "\x00" in it, which cannot be in a request; write it in percent-encoding, or leave it out
f:1:115: http.servers.b.health_check.method: "G T" is not a method; write one such as "GET"
f:1:128: http.servers.b.health_check.host: "" has an empty part between dots; write a name such as "app.example.com", with a port if it needs one
f:1:143: http.servers.b.health_check.status: "" is not a status; write a status from 100 to 599, or several as in "200-399" or "2xx"
f:1:153: http.servers.b.health_check.body: must be a string, not the number 5; put it in double quotes: "5"`},
		{healing(`"health_check":{"method":"HEAD","body":"well"}`),
			`f:1:112: http.servers.b.health_check.body: the response to HEAD has no content; remove it, or write "method": "GET"`},
		{healing(`"health_check":{"fast_interval":"5s"}`),
			`W f:1:89: http.servers.b.health_check.fast_interval: it is longer than "interval", which it should shorten; write a shorter time, or remove it`},
		{healing(`"health_check":{"uri":"/x","inter":5,"expected_status":200,"healthy_threshold":2,"intervall":1,"zzz":1,"tls_verify":true}`),
			`f:1:89: http.servers.b.health_check.uri: unknown key "uri" has no effect; here it is called "path"
f:1:100: http.servers.b.health_check.inter: unknown key "inter" has no effect; here it is called "interval"
f:1:110: http.servers.b.health_check.expected_status: unknown key "expected_status" has no effect; here it is called "status"
f:1:132: http.servers.b.health_check.healthy_threshold: unknown key "healthy_threshold" has no effect; here it is called "rise"
f:1:154: http.servers.b.health_check.intervall: unknown key "intervall" has no effect; did you mean "interval"?
f:1:168: http.servers.b.health_check.zzz: unknown key "zzz" has no effect; remove it
f:1:176: http.servers.b.health_check.tls_verify: unknown key "tls_verify" has no effect, and looks like a security setting; did you mean "proxy_tls_verify"? It belongs in a group in "servers"`},
	})
}

// Each type has its own keys, and stream servers may use any type.
func TestHealthCheckTypes(t *testing.T) {
	t.Parallel()
	common := config.HealthCheck{Interval: 2 * time.Second, FastInterval: 2 * time.Second, Timeout: 2 * time.Second, Rise: 2, Fall: 3}
	for text, want := range map[string]config.HealthCheck{
		`{"type":"grpc"}`: {Type: "grpc"},
		`{"type":"grpc","service":"a.B","host":"h:1"}`: {Type: "grpc", Service: "a.B", Host: "h:1"},
		`{"type":"tcp"}`: {Type: "tcp"},
	} {
		for _, whole := range []string{healing(`"health_check":` + text), group(`"hosts":[{"host":"h","port":1}],"health_check":` + text)} {
			c := parsed(t, whole)
			want.Interval, want.FastInterval, want.Timeout, want.Rise, want.Fall = common.Interval, common.FastInterval, common.Timeout, common.Rise, common.Fall
			if got := *c.Group("b").HealthCheck; !reflect.DeepEqual(got, want) {
				t.Errorf("%s: got %+v, want %+v", whole, got, want)
			}
		}
	}
}

func TestPassiveCheckErrors(t *testing.T) {
	t.Parallel()
	checkOutcomes(t, []outcomeCase{
		{healing(`"passive_check":{"failures":0,"window":0,"eject":"10s","max_eject":"5s","status":["500-600",200,"4xx"]}`),
			`f:1:101: http.servers.b.passive_check.failures: 0 is outside 1-1000000; write a number of failures from 1 to 1000000
f:1:112: http.servers.b.passive_check.window: 0s is less than 1ms; write whole milliseconds, such as 10000, or a time with a unit, such as "1.5s"
f:1:140: http.servers.b.passive_check.max_eject: it is less than "eject", 10s; write at least as much
f:1:155: http.servers.b.passive_check.status[0]: 500-600 is outside 400-599; write a status from 400 to 599, or several as in "500-599" or "5xx"
f:1:165: http.servers.b.passive_check.status[1]: 200 is outside 400-599; write a status from 400 to 599, or several as in "500-599" or "5xx"`},
		{healing(`"passive_check":"off"`),
			`f:1:89: http.servers.b.passive_check: must be an object, true or false, not the string "off"; write { "failures": 3 }, true for the defaults, or false for none`},
		{healing(`"passive_check":{"status":[],"eject":0,"max_eject":0}`),
			`f:1:99: http.servers.b.passive_check.status: there is nothing in it; write ["500-599"], or remove it
f:1:110: http.servers.b.passive_check.eject: 0s is less than 1ms; write whole milliseconds, such as 1000, or a time with a unit, such as "1.5s"
f:1:124: http.servers.b.passive_check.max_eject: 0s is less than 1ms; write whole milliseconds, such as 10000, or a time with a unit, such as "1.5s"`},
		{healing(`"passive_check":{"max_fails":3,"fail_timeout":10}`),
			`f:1:90: http.servers.b.passive_check.max_fails: unknown key "max_fails" has no effect; here it is called "failures"
f:1:104: http.servers.b.passive_check.fail_timeout: unknown key "fail_timeout" has no effect; here it is called "window"`},
		{healing(`"max_fails":3,"fail_timeout":"10s","slowstart":1,"health_uri":"/x","retries":3,"down":true,"ip_hash":true`),
			`W f:1:73: http.servers.b.max_fails: unknown key "max_fails" is ignored; here it is called "passive_check"
W f:1:87: http.servers.b.fail_timeout: unknown key "fail_timeout" is ignored; here it is called "passive_check"
W f:1:108: http.servers.b.slowstart: unknown key "slowstart" is ignored; here it is called "slow_start"
W f:1:122: http.servers.b.health_uri: unknown key "health_uri" is ignored; here it is called "health_check"
W f:1:140: http.servers.b.retries: unknown key "retries" is ignored; here it is called "retry"
W f:1:152: http.servers.b.down: unknown key "down" is ignored; here it is called "drain", and belongs in an entry of "hosts"
W f:1:164: http.servers.b.ip_hash: unknown key "ip_hash" is ignored; here it is called "balancing_algo"`},
	})
}

func TestQueueErrors(t *testing.T) {
	t.Parallel()
	checkOutcomes(t, []outcomeCase{
		{healing(`"queue":{"size":0,"timeout":0},"max_conns":1`),
			`f:1:89: http.servers.b.queue.size: 0 is outside 1-1000000; write a number of clients from 1 to 1000000
f:1:101: http.servers.b.queue.timeout: 0s is less than 1ms; write whole milliseconds, such as 1000, or a time with a unit, such as "1.5s"`},
		{healing(`"queue":10,"max_conns":1`),
			`f:1:81: http.servers.b.queue: must be an object, true or false, not the number 10; write { "size": 100 }, true for the defaults, or false for none`},
		{healing(`"queue":{"size":"x","timeot":5},"max_conns":1`),
			`f:1:89: http.servers.b.queue.size: must be a whole number, not the string "x"; write a number of clients from 1 to 1000000
f:1:93: http.servers.b.queue.timeot: unknown key "timeot" has no effect; did you mean "timeout"?`},
	})
}

func TestRetryErrors(t *testing.T) {
	t.Parallel()
	checkOutcomes(t, []outcomeCase{
		{healing(`"retry":{"attempts":101,"on":[],"budget":101,"buffer":"2MiB","try_timeout":-1}`),
			`f:1:93: http.servers.b.retry.attempts: 101 is outside 0-100; write a number of further tries from 0 to 100
f:1:102: http.servers.b.retry.on: there is nothing in it; write ["connect", "reset", "502", "503"], or remove it
f:1:114: http.servers.b.retry.budget: 101 is outside 0-100; write a percentage from 0 to 100
f:1:127: http.servers.b.retry.buffer: "2MiB" is more than 1048576 bytes; write a number of bytes, or a size with a unit, up to "1MiB"
f:1:148: http.servers.b.retry.try_timeout: -1 is negative; write whole milliseconds, such as 60000, a time with a unit, such as "1.5s", or 0 for no limit`},
		{healing(`"retry":{"attempts":-1,"on":"5xx","budget":-1,"buffer":2000000,"try_timeout":"x"}`),
			`f:1:93: http.servers.b.retry.attempts: -1 is negative; write a number of further tries from 0 to 100
f:1:116: http.servers.b.retry.budget: -1 is negative; write a percentage from 0 to 100
f:1:128: http.servers.b.retry.buffer: 2000000 is outside 0-1048576; write a number of bytes, or a size with a unit, up to "1MiB"
f:1:150: http.servers.b.retry.try_timeout: "x" is not a time; the units are "ms", "s", "m" and "h"; write whole milliseconds, such as 60000, a time with a unit, such as "1.5s", or 0 for no limit`},
		{healing(`"retry":{"on":["conect","error","http_502","conn-failure","off",200,"700","",true,"4x"]}`),
			`f:1:88: http.servers.b.retry.on[0]: unknown condition "conect"; did you mean "connect"?
f:1:97: http.servers.b.retry.on[1]: unknown condition "error"; here that is "connect" and "reset"
f:1:105: http.servers.b.retry.on[2]: unknown condition "http_502"; here that is "502"
f:1:116: http.servers.b.retry.on[3]: unknown condition "conn-failure"; here that is "connect"
f:1:131: http.servers.b.retry.on[4]: unknown condition "off"; here that is "retry": false
f:1:137: http.servers.b.retry.on[5]: 200 is outside 400-599; write a status from 400 to 599, or several as in "500-599" or "5xx"
f:1:141: http.servers.b.retry.on[6]: 700 is outside 400-599; write a status from 400 to 599, or several as in "500-599" or "5xx"
f:1:147: http.servers.b.retry.on[7]: unknown condition ""; write "connect", "reset" or "timeout", a status such as "502", or "5xx"
f:1:150: http.servers.b.retry.on[8]: must be a condition, not true; write ["connect", "reset", "502", "503"]
f:1:155: http.servers.b.retry.on[9]: "4x" is not a status; write a status from 400 to 599, or several as in "500-599" or "5xx"`},
		{healing(`"retry":{"on":5}`),
			`f:1:87: http.servers.b.retry.on: 5 is outside 400-599; write a status from 400 to 599, or several as in "500-599" or "5xx"`},
		{healing(`"retry":{"on":{}}`),
			`f:1:87: http.servers.b.retry.on: must be a condition, not an object; write ["connect", "reset", "502", "503"]`},
		{healing(`"retry":3`),
			`f:1:81: http.servers.b.retry: must be an object, true or false, not the number 3; write { "attempts": 2 }, true for the defaults, or false for none`},
		{healing(`"slow_start":-1`),
			`f:1:86: http.servers.b.slow_start: -1 is negative; write whole milliseconds, such as 60000, a time with a unit, such as "1.5s", or 0 for the full share at once`},
	})
}

func TestStickyErrors(t *testing.T) {
	t.Parallel()
	checkOutcomes(t, []outcomeCase{
		{healing(`"sticky":{"cookie":"a b","ttl":"x","path":"x","domain":"10.0.0.1","same_site":"sometimes"}`),
			`f:1:92: http.servers.b.sticky.cookie: "a b" is not the name of a cookie; write letters, digits and '-', such as "kroxy"
f:1:104: http.servers.b.sticky.ttl: "x" is not a time; the units are "ms", "s", "m" and "h"; write whole milliseconds, such as 60000, a time with a unit, such as "1.5s", or 0 for as long as the browser runs
f:1:115: http.servers.b.sticky.path: "x" does not begin with a slash, as every path does; write "/x"
f:1:128: http.servers.b.sticky.domain: "10.0.0.1" is an address, and has no names below it; write the domain that all names end with, such as "example.com", or remove it
f:1:151: http.servers.b.sticky.same_site: unknown choice "sometimes"; write "Lax", "Strict" or "None"`},
		{healing(`"sticky":{"cookie":"","path":"/a;b","domain":"a b","same_site":""}`),
			`f:1:92: http.servers.b.sticky.cookie: "" is not the name of a cookie; write letters, digits and '-', such as "kroxy"
f:1:102: http.servers.b.sticky.path: "/a;b" has ";" in it, which cannot be in a cookie; leave it out
f:1:118: http.servers.b.sticky.domain: "a b" has white space in it; write the domain that all names end with, such as "example.com"
f:1:136: http.servers.b.sticky.same_site: unknown choice ""; write "Lax", "Strict" or "None"`},
		{healing(`"sticky":{"cookie":5,"path":"/a\u0001","domain":"a.example:80","same_site":5}`),
			`f:1:92: http.servers.b.sticky.cookie: must be a string, not the number 5; put it in double quotes: "5"
f:1:101: http.servers.b.sticky.path: "/a\x01" has "\x01" in it, which cannot be in a cookie; leave it out
f:1:121: http.servers.b.sticky.domain: "a.example:80" has a port in it; write the domain that all names end with, such as "example.com"
f:1:148: http.servers.b.sticky.same_site: must be a string, not the number 5; put it in double quotes: "5"`},
		{healing(`"sticky":"kroxy"`),
			`f:1:82: http.servers.b.sticky: must be an object, true or false, not the string "kroxy"; write { "cookie": "kroxy" }, true for the defaults, or false for none`},
		{healing(`"sticky":{"name":"x","max_age":5,"samesite":"lax","secure":true}`),
			`f:1:83: http.servers.b.sticky.name: unknown key "name" has no effect here; it belongs in "http", a route or an entry of "hosts"
f:1:94: http.servers.b.sticky.max_age: unknown key "max_age" has no effect; here it is called "ttl"
f:1:106: http.servers.b.sticky.samesite: unknown key "samesite" has no effect; here it is called "same_site"
f:1:123: http.servers.b.sticky.secure: unknown key "secure" has no effect; remove it; the keys here are "cookie", "ttl", "path", "domain" or "same_site"`},
		{healing(`"sticky":{"same_site":"none"}`),
			`W f:1:83: http.servers.b.sticky.same_site: browsers reject a cookie with "None" from a server without TLS; write "Lax", or add "tls_enabled": true and a certificate`},
	})
}

// Two groups that a client may use on one site must not share a cookie.
func TestStickyGroupsTogether(t *testing.T) {
	t.Parallel()
	const groups = `"servers":{"a":{"hosts":[{"host":"h","port":1}],"sticky":true},"b":{"hosts":[{"host":"i","port":1}]},"c":{"hosts":[{"host":"j","port":1}],"sticky":{"cookie":"c"}}}`
	site := func(routes string) string { return `{"http":{"sticky":true,"routes":[` + routes + `],` + groups + `}}` }
	const both = `W f:1:%d: http.servers.b: its cookie "kroxy" is that of the group "a" too, on the same site, so a client that uses both groups keeps neither host; add "sticky": { "cookie": "kroxy-b" }`
	checkOutcomes(t, []outcomeCase{
		{site(`{"match":{"path":"/a"},"proxy_to":"a"},{"match":{"path":"/c"},"proxy_to":"c"},{"proxy_to":"b"}`), fmt.Sprintf(both, 197)},
		{site(`{"proxy_to":[{"group":"a"},{"group":"b"},{"group":"c"}]}`), fmt.Sprintf(both, 159)},
		{site(`{"match":{"host":"a.example"},"proxy_to":"a"},{"match":{"path":"/c"},"proxy_to":"c"},{"proxy_to":"b"}`), fmt.Sprintf(both, 204)},
		{site(`{"match":{"host":["x.example","a.example"]},"proxy_to":"b"},{"match":{"path":"/c"},"proxy_to":"c"},{"match":{"host":"a.example"},"proxy_to":"a"}`),
			`W f:1:228: http.servers.a.sticky: its cookie "kroxy" is that of the group "b" too, on the same site, so a client that uses both groups keeps neither host; write another name: { "cookie": "kroxy-a" }`},
		{site(`{"match":{"host":"a.example"},"proxy_to":"a"},{"match":{"host":"c.example"},"proxy_to":"c"},{"match":{"host":"b.example"},"proxy_to":"b"}`), ``},
		{site(`{"match":{"path":"/a"},"proxy_to":"a"},{"match":{"path":"/c"},"proxy_to":"c"},{"proxy_to":"b","sticky":{"path":"/b"}}`), ``},
		{site(`{"match":{"path":"/a"},"proxy_to":"a"},{"match":{"path":"/c"},"proxy_to":"c"},{"proxy_to":"a"},{"match":{"path":"/b"},"proxy_to":"b","sticky":false}`), ``},
		{`{"sticky":{"domain":"example"},"http":{"routes":[{"match":{"host":"a.example"},"proxy_to":"a"},{"match":{"host":"c.example"},"proxy_to":"c"},{"match":{"host":"b.example"},"proxy_to":"b"}],` + groups + `}}`,
			fmt.Sprintf(both, 256)},
	})
}

func TestResolverErrors(t *testing.T) {
	t.Parallel()
	checkOutcomes(t, []outcomeCase{
		{`{"resolver":true,"http":{"proxy_to":"b"},` + groupB + `}`,
			`f:1:13: resolver: must be an object, not true; write { "servers": ["10.0.0.53"] }`},
		{`{"resolver":{"servers":["dns.example","10.0.0.1:0","https://1.1.1.1/dns-query","10.0.0.1:x",5],"min_ttl":0,"search":["a b","10.0.0.1",""]},"http":{"proxy_to":"b"},` + groupB + `}`,
			`f:1:25: resolver.servers[0]: "dns.example" is not an address: the name of a DNS server cannot be looked up; write addresses as in ["10.0.0.53", "127.0.0.1:5353"]
f:1:39: resolver.servers[1]: "10.0.0.1:0" has the port 0; write addresses as in ["10.0.0.53", "127.0.0.1:5353"]
f:1:52: resolver.servers[2]: "https://1.1.1.1/dns-query" is a URL, and DNS over TLS or HTTP is not supported; write addresses as in ["10.0.0.53", "127.0.0.1:5353"]
f:1:80: resolver.servers[3]: "10.0.0.1:x" is not an address: the name of a DNS server cannot be looked up; write addresses as in ["10.0.0.53", "127.0.0.1:5353"]
f:1:93: resolver.servers[4]: must be a string, not the number 5; write ["10.0.0.53", "127.0.0.1:5353"]
f:1:106: resolver.min_ttl: 0s is less than 1s; write whole milliseconds, such as 1000, or a time with a unit, such as "1.5s"
f:1:118: resolver.search[0]: "a b" has white space in it; write domains as in ["corp.example"]
f:1:124: resolver.search[1]: "10.0.0.1" is an address, not a domain; write domains as in ["corp.example"]
f:1:135: resolver.search[2]: "" has an empty part between dots; write domains as in ["corp.example"]`},
		{`{"resolver":{"servers":[],"min_ttl":"10m","nameservers":[],"valid":5},"http":{"proxy_to":"b"},` + groupB + `}`,
			`f:1:24: resolver.servers: there is nothing in it; write ["10.0.0.53", "127.0.0.1:5353"], or remove it
f:1:37: resolver.min_ttl: "min_ttl" is 10m0s, more than "max_ttl", 5m0s; change one of the two
f:1:43: resolver.nameservers: unknown key "nameservers" has no effect; here it is called "servers"
f:1:60: resolver.valid: unknown key "valid" has no effect; here it is called "max_ttl"`},
		{`{"resolver":{"max_ttl":5000,"min_ttl":6000},"http":{"proxy_to":"b"},` + groupB + `}`,
			`f:1:39: resolver.min_ttl: "min_ttl" is 6s, more than "max_ttl", 5s; change one of the two`},
		{`{"resolver":{"min_ttl":999,"max_ttl":"0.5s"},"http":{"proxy_to":"b"},` + groupB + `}`,
			`f:1:24: resolver.min_ttl: 999ms is less than 1s; write whole milliseconds, such as 1000, or a time with a unit, such as "1.5s"
f:1:38: resolver.max_ttl: 500ms is less than 1s; write whole milliseconds, such as 300000, or a time with a unit, such as "1.5s"`},
		{`{"resolvers":{},"http":{"proxy_to":"b","resolver":{}},` + groupB + `}`,
			`W f:1:2: resolvers: unknown key "resolvers" is ignored; here it is called "resolver"
W f:1:40: http.resolver: unknown key "resolver" is ignored here; it belongs in the file's top level`},
	})
}
