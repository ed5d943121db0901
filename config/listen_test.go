package config_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"kroxy-ev/config"
)

func TestListen(t *testing.T) {
	t.Parallel()
	p := writePair(t)
	c, warnings := parse(t, `{"http":{"port":1,"proxy_to":"b","tls_cert_path":"`+p.CertPath+`","tls_key_path":"`+p.KeyPath+`","listen":[
		{"port":2},{"address":"127.0.0.1","port":3,"tls":true,"backlog":5},{"address":"::","port":4,"proxy_protocol":["10.1.2.3/8"]},
		{"address":"::","port":5,"ipv6_only":true,"tcp_keepalive":"5s"},{"address":"0.0.0.0","port":6},{"address":"[::1]","port":7},{"address":"::ffff:10.0.0.1","port":8},
		{"unix":"/run/a.sock"},{"unix":"/run/b.sock","mode":"0600","tls":true,"proxy_protocol":["::/0"]}]},`+groupB+`}`)
	var got []string
	for _, l := range c.Servers[0].Listen {
		got = append(got, fmt.Sprintf("%s: %s tls %v v6 %v mode %o proxy %v backlog %d probe %v", l.Path, l.Key(), l.TLS, l.IPv6Only, l.UnixMode, l.ProxyProtocol, l.Backlog, l.TCPKeepalive))
	}
	want := []string{
		"http.port: tcp 0.0.0.0:1 tls false v6 false mode 0 proxy [] backlog 0 probe 0s",
		"http.listen[0]: tcp 0.0.0.0:2 tls false v6 false mode 0 proxy [] backlog 0 probe 0s",
		"http.listen[1]: tcp 127.0.0.1:3 tls true v6 false mode 0 proxy [] backlog 5 probe 0s",
		"http.listen[2]: tcp [::]:4 tls false v6 false mode 0 proxy [10.0.0.0/8] backlog 0 probe 0s",
		"http.listen[3]: tcp [::]:5 ipv6_only tls false v6 true mode 0 proxy [] backlog 0 probe 5s",
		"http.listen[4]: tcp 0.0.0.0:6 tls false v6 false mode 0 proxy [] backlog 0 probe 0s",
		"http.listen[5]: tcp [::1]:7 tls false v6 false mode 0 proxy [] backlog 0 probe 0s",
		"http.listen[6]: tcp 10.0.0.1:8 tls false v6 false mode 0 proxy [] backlog 0 probe 0s",
		"http.listen[7]: unix /run/a.sock tls false v6 false mode 660 proxy [] backlog 0 probe 0s",
		"http.listen[8]: unix /run/b.sock tls true v6 false mode 600 proxy [::/0] backlog 0 probe 0s",
	}
	if !slices.Equal(got, want) || len(warnings) > 0 {
		t.Errorf("got\n%s\nwarnings %v", strings.Join(got, "\n"), warnings)
	}
	if tls := c.Servers[0].TLS; !tls.Enabled || len(tls.Certificates) != 1 {
		t.Errorf("TLS is %+v", tls)
	}
	c, _ = parse(t, `{"tls_enabled":true,"tls_cert_path":"`+p.CertPath+`","tls_key_path":"`+p.KeyPath+`","http":{"proxy_to":"b","listen":[{"port":1},{"port":2,"tls":false}]},`+groupB+`}`)
	if l := c.Servers[0].Listen; !l[0].TLS || l[1].TLS || len(l) != 2 {
		t.Errorf("tls_enabled of the file: %+v", l)
	}
}

func TestListenErrors(t *testing.T) {
	t.Parallel()
	listen := func(entries string) string {
		return `{"http":{"listen":` + entries + `,"proxy_to":"b"},` + groupB + `}`
	}
	const again = "; remove one of the two, or give it another port"
	const routes = ": routes can distinguish requests for several names on one port"
	checkOutcomes(t, []outcomeCase{
		{listen(`80`), `f:1:19: http.listen: must be an array, not the number 80; write [{ "port": 80 }]`},
		{listen(`"*:80"`), `f:1:19: http.listen: must be an array, not the string "*:80"; write [{ "port": 80 }]`},
		{listen(`"/run/x"`), `f:1:19: http.listen: must be an array, not the string "/run/x"; write [{ "unix": "/run/x" }]`},
		{listen(`["127.0.0.1:80","[::1]:443","443","unix:/x","x"]`), `f:1:20: http.listen[0]: must be an object, not the string "127.0.0.1:80"; write { "address": "127.0.0.1", "port": 80 }
f:1:35: http.listen[1]: must be an object, not the string "[::1]:443"; write { "address": "::1", "port": 443 }
f:1:47: http.listen[2]: must be an object, not the string "443"; write { "port": 443 }
f:1:53: http.listen[3]: must be an object, not the string "unix:/x"; write { "unix": "/x" }
f:1:63: http.listen[4]: must be an object, not the string "x"; write { "port": 80 }`},
		{listen(`{"port":80}`), `f:1:19: http.listen: must be an array, not an object; write [{ ... }]`},
		{listen(`[]`), `f:1:19: http.listen: there is nothing in it; write [{ "port": 80 }]`},
		{listen(`[{}]`), `f:1:20: http.listen[0].port: it is missing; add "port": the TCP port to listen on, such as 8080`},
		{listen(`[{"port":80,"prot":1,"ssl":true,"_note":1}]`), `W f:1:51: http.listen[0]._note: unknown key "_note" has no effect; remove it
f:1:31: http.listen[0].prot: unknown key "prot" has no effect; did you mean "port"?
f:1:40: http.listen[0].ssl: unknown key "ssl" has no effect, and looks like a security setting; here it is called "tls"`},
		{listen(`[{"port":80,"address":"a.example"},{"port":81,"address":"*"},{"port":82,"address":"10.0.0.1:80"},{"port":83,"address":5}]`),
			`f:1:41: http.listen[0].address: "a.example" is not an address; write an address such as "127.0.0.1" or "::"; without the key, the server listens on all IPv4 addresses
f:1:75: http.listen[1].address: "*" is not an address; write an address such as "127.0.0.1" or "::"; without the key, the server listens on all IPv4 addresses
f:1:101: http.listen[2].address: "10.0.0.1:80" has a port in it; write the address alone: "10.0.0.1", and "port": 80
f:1:137: http.listen[3].address: must be a string, not the number 5; put it in double quotes: "5"`},
		{listen(`[{"port":80,"ipv6_only":true},{"port":81,"mode":"0660"},{"port":82,"proxy_protocol":[]},{"port":83,"proxy_protocol":["x"]}]`),
			`W f:1:31: http.listen[0].ipv6_only: it is ignored without "address": "::"; remove it
f:1:60: http.listen[1].mode: it has no effect without "unix"; remove it, or write "unix" in place of "port"
f:1:103: http.listen[2].proxy_protocol: there are no networks in it, so every connection would be refused; write the networks that send PROXY headers, such as ["10.0.0.0/8"], or remove it
f:1:136: http.listen[3].proxy_protocol[0]: "x" is neither an address nor a network; write it as in ["10.0.0.0/8", "::1"]`},
		{listen(`[{"unix":"x"},{"unix":"unix:/x"},{"unix":"/x","port":1},{"unix":"/y","mode":660},{"unix":"/z","mode":"0999"},{"unix":"/` + strings.Repeat("a", 107) + `"}]`),
			`f:1:28: http.listen[0].unix: "x" is not an absolute path; write one such as "/run/app.sock"
f:1:41: http.listen[1].unix: "unix:/x" has a scheme before the path; write "/x"
f:1:65: http.listen[2].port: it has no effect together with "unix"; remove one of the two
f:1:95: http.listen[3].mode: must be a string, not the number 660; write octal digits in a string, such as "0660"
f:1:120: http.listen[4].mode: "0999" is not a mode; write octal digits in a string, such as "0660"
f:1:136: http.listen[5].unix: "/aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa…aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa" is longer than the 107 bytes that the path of a socket may have; use a shorter path`},
		{listen(`[{"port":1,"tls":true}]`),
			`f:1:9: http.tls_cert_path: it is missing, and tls is true in http.listen[0]; add "tls_cert_path": the path of a PEM file with the certificate chain
f:1:9: http.tls_key_path: it is missing, and tls is true in http.listen[0]; add "tls_key_path": the path of a PEM file with the private key`},

		// One socket belongs to one entry.
		{listen(`[{"port":1},{"port":1}]`), `f:1:31: http.listen[1]: port 1 of all IPv4 addresses is listened on twice, first in http.listen[0] (f:1:20)` + again + routes},
		{listen(`[{"port":1},{"address":"10.0.0.1","port":1},{"address":"::","port":2,"ipv6_only":true},{"address":"::1","port":2},{"address":"10.0.0.1","port":2}]`),
			`f:1:31: http.listen[1]: 10.0.0.1:1 overlaps port 1 of all IPv4 addresses, first in http.listen[0] (f:1:20)` + again + `
f:1:106: http.listen[3]: [::1]:2 overlaps port 2 of all IPv6 addresses, first in http.listen[2] (f:1:63)` + again},
		{listen(`[{"port":1},{"address":"::","port":1}]`),
			`f:1:31: http.listen[1]: port 1 of all addresses overlaps port 1 of all IPv4 addresses, first in http.listen[0] (f:1:20)` + again + `; "ipv6_only": true leaves IPv4 out of "::"`},
		{listen(`[{"port":1},{"address":"::","port":1,"ipv6_only":true},{"address":"10.0.0.1","port":2},{"address":"10.0.0.2","port":2},{"address":"::1","port":2}]`), ``},
		{listen(`[{"unix":"/x/./y"},{"unix":"//x/y"},{"unix":"/x/../x/y"}]`), `f:1:38: http.listen[1]: "/x/y" is listened on twice, first in http.listen[0] (f:1:20); remove one of the two, or give it another path`},
		{`{"admin":{"listen":[{"unix":"/x//y"}]},"http":{"proxy_to":"b","listen":[{"unix":"/x/y"}]},"servers":{"b":{"hosts":[{"unix":"/x/./y"}]}}}`,
			`W f:1:116: servers.b.hosts[0]: the proxy itself listens here: no connection is made to it, because it would loop back; write the path of the host's own socket, or another one in "http"
f:1:21: admin.listen[0]: "/x/y" is listened on twice, first in http.listen[0] (f:1:73); remove one of the two, or give it another path`},
		{listen(`[{"unix":"/x"},{"unix":"/x"}]`), `f:1:34: http.listen[1]: "/x" is listened on twice, first in http.listen[0] (f:1:20); remove one of the two, or give it another path`},
		{`{"http":[{"port":80,"proxy_to":"b"}],"stream":{"port":80,"proxy_to":"b"},` + groupB + `}`,
			`f:1:55: stream.port: port 80 of all IPv4 addresses is listened on twice, first in http[0].port (f:1:18)` + again + routes},
		{`{"http":[],"stream":5,` + groupB + `}`, `f:1:9: http: there are no servers in it; write an object: { "proxy_to": ..., "servers": { ... } }, or an array of them
f:1:21: stream: must be an object, not the number 5; write an object: { "proxy_to": ..., "servers": { ... } }`},
	})
}

// A host that is the server itself is reported for all its listeners.
func TestOwnSocketAsHost(t *testing.T) {
	t.Parallel()
	for listen, hosts := range map[string]map[string]bool{
		`{"port":9}`:                                 {`"host":"localhost","port":9`: true, `"host":"::1","port":9`: false, `"host":"0.0.0.0","port":9`: true},
		`{"address":"::","port":9}`:                  {`"host":"localhost","port":9`: true, `"host":"::1","port":9`: true, `"host":"127.0.0.1","port":9`: true},
		`{"address":"::","port":9,"ipv6_only":true}`: {`"host":"::1","port":9`: true, `"host":"127.0.0.1","port":9`: false},
		`{"address":"10.0.0.1","port":9}`:            {`"host":"10.0.0.1","port":9`: true, `"host":"localhost","port":9`: false, `"host":"10.0.0.1","port":8`: false},
		`{"address":"127.0.0.1","port":9}`:           {`"host":"localhost","port":9`: true, `"host":"0.0.0.0","port":9`: true, `"host":"127.0.0.2","port":9`: false},
		`{"unix":"/x"}`:                              {`"unix":"/x"`: true, `"unix":"/y"`: false, `"host":"localhost","port":9`: false},
	} {
		for host, want := range hosts {
			_, warnings, err := config.Parse("f", []byte(`{"stream":{"listen":[`+listen+`],"proxy_to":"b"},"servers":{"b":{"hosts":[{`+host+`}]}}}`))
			if err != nil || (len(warnings) == 1) != want {
				t.Errorf("%s on %s: %v %v", host, listen, warnings, err)
			}
		}
	}
}
