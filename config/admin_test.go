package config_test

import (
	"net/netip"
	"reflect"
	"testing"

	"kroxy-ev/config"
)

// The admin endpoint: one object or several, at the top of the file or, as with Kroxy's process keys, in a server.
func TestAdmin(t *testing.T) {
	t.Parallel()
	const rest = `"proxy_to":"b"},` + groupB + `}`
	local := netip.MustParseAddr("127.0.0.1")
	for _, c := range []struct {
		text string
		want []config.Admin
	}{
		{`{"http":{` + rest, nil},
		{`{"admin":false,"http":{` + rest, nil},
		{`{"admin":{"listen":[{"port":9900}]},"http":{` + rest, []config.Admin{
			{Path: "admin", Listen: []config.Listen{{Path: "admin.listen[0]", Address: local, Port: 9900}}},
		}},
		{`{"admin":[{"listen":[{"port":9900},{"unix":"/run/a","mode":"0600"}],"token_file":"/etc/t"},{"listen":[{"address":"::","port":9901}],"metrics_only":true}],"http":{` + rest, []config.Admin{
			{Path: "admin[0]", Listen: []config.Listen{{Path: "admin[0].listen[0]", Address: local, Port: 9900}, {Path: "admin[0].listen[1]", Unix: "/run/a", UnixMode: 0o600}}, TokenFile: "/etc/t"},
			{Path: "admin[1]", Listen: []config.Listen{{Path: "admin[1].listen[0]", Address: netip.IPv6Unspecified(), Port: 9901}}, MetricsOnly: true},
		}},
		{`{"admin":{"listen":[{"address":"0.0.0.0","port":1}],"metrics_only":true},"http":{` + rest, []config.Admin{
			{Path: "admin", Listen: []config.Listen{{Path: "admin.listen[0]", Port: 1}}, MetricsOnly: true},
		}},
		{`{"http":{"admin":{"listen":[{"port":9900}]},` + rest, []config.Admin{
			{Path: "http.admin", Listen: []config.Listen{{Path: "http.admin.listen[0]", Address: local, Port: 9900}}},
		}},
	} {
		cfg, warnings, err := config.Parse("f", []byte(c.text))
		if err != nil || len(warnings) > 0 {
			t.Errorf("%s: %v, %v", c.text, err, warnings)
		} else if !reflect.DeepEqual(cfg.Admin, c.want) {
			t.Errorf("%s: %+v, want %+v", c.text, cfg.Admin, c.want)
		}
	}
}

func TestAdminErrors(t *testing.T) {
	t.Parallel()
	const web = `"http":{"proxy_to":"b","port":80},` + groupB + `}`
	checkOutcomes(t, []outcomeCase{
		{`{"admin":{},` + web, `f:1:10: admin.listen: it is missing: the endpoint would listen nowhere; add "listen": [{ "port": 9900 }]`},
		{`{"admin":[],` + web, `f:1:10: admin: there is nothing in it; write { "listen": [{ "port": 9900 }] }, or remove it`},
		{`{"admin":true,` + web, `f:1:10: admin: must be an object, not true; write { "listen": [{ "port": 9900 }] }`},
		{`{"admin":"off",` + web, `f:1:10: admin: must be an object, not the string "off"; write false, or remove it`},
		{`{"admin":"127.0.0.1:9900",` + web, `f:1:10: admin: must be an object, not the string "127.0.0.1:9900"; write { "listen": [{ "address": "127.0.0.1", "port": 9900 }] }`},
		{`{"admin":9900,` + web, `f:1:10: admin: must be an object, not the number 9900; write { "listen": [{ "port": 9900 }] }`},
		{`{"admin":{"listen":[]},` + web, `f:1:20: admin.listen: there is nothing in it; write [{ "port": 9900 }]`},
		{`{"admin":{"listen":{"port":9900}},` + web, `f:1:20: admin.listen: must be an array, not an object; write [{ ... }]`},
		{`{"admin":{"listen":"/run/a"},` + web, `f:1:20: admin.listen: must be an array, not the string "/run/a"; write [{ "unix": "/run/a" }]`},
		{`{"admin":{"listen":[9900]},` + web, `f:1:21: admin.listen[0]: must be an object, not the number 9900; write { "port": 9900 }`},
		{`{"admin":{"listen":[{"address":"localhost","port":9900}]},` + web, `f:1:32: admin.listen[0].address: "localhost" is not an address; write an address such as "127.0.0.1", which is the default`},
		{`{"admin":{"listen":[{}]},` + web, `f:1:21: admin.listen[0].port: it is missing; add "port": the TCP port to listen on, such as 8080`},
		{`{"admin":{"listen":[{"unix":"/run/a","port":1}]},` + web, `f:1:38: admin.listen[0].port: it has no effect together with "unix"; remove one of the two`},
		{`{"admin":{"listen":[{"port":9900,"tls":true}]},` + web, `f:1:34: admin.listen[0].tls: unknown key "tls" has no effect here, and looks like a security setting; it belongs in an entry of "listen"`},
		{`{"admin":{"listen":[{"port":9900}],"token":"x"},` + web, `f:1:36: admin.token: unknown key "token" has no effect; here it is called "token_file"`},
		{`{"admin":{"listen":[{"port":9900}],"token_file":""},` + web, `f:1:49: admin.token_file: it is empty; name a file that has a token, or remove the key`},
		{`{"admin":{"listen":[{"port":80}]},` + web, `f:1:21: admin.listen[0]: 127.0.0.1:80 overlaps port 80 of all IPv4 addresses, first in http.port (f:1:65); remove one of the two, or give it another port`},
		{`{"admin":[{"listen":[{"port":9900}]},{"listen":[{"port":9900}]}],` + web,
			`f:1:49: admin[1].listen[0]: 127.0.0.1:9900 is listened on twice, first in admin[0].listen[0] (f:1:22); give it another port`},
		{`{"admin":{"listen":[{"address":"10.0.0.5","port":9900}]},` + web,
			`W f:1:20: admin.listen: 10.0.0.5:9900 is beyond this machine, and anyone who can reach it may control the program; add "token_file", or "metrics_only": true, or listen on 127.0.0.1 or a Unix-domain socket`},
		{`{"admin":{"listen":[{"port":9900}]},"http":{"proxy_to":"b","admin":{"listen":[{"port":9901}]}},` + groupB + `}`,
			`f:1:68: http.admin: it differs from admin in f:1:10: a process has one "admin"; remove one of the two; it may be an array of objects`},
		{`{"stub_status":true,` + web, `W f:1:2: stub_status: unknown key "stub_status" is ignored; here it is called "admin"`},
		{`{"metrics":{"prometheus":{}},` + web, `W f:1:2: metrics: unknown key "metrics" is ignored; here it is called "admin"`},
	})
}
