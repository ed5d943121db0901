package config_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"kroxy-ev/config"
)

// parsed returns the configuration of a text.
func parsed(t *testing.T, text string) *config.Config {
	t.Helper()
	c, _, err := config.Parse("f", []byte(text))
	if err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return c
}

func TestChanges(t *testing.T) {
	t.Parallel()
	host := func(port int) string { return fmt.Sprintf(`{"host":"127.0.0.1","port":%d}`, port) }
	web := func(hosts, more string) string {
		return `{"http":{"port":8080,"proxy_to":"web"` + more + `,"servers":{"web":{"hosts":[` + hosts + `]}}}}`
	}
	one := web(host(1), "")
	routes := func(list string) string {
		return `{"servers":{"a":{"hosts":[` + host(1) + `]},"b":{"hosts":[` + host(2) + `]}},"http":{"routes":[` + list + `]}}`
	}
	const api, rest = `{"match":{"path_prefix":"/api"},"proxy_to":"a"}`, `{"proxy_to":"b"}`
	var many, faster []string
	for i := range 9 {
		many = append(many, fmt.Sprintf(`{"match":{"path":"/%d"},"proxy_to":"a"}`, i))
		faster = append(faster, fmt.Sprintf(`{"match":{"path":"/%d"},"proxy_to":"a","proxy_read_timeout":5}`, i))
	}
	for name, test := range map[string]struct {
		before, after string
		want          []string
	}{
		"nothing":                           {one, one, nil},
		"what is written and was so before": {one, web(`{"host":"127.0.0.1","port":1,"weight":1}`, `,"keepalive_timeout":75000`), nil},
		"hosts": {web(host(1)+","+host(2), ""), web(`{"host":"127.0.0.1","port":2,"weight":5,"drain":true},{"host":"::1","port":3},{"unix":"/run/a"}`, ""),
			[]string{"removed host web/127.0.0.1:1", "added host web/[::1]:3", "added host web/unix:/run/a", "changed host web/127.0.0.1:2: weight 1 -> 5, drain false -> true"}},
		"hosts in another order": {web(host(1)+","+host(2), ""), web(host(2)+","+host(1), ""), []string{"changed group web: order of hosts"}},
		"a host twice":           {web(host(1), ""), web(host(1)+","+host(1), ""), []string{"added host web/127.0.0.1:1"}},
		"a group's own": {one, strings.Replace(one, `"hosts"`, `"balancing_algo":"least_conn","health_check":true,"connect_timeout":5,"hosts"`, 1),
			[]string{`changed group web: balancing_algo "round_robin" -> "least_conn", connect_timeout 1m -> 5ms, health_check none -> set`}},
		"a section of a group": {strings.Replace(one, `"hosts"`, `"health_check":{"interval":50,"body":"x"},"hosts"`, 1),
			strings.Replace(one, `"hosts"`, `"health_check":{"interval":70,"body":"y","timeout":50},"hosts"`, 1),
			[]string{"changed group web: health_check.body, health_check.interval 50ms -> 70ms, health_check.fast_interval 50ms -> 70ms"}},
		"what hosts are spoken to in": {one, strings.Replace(one, `"hosts"`, `"protocol":"h2c","hosts"`, 1), []string{`changed group web: protocol "http/1.1" -> "h2c"`}},
		"what clients may speak": {web(host(1), `,"listen":[{"port":1,"protocols":["http/1.1","h2c"]}]`), web(host(1), `,"listen":[{"port":1}],"http2":{"max_streams":5}`),
			[]string{"changed server http: http2.max_streams 100 -> 5", "changed listener on port 1 of all IPv4 addresses of server http: protocols http/1.1 h2c -> http/1.1"}},
		"no passive checks": {one, strings.Replace(one, `"hosts"`, `"passive_check":false,"hosts"`, 1), []string{"changed group web: passive_check true -> false"}},
		"the process":       {one, `{"workers_num":3,"log_level":"debug","shutdown_timeout":0,"pid_file":"/p",` + one[1:], []string{"changed workers_num 1 -> 3", "changed shutdown_timeout 8s -> 0s", `changed pid_file "" -> "/p"`, "changed log_level info -> debug"}},
		"the resolver":      {one, `{"resolver":{"servers":["10.0.0.53"]},` + one[1:], []string{"changed resolver.servers none -> 10.0.0.53:53"}},
		"a server without routes": {one, web(host(1), `,"send_timeout":30000,"proxy_read_timeout":1000,"trusted_proxies":["10.0.0.0/8"]`),
			[]string{"changed server http: send_timeout 1m -> 30s, proxy_read_timeout 1m -> 1s, trusted_proxies none -> 10.0.0.0/8"}},
		"ports": {one, strings.Replace(one, "8080", "8081", 1), []string{"removed listener on port 8080 of all IPv4 addresses of server http", "added listener on port 8081 of all IPv4 addresses of server http"}},
		"a listener": {web(host(1), `,"listen":[{"address":"127.0.0.1","port":1},{"unix":"/u"}]`), web(host(1), `,"listen":[{"address":"127.0.0.1","port":1,"backlog":9},{"unix":"/u","mode":"0600"}]`),
			[]string{"changed listener on 127.0.0.1:1 of server http: backlog 0 -> 9", `changed listener on "/u" of server http: mode -rw-rw---- -> -rw-------`}},
		"servers": {`{"stream":[{"port":1,"proxy_to":"a"},{"port":2,"proxy_to":"a"}],"servers":{"a":{"hosts":[` + host(1) + `]}}}`,
			`{"stream":[{"port":3,"proxy_to":"a"},{"port":2,"proxy_to":"a","name":"two"}],"http":{"port":1,"proxy_to":"a","name":"web"},"servers":{"a":{"hosts":[` + host(1) + `]}}}`,
			[]string{"removed listener on port 1 of all IPv4 addresses of server stream[0]", "added listener on port 3 of all IPv4 addresses of server stream[0]",
				`changed server two: name "" -> "two"`, "added server web, on port 1 of all IPv4 addresses"}},
		"a server goes": {`{"stream":[{"port":1,"proxy_to":"a"},{"port":2,"proxy_to":"a"}],"servers":{"a":{"hosts":[` + host(1) + `]}}}`,
			`{"stream":[{"port":2,"proxy_to":"a"}],"servers":{"a":{"hosts":[` + host(1) + `]}}}`,
			[]string{"removed server stream[0], on port 1 of all IPv4 addresses"}},
		"routes":                  {routes(api + "," + rest), routes(`{"match":{"path":"/"},"redirect":{"to":"/api"},"name":"home"},` + api + `,{"proxy_to":[{"group":"a","weight":5},{"group":"b","weight":95}]}`), []string{"added route home of server http", `changed route http.routes[2] of server http: proxy_to "b" -> "a" by 5 and "b" by 95`}},
		"routes in another order": {routes(api + "," + `{"match":{"method":"GET"},"proxy_to":"a"},` + rest), routes(`{"match":{"method":"GET"},"proxy_to":"a"},` + api + "," + rest), []string{"changed server http: order of routes"}},
		"a route goes":            {routes(api + "," + rest), routes(rest), []string{"removed route http.routes[0] of server http"}},
		"a route for something else": {routes(`{"match":{"path":"/a"},"proxy_to":"a","name":"x"},` + rest), routes(`{"match":{"path":"/b"},"proxy_to":"a","name":"x","request_headers":{"set":{"Authorization":"secret"}}},` + rest),
			[]string{"changed route x of server http: match, request_headers"}},
		"many routes":     {routes(strings.Join(many, ",") + "," + rest), routes(strings.Join(faster, ",") + "," + rest), []string{"changed 9 routes of server http (http.routes[0] to http.routes[8]): proxy_read_timeout 1m -> 5ms"}},
		"no routes first": {one, `{"http":{"port":8080,"routes":[{"proxy_to":"web"}],"servers":{"web":{"hosts":[` + host(1) + `]}}}}`, []string{}},
		"groups": {`{"servers":{"a":{"hosts":[` + host(1) + `]},"b":{"hosts":[` + host(2) + `]}},"stream":{"port":1,"proxy_to":"b"}}`, `{"servers":{"a":{"hosts":[` + host(1) + `]},"c":{"hosts":[` + host(2) + "," + host(3) + `]}},"stream":{"port":1,"proxy_to":"c"}}`,
			[]string{`changed server stream: proxy_to "b" -> "c"`, "removed group b with 1 host", "added group c with 2 hosts"}},
		"groups of one name": {`{"http":[{"port":1,"proxy_to":"a","servers":{"a":{"hosts":[` + host(1) + `]}}},{"port":2,"proxy_to":"a","servers":{"a":{"hosts":[` + host(2) + `]}}}]}`,
			`{"http":[{"port":1,"proxy_to":"a","servers":{"a":{"hosts":[` + host(1) + `]}}},{"port":2,"proxy_to":"a","servers":{"a":{"hosts":[` + host(3) + `]}}}]}`,
			[]string{"removed host http[1].servers.a/127.0.0.1:2", "added host http[1].servers.a/127.0.0.1:3"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := config.Changes(parsed(t, test.before), parsed(t, test.after))
			if !slices.Equal(got, test.want) {
				t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(test.want, "\n"))
			}
		})
	}
}
