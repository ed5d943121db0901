package config_test

import (
	"strings"
	"testing"
)

// A key that looks like a security setting and that nothing reads prevents the start.
func TestUnknownSecurityKeys(t *testing.T) {
	t.Parallel()
	const looks = ` has no effect, and looks like a security setting; `
	const here = ` has no effect here, and looks like a security setting; `
	checkOutcomes(t, []outcomeCase{
		{stream(`"tls_verify_clients":true`),
			`f:1:77: stream.tls_verify_clients: unknown key "tls_verify_clients"` + looks + `did you mean "tls_verify_client"?`},
		{http(`"tls_verify":true`),
			`f:1:75: http.tls_verify: unknown key "tls_verify"` + looks + `did you mean "tls_verify_client"?`},
		{stream(`"TLS_Verify_Client":true,"tlsVerifyClient":true,"tls-verify-client":true," tls_verify_client":true`),
			`f:1:77: stream.TLS_Verify_Client: unknown key "TLS_Verify_Client"` + looks + `did you mean "tls_verify_client"?
f:1:102: stream.tlsVerifyClient: unknown key "tlsVerifyClient"` + looks + `did you mean "tls_verify_client"?
f:1:125: stream.tls-verify-client: unknown key "tls-verify-client"` + looks + `did you mean "tls_verify_client"?
f:1:150: stream[" tls_verify_client"]: unknown key " tls_verify_client"` + looks + `did you mean "tls_verify_client"?`},
		{stream(`"ssl_verify_client":true,"verify_client":true,"tsl_enabled":true,"vreify_client":true,"use_tls":true`),
			`f:1:77: stream.ssl_verify_client: unknown key "ssl_verify_client"` + looks + `here it is called "tls_verify_client"
f:1:102: stream.verify_client: unknown key "verify_client"` + looks + `did you mean "tls_verify_client"?
f:1:123: stream.tsl_enabled: unknown key "tsl_enabled"` + looks + `did you mean "tls_enabled"?
f:1:142: stream.vreify_client: unknown key "vreify_client"` + looks + `remove it
f:1:163: stream.use_tls: unknown key "use_tls"` + looks + `remove it`},
		{http(`"allow":["10.0.0.0/8"],"deny":"all","auth_basic":"x","users":[],"run_as_user":"www","authorization":1,"authorities":[]`),
			`f:1:75: http.allow: unknown key "allow"` + looks + `remove it
f:1:98: http.deny: unknown key "deny"` + looks + `remove it
f:1:111: http.auth_basic: unknown key "auth_basic"` + looks + `remove it
f:1:128: http.users: unknown key "users"` + looks + `did you mean "user"?
f:1:139: http.run_as_user: unknown key "run_as_user"` + looks + `remove it
f:1:159: http.authorization: unknown key "authorization"` + looks + `remove it
f:1:177: http.authorities: unknown key "authorities"` + looks + `remove it`},

		// In the wrong place.
		{`{"stream":{` + ok + `},"tls_enabled":true,"tls_verify_cleint":true}`,
			`f:1:11: stream.tls_cert_path: it is missing, and tls_enabled is true; add "tls_cert_path": the path of a PEM file with the certificate chain
f:1:11: stream.tls_key_path: it is missing, and tls_enabled is true; add "tls_key_path": the path of a PEM file with the private key
f:1:97: tls_verify_cleint: unknown key "tls_verify_cleint"` + looks + `did you mean "tls_verify_client"?`},
		{http(`"proxy_tls_verify":true,"proxy_tls_ca":"x"`),
			`W f:1:75: http.proxy_tls_verify: it is ignored without proxy_tls_enabled: connections with hosts are not encrypted, and no host is verified; add "proxy_tls_enabled": true, or remove it
f:1:99: http.proxy_tls_ca: unknown key "proxy_tls_ca"` + looks + `did you mean "proxy_tls_ca_path"?`},
		{group(`"hosts":[{"host":"h","port":1,"proxy_tls_verify":true,"deny":1}],"tls_verify_client":true,"tls_verify":true,"user":"x"`),
			`f:1:73: stream.servers.b.hosts[0].proxy_tls_verify: unknown key "proxy_tls_verify"` + here + `it belongs in a group in "servers"
f:1:97: stream.servers.b.hosts[0].deny: unknown key "deny"` + looks + `remove it
f:1:108: stream.servers.b.tls_verify_client: unknown key "tls_verify_client"` + here + `it belongs in "stream"
f:1:133: stream.servers.b.tls_verify: unknown key "tls_verify"` + looks + `did you mean "proxy_tls_verify"?
f:1:151: stream.servers.b.user: unknown key "user"` + here + `it belongs in the file's top level or "stream"`},
		{stream(`"certificates":[{"ca_path":"x"}]`),
			`W f:1:77: stream.certificates: it is ignored without tls_enabled; add "tls_enabled": true, or remove it
f:1:94: stream.certificates[0].ca_path: unknown key "ca_path" has no effect; did you mean one of "cert_path" or "key_path"?`},

		// In an object that nothing reads.
		{stream(`"client":{"x":[{"verify":true}]},"zzz":{"tls":{"enabled":true}}`),
			`W f:1:77: stream.client: unknown key "client" is ignored here; it belongs in "match"
W f:1:110: stream.zzz: unknown key "zzz" is ignored; remove it
f:1:93: stream.client.x[0].verify: "verify" has no effect, because nothing reads the object that contains it, and looks like a security setting; remove it, or write it where it belongs
f:1:117: stream.zzz.tls: "tls" has no effect, because nothing reads the object that contains it, and looks like a security setting; remove it, or write it where it belongs`},

		// Given twice: it would be a guess which one counts.
		{stream(`"tls_verify_client":true,"tls_verify_client":false`),
			`W f:1:77: stream.tls_verify_client: it is ignored without tls_enabled: connections with clients are not encrypted, and no client is verified; add "tls_enabled": true, or remove it
f:1:102: stream.tls_verify_client: the key is given twice, first in line 1; remove one of the two`},
	})
}

// A key that only sounds similar is a warning, as it always was.
func TestUnknownKeysThatAreNotSecurity(t *testing.T) {
	t.Parallel()
	for _, key := range []string{
		"timeout_ms", "handshake_timeout", "endless_loop", "titles", "groups", "_tls_verify_client", "//tls_enabled", "#user", "$auth", "", " ", "prot", "shallow", "cert_path",
		"log_enabled", "tcp_enabled", "udp_enabled", "dns_enabled", "ws_enabled", "is_enabled", "proxy_enabled", "ssh_enabled", "tos_enabled", "use", "used", "sql_log",
		"min_version", "author", "authors", "created_by_author", "authorName",
	} {
		for _, wrap := range []func(string) string{stream, http, func(s string) string { return group(`"hosts":[{"host":"h","port":1}],` + s) }} {
			input := wrap(`"` + key + `":1`)
			got := outcome(t, input)
			if !strings.HasPrefix(got, "W ") || strings.Count(got, "\n") > 0 {
				t.Errorf("%q: %s", key, got)
			}
			checkSchema(t, []byte(input), got)
		}
	}
	for _, key := range []string{"proxy_headers", "response_headers", "add_header", "proxySetHeader", "extraheaders", "haeders", "heder", "Headers"} {
		const fields = `{"Authorization":"x","User-Agent":"x","X-User-Id":"$addr"}`
		for _, inside := range []string{`"` + key + `":` + fields, `"zzz":[{"` + key + `":` + fields + `}]`} {
			if got := outcome(t, stream(inside)); !strings.HasPrefix(got, "W ") || strings.Count(got, "\n") > 0 {
				t.Errorf("header fields in %s: %s", inside, got)
			}
		}
	}
	if got := outcome(t, stream(`"headers":{"Authorization":"x","X-User":"y"},"_old":{"tls_enabled":true}`)); strings.Count("\n"+got, "\nW ") != 2 || strings.Count(got, "\n") != 1 {
		t.Errorf("header fields, and a comment: %s", got)
	}
}
