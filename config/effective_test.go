package config_test

import (
	"os"
	"strings"
	"testing"

	"github.com/goccy/go-json"

	"kroxy-ev/config"
)

// The effective configuration is complete: read as a file, it gives the same configuration.
func TestEffectiveIsTheSame(t *testing.T) {
	t.Parallel()
	grammar, err := os.ReadFile("testdata/grammar.jsonc")
	if err != nil {
		t.Fatal(err)
	}
	text := strings.Replace(string(grammar), `"certificates": [{ "cert_path": "site.pem", "key_path": "site.key" }],`, "", 1)
	text = strings.ReplaceAll(text, `"tls": true, `, "")
	for name, text := range map[string]string{
		"f.jsonc": text,
		"f.json": `{"send_timeout":"7s","http":[{"port":1,"read_timeout":5,"proxy_to":"b","headers":{"X-A":"$host"}},{"port":2,"routes":[{"proxy_to":"b","connect_timeout":9},{"match":{"path":"/x","header":{"A":["1","2"],"B":true,"C":{"regex":"x+"}}},"redirect":{"to":"https://$host/"}}]}],` +
			`"stream":{"port":3,"proxy_to":"b","health_check":true}, "admin":[{"listen":[{"unix":"/run/a","mode":"0600"}]},{"listen":[{"port":4}],"metrics_only":true}],` + groupB + "}",
		"two.json": `{"http":{"listen":[{"port":1,"protocols":["h2c"]},{"port":2,"protocols":["http/1.1","h2c"]},{"port":3}],"http2":{"max_streams":5,"window":"1MiB"},"proxy_to":"b"},` +
			`"stream":{"port":4,"proxy_to":"b"},"admin":{"listen":[{"port":5}]},"servers":{"b":{"protocol":"h2c","hosts":[{"host":"h","port":1}]}}}`,
		"plain.json": `{"http":{"port":1,"proxy_to":"b"},` + groupB + "}",
		"more.json": `{"syslog":true,"tracing":{"otlp_http":"http://127.0.0.1:4318","sampling":0.5},"log_if":{"status":"5xx","sample":0.1},"error_log_format":"json","request_id":true,` +
			`"resolver":{"servers":["127.0.0.1:53"],"search":["x.example"]},"response_headers":{"set":{"C":"d","E":"f"},"add":{"A":"b"},"remove":["G"]},"proxy_read_timeout":7,"proxy_set_host":"upstream",` +
			`"http":[{"name":"one","port":1,"redirect":{"to":"https://$host/"}},{"port":2,"file_log":"/dev/null","routes":[{"match":{"path_regex":"/(.*)/y","cookie":{"C":false},"client":"::ffff:10.0.0.0/104"},"rewrite":{"path":"/$1"},"headers":{"X-A":"$host"},"proxy_to":"t"},` +
			`{"match":{"path":"/y"},"respond":{"body":"y","headers":{"X-Y":"z"}},"log_if":false},{"match":{"path":"/z"},"redirect":{"to":"/"},"response_headers":{"set":{"C":null},"add":{"A":null},"remove":null}},{"respond":{"status":404},"response_headers":null}]},{"port":5,"syslog":false,"proxy_to":"v"}],` +
			`"stream":[{"listen":[{"unix":"/run//s","mode":"0600"},{"address":"::","ipv6_only":true,"port":3,"backlog":7,"proxy_protocol":["10.0.0.0/8"]}],"routes":[{"match":{"sni":"*.a.example"},"proxy_to":[{"group":"u","weight":0},{"group":"f"}]}]}],` +
			`"servers":{"t":{"proxy_tls_enabled":true,"proxy_tls_server_name":"t.example","protocol":"auto","balancing_algo":"hash","hash_key":"$client_addr","hosts":[{"host":"h","port":1,"name":"n","max_conns":3},{"host":"h","port":2,"backup":true}],` +
			`"queue":{"size":3},"sticky":{"cookie":"c","ttl":"1h"},"slow_start":"3s","passive_check":{"status":"5xx"},"retry":{"on":["timeout","5xx"]},"health_check":{"type":"grpc","service":"s","fast_interval":50}},` +
			`"f":{"balancing_algo":"first","hosts":[{"host":"h","port":1}],"retry":{"on":["connect"]}},"v":{"hosts":[{"host":"h","port":1}]},"u":{"hosts":[{"unix":"/run/u"},{"srv":"_x._tcp.example"}],"passive_check":false,"retry":false,"proxy_protocol":"v1","tcp_keepalive":"5s"}}}`,
	} {
		before, _, err := config.Parse(name, []byte(text))
		if err != nil {
			t.Fatal(err)
		}
		shown, err := before.Effective()
		if err != nil {
			t.Fatal(err)
		}
		after, warnings, err := config.Parse("shown.json", shown)
		if err != nil {
			t.Fatalf("%v\n%s", err, shown)
		}
		for _, w := range warnings { // there are warnings where empty or ineffective values are shown
			t.Errorf("%s: %s", name, w)
		}
		for _, change := range config.Changes(before, after) {
			t.Errorf("%s: %s", name, change)
		}
	}
}

// Possible secrets are not shown, wherever they are.
func TestEffectiveHidesSecrets(t *testing.T) {
	t.Setenv("UPSTREAM_API_KEY", "s3cret-of-env")
	c, _, err := config.Parse("f", []byte(`{"http":{"routes":[
		{"match":{"header":{"Authorization":"s3cret-1"},"query":{"token":"s3cret-2"},"cookie":{"session":["s3cret-3"]}},"proxy_to":"b"},
		{"match":{"path":"/a"},"respond":{"status":200,"headers":{"Set-Cookie":"s3cret-4"}}},
		{"match":{"path":"/b"},"redirect":{"to":"https://u:s3cret-5@h/"}},
		{"request_headers":{"set":{"authorization":"Bearer s3cret-6","X-Api-Key":"s3cret-7","X-Up":"a ${UPSTREAM_API_KEY} b","X-See":"at http://u:p@s3cret-9@h/ or http://h/@","X-Plain":"plain"},"add":{"Cookie":"s3cret-8"}},"proxy_to":"b"}]},
		"admin":{"listen":[{"port":9900}],"token_file":"/etc/kroxy/token"},`+groupB+`}`))
	if err != nil {
		t.Fatal(err)
	}
	shown, err := c.Effective()
	if err != nil || !json.Valid(shown) {
		t.Fatalf("%v\n%s", err, shown)
	}
	text := string(shown)
	if strings.Contains(text, "s3cret") {
		t.Errorf("there are secrets in\n%s", text)
	}
	for _, want := range []string{`"plain"`, `"a (hidden) b"`, `"https://u:(hidden)@h/"`, `"at http://u:(hidden)@h/ or http://h/@"`, `"/etc/kroxy/token"`} {
		if !strings.Contains(text, want) {
			t.Errorf("there is no %s in\n%s", want, text)
		}
	}
	if again, _ := c.Effective(); string(again) != text || c.Servers[0].Routes[3].RequestHeaders.Set[0].Value != "Bearer s3cret-6" {
		t.Error("the configuration has changed by being shown")
	}
}
