package config_test

import "testing"

func TestUnknownKeys(t *testing.T) {
	t.Parallel()
	checkOutcomes(t, []outcomeCase{
		{stream(`"timeout_ms":500`),
			`W f:1:77: stream.timeout_ms: unknown key "timeout_ms" is ignored; did you mean one of "shutdown_timeout", "watchdog_timeout", "tls_handshake_timeout", "send_timeout", "proxy_read_timeout", "proxy_send_timeout" or "read_timeout"?`},
		{routes("http", `{"match":{"remote_ip":"x"},"redirect":{"to":"https://b/","code":301},"response_headers":{"delete":["X"]}}`),
			`f:1:30: http.routes[0].match.remote_ip: unknown key "remote_ip" has no effect; here it is called "client"
f:1:77: http.routes[0].redirect.code: unknown key "code" has no effect; here it is called "status"
f:1:109: http.routes[0].response_headers.delete: unknown key "delete" has no effect; here it is called "remove"`},
		{group(`"hosts":[{"host":"h","port":1}],"ssl":true,"proxy_protocol":true`),
			`f:1:75: stream.servers.b.ssl: unknown key "ssl" has no effect, and looks like a security setting; here it is called "proxy_tls_enabled"
f:1:103: stream.servers.b.proxy_protocol: must be a string, not true; write "v1" or "v2"`},
		{stream(`"prot":500`),
			`W f:1:77: stream.prot: unknown key "prot" is ignored; did you mean "port"?`},
		{stream(`"client_header_timeout":500`),
			`W f:1:77: stream.client_header_timeout: "client_header_timeout" is ignored: it is a key of "http" only; "stream" has "read_timeout"`},
		{http(`"read_timeout":500`),
			`W f:1:75: http.read_timeout: "read_timeout" is ignored: it is a key of "stream" only; "http" has "client_header_timeout" or "client_body_timeout"`},
		{stream(`"headers":{}`),
			`W f:1:77: stream.headers: "headers" is ignored: it is a key of "http" only; remove it`},
		{stream(`"hosts":[]`),
			`W f:1:77: stream.hosts: unknown key "hosts" is ignored here; it belongs in a group in "servers"`},
		{stream(`"host":1`),
			`W f:1:77: stream.host: unknown key "host" is ignored here; it belongs in an entry of "hosts"`},
		{stream(`"balancing_alg":1`),
			`W f:1:77: stream.balancing_alg: unknown key "balancing_alg" is ignored; did you mean "balancing_algo"?`},
		{stream(`"proxy_timeout":1`),
			`W f:1:77: stream.proxy_timeout: unknown key "proxy_timeout" is ignored; did you mean one of "proxy_read_timeout" or "proxy_send_timeout"?`},
		{stream(`"proxy_rend_timeout":1`),
			`W f:1:77: stream.proxy_rend_timeout: unknown key "proxy_rend_timeout" is ignored; did you mean "proxy_read_timeout"?`},
		{stream(`"log_format":1`),
			`W f:1:77: stream.log_format: unknown key "log_format" is ignored; here it is called "format_log"`},
		{stream(`"zzz":{"x":1}`),
			`W f:1:77: stream.zzz: unknown key "zzz" is ignored; remove it`},
		{stream(`"Port":1`),
			`W f:1:77: stream.Port: unknown key "Port" is ignored; did you mean "port"?`},
		{stream(`"proxy-to":1`),
			`W f:1:77: stream.proxy-to: unknown key "proxy-to" is ignored; did you mean "proxy_to"?`},
		{stream(`"http":1`),
			`W f:1:77: stream.http: unknown key "http" is ignored here; it belongs in the file's top level`},
		{stream(`"cert_path":"x"`),
			`W f:1:77: stream.cert_path: unknown key "cert_path" is ignored here; it belongs in an entry of "certificates"`},
		{stream(`"certPath":"x"`),
			`W f:1:77: stream.certPath: unknown key "certPath" is ignored; did you mean "cert_path"? It belongs in an entry of "certificates"`},
		{stream(`"tls_ca_path":"x"`),
			`f:1:77: stream.tls_ca_path: unknown key "tls_ca_path" has no effect, and looks like a security setting; did you mean "tls_client_ca_path"?`},
		{http(`"tls_min_versiom":"1.3","tls_certificates":[],"handshake_timeout":1`),
			`W f:1:121: http.handshake_timeout: unknown key "handshake_timeout" is ignored; did you mean "tls_handshake_timeout"?
f:1:75: http.tls_min_versiom: unknown key "tls_min_versiom" has no effect, and looks like a security setting; did you mean "tls_min_version"?
f:1:99: http.tls_certificates: unknown key "tls_certificates" has no effect, and looks like a security setting; did you mean "certificates"?`},
		{stream(`"a b":1,"\u0000":2,"":3`),
			`W f:1:77: stream["a b"]: unknown key "a b" is ignored; remove it
W f:1:85: stream["\x00"]: unknown key "\x00" is ignored; remove it
W f:1:96: stream[""]: unknown key "" is ignored; remove it`},
		{group(`"hosts":[{"host":"h","port":1,"weight":2,"ports":1}],"port":9,"algo":1,"proxy_tls_enable":true,"servers":{},"balancing":1,"proxy_tls_sever_name":"x","tls_min_version":"1.3"`),
			`W f:1:84: stream.servers.b.hosts[0].ports: unknown key "ports" is ignored; did you mean "port"?
W f:1:96: stream.servers.b.port: unknown key "port" is ignored here; it belongs in "stream", an entry of "hosts" or an entry of "listen"
W f:1:105: stream.servers.b.algo: unknown key "algo" is ignored; did you mean "balancing_algo"?
W f:1:138: stream.servers.b.servers: unknown key "servers" is ignored here; it belongs in "stream"
W f:1:151: stream.servers.b.balancing: unknown key "balancing" is ignored; did you mean "balancing_algo"?
f:1:114: stream.servers.b.proxy_tls_enable: unknown key "proxy_tls_enable" has no effect, and looks like a security setting; did you mean "proxy_tls_enabled"?
f:1:165: stream.servers.b.proxy_tls_sever_name: unknown key "proxy_tls_sever_name" has no effect, and looks like a security setting; did you mean "proxy_tls_server_name"?
f:1:192: stream.servers.b.tls_min_version: unknown key "tls_min_version" has no effect here, and looks like a security setting; it belongs in "stream"`},
	})
}
