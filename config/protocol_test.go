package config_test

import (
	"slices"
	"strings"
	"testing"

	"kroxy-ev/config"
)

func TestProtocols(t *testing.T) {
	t.Parallel()
	p := writePair(t)
	c, warnings := parse(t, `{"http":{"port":1,"proxy_to":"b","tls_cert_path":"`+p.CertPath+`","tls_key_path":"`+p.KeyPath+`","listen":[
		{"port":2},{"port":3,"tls":true},{"port":4,"protocols":["h2c"]},{"port":5,"protocols":["http/1.1","h2c"]},{"port":6,"tls":true,"protocols":["http/1.1","h2"]},
		{"port":7,"tls":true,"protocols":["h2"]},{"unix":"/run/a.sock","protocols":["h2c","http/1.1"]}]},
		"stream":{"port":8,"proxy_to":"b"},`+groupB+`}`)
	var got []string
	for _, s := range c.Servers {
		for _, l := range s.Listen {
			got = append(got, l.Key()+": "+strings.Join(l.Protocols, " "))
		}
	}
	want := []string{
		"tcp 0.0.0.0:1: http/1.1", "tcp 0.0.0.0:2: http/1.1", "tcp 0.0.0.0:3: h2 http/1.1", "tcp 0.0.0.0:4: h2c", "tcp 0.0.0.0:5: http/1.1 h2c",
		"tcp 0.0.0.0:6: http/1.1 h2", "tcp 0.0.0.0:7: h2", "unix /run/a.sock: h2c http/1.1", "tcp 0.0.0.0:8: ",
	}
	if !slices.Equal(got, want) || len(warnings) > 0 {
		t.Errorf("got\n%s\nwarnings %v", strings.Join(got, "\n"), warnings)
	}
	c, _ = parse(t, `{"tls_enabled":true,"tls_cert_path":"`+p.CertPath+`","tls_key_path":"`+p.KeyPath+`","http":{"proxy_to":"b","port":1,"listen":[{"port":2,"tls":false}]},`+groupB+`}`)
	if l := c.Servers[0].Listen; !slices.Equal(l[0].Protocols, []string{"h2", "http/1.1"}) || !slices.Equal(l[1].Protocols, []string{"http/1.1"}) {
		t.Errorf("tls_enabled of the file: %+v", l)
	}
}

func TestProtocolsErrors(t *testing.T) {
	t.Parallel()
	listen := func(members string) string {
		return `{"http":{"listen":[{"port":1,` + members + `}],"proxy_to":"b"},` + groupB + `}`
	}
	const all = `write "h2", "http/1.1" or "h2c"`
	checkOutcomes(t, []outcomeCase{
		{listen(`"protocols":["http/1.1"]`), ``},
		{listen(`"protocols":["h2c"]`), ``},
		{listen(`"protocols":["h2c","http/1.1"]`), ``},
		{listen(`"protocols":[]`),
			`f:1:42: http.listen[0].protocols: it is empty, so clients could not use any protocol; write ["h2", "http/1.1"], or remove it`},
		{listen(`"protocols":"h2c"`), `f:1:42: http.listen[0].protocols: must be an array, not the string "h2c"; write an array such as ["h2c"]`},
		{listen(`"protocols":null`), `f:1:42: http.listen[0].protocols: must be an array, not null; write an array such as ["h2", "http/1.1"]`},
		{listen(`"protocols":["H2C","http/2","h1","h3","spdy/3",2,"h2c","h2c"]`),
			`f:1:43: http.listen[0].protocols[0]: unknown protocol "H2C"; did you mean "h2c"?
f:1:49: http.listen[0].protocols[1]: unknown protocol "http/2"; here that is "h2" over TLS, or "h2c" without
f:1:58: http.listen[0].protocols[2]: unknown protocol "h1"; here that is "http/1.1"
f:1:63: http.listen[0].protocols[3]: unknown protocol "h3"; here that is nothing: HTTP/3 is not supported
f:1:68: http.listen[0].protocols[4]: unknown protocol "spdy/3"; ` + all + `
f:1:77: http.listen[0].protocols[5]: must be a string, not the number 2; ` + all + `
f:1:85: http.listen[0].protocols[7]: "h2c" is there twice; remove one of the two`},
		{listen(`"protocols":["http/1.1","h2"]`),
			`f:1:54: http.listen[0].protocols[1]: "h2" is HTTP/2 over TLS, but clients do not use TLS here; write "h2c", which is HTTP/2 without TLS, or add "tls": true`},
		{listen(`"tls":true,"protocols":["h2","h2c"]`),
			`f:1:9: http.tls_cert_path: it is missing, and tls is true in http.listen[0]; add "tls_cert_path": the path of a PEM file with the certificate chain
f:1:9: http.tls_key_path: it is missing, and tls is true in http.listen[0]; add "tls_key_path": the path of a PEM file with the private key
f:1:59: http.listen[0].protocols[1]: "h2c" is HTTP/2 without TLS, but clients use TLS here; write "h2"`},
		{`{"stream":{"listen":[{"port":1,"protocols":["h2c"]}],"proxy_to":"b"},` + groupB + `}`,
			`f:1:32: stream.listen[0].protocols: "protocols" has no effect: it is a key of "http" only; remove it`},
		{listen(`"alpn":["h2c"]`), `f:1:30: http.listen[0].alpn: unknown key "alpn" has no effect; here it is called "protocols"`},
		{`{"http":{"protocols":["h2c"],"proxy_to":"b"},` + groupB + `}`,
			`W f:1:10: http.protocols: unknown key "protocols" is ignored here; it belongs in an entry of "listen"`},
	})
}

func TestProtocolOfHosts(t *testing.T) {
	t.Parallel()
	for members, want := range map[string]string{
		``:                       "http/1.1",
		`"protocol":"",`:         "http/1.1",
		`"protocol":"http/1.1",`: "http/1.1",
		`"protocol":"h2c",`:      "h2c",
		`"protocol":"h2","proxy_tls_enabled":true,`:                             "h2",
		`"protocol":"auto","proxy_tls_enabled":true,`:                           "auto",
		`"protocol":"http/1.1","proxy_tls_enabled":true,"proxy_protocol":"v2",`: "http/1.1",
		`"protocol":"${NOTHING:-h2c}",`:                                         "h2c",
	} {
		c, warnings := parse(t, `{"http":{"port":1,"proxy_to":"b"},"stream":{"port":2,"proxy_to":"b"},"servers":{"b":{`+members+`"hosts":[{"host":"h","port":1}]}}}`)
		inHTTP, inStream := c.Servers[0].Routes[0].To[0].Group, c.Servers[1].Routes[0].To[0].Group
		if inHTTP.Protocol != want || inStream.Protocol != "" || len(warnings) > 0 {
			t.Errorf("%s: %q in http, %q in stream; warnings %v", members, inHTTP.Protocol, inStream.Protocol, warnings)
		}
	}
}

func TestProtocolOfHostsErrors(t *testing.T) {
	t.Parallel()
	const beside = ` cannot be combined with "proxy_protocol": a connection that begins with a PROXY header is for one client, but an HTTP/2 connection is for many; write "http/1.1", or remove "proxy_protocol": header fields also tell hosts who the client is`
	checkOutcomes(t, []outcomeCase{
		{healing(`"protocol":"h2"`),
			`f:1:84: http.servers.b.protocol: "h2" is HTTP/2 over TLS, but the group does not use TLS; write "h2c", which is HTTP/2 without TLS, or add "proxy_tls_enabled": true`},
		{healing(`"protocol":"h2c","proxy_tls_enabled":true`),
			`f:1:84: http.servers.b.protocol: "h2c" is HTTP/2 without TLS, but the group uses TLS; write "h2", or "auto" if not all hosts speak it`},
		{healing(`"protocol":"auto"`),
			`W f:1:73: http.servers.b.protocol: it is ignored without proxy_tls_enabled: the protocol is negotiated only over TLS, so hosts get HTTP/1.1; add "proxy_tls_enabled": true, or write "h2c" if the hosts speak HTTP/2`},
		{healing(`"protocol":"h2c","proxy_protocol":"v1"`), `f:1:84: http.servers.b.protocol: "h2c"` + beside},
		{healing(`"protocol":"auto","proxy_protocol":"v2","proxy_tls_enabled":true`), `f:1:84: http.servers.b.protocol: "auto"` + beside},
		{healing(`"protocol":"grpc"`), `f:1:84: http.servers.b.protocol: unknown protocol "grpc"; here that is "h2" over TLS, or "h2c" without`},
		{healing(`"protocol":"AUTO"`), `f:1:84: http.servers.b.protocol: unknown protocol "AUTO"; did you mean "auto"?`},
		{healing(`"protocol":"fcgi"`), `f:1:84: http.servers.b.protocol: unknown protocol "fcgi"; write "http/1.1", "h2", "h2c" or "auto"`},
		{healing(`"protocol":2`), `f:1:84: http.servers.b.protocol: must be a string, not the number 2; write "http/1.1", "h2", "h2c" or "auto"`},
		{healing(`"protocols":["h2c"]`), `W f:1:73: http.servers.b.protocols: unknown key "protocols" is ignored here; it belongs in an entry of "listen"`},
		{`{"http":{"protocol":"h2c","proxy_to":"b"},` + groupB + `}`, `W f:1:10: http.protocol: unknown key "protocol" is ignored here; it belongs in a group in "servers"`},
		{group(`"protocol":"h2c","hosts":[{"host":"h","port":1}]`),
			`W f:1:43: stream.servers.b.protocol: "protocol" is ignored: it is a key of "http" only, and only "stream" uses the group; remove it`},
	})
}

func TestHTTP2(t *testing.T) {
	t.Parallel()
	p := writePair(t)
	const listen = `"listen":[{"port":1,"protocols":["h2c"]}],"proxy_to":"b"`
	for file, want := range map[string]config.HTTP2{
		`{"http":{` + listen + `},` + groupB + `}`:                                                                                                                              usualHTTP2,
		`{"http":{` + listen + `,"http2":{}},` + groupB + `}`:                                                                                                                   usualHTTP2,
		`{"http":{` + listen + `,"http2":{"max_streams":7,"window":65535,"connection_window":"2MiB"}},` + groupB + `}`:                                                          {7, 65535, 2 << 20},
		`{"http2":{"max_streams":7,"window":"128KiB"},"http":{` + listen + `,"http2":{"max_streams":8,"connection_window":2147483647}},` + groupB + `}`:                         {8, 128 << 10, 1<<31 - 1},
		`{"http2":{"max_streams":7,"window":"128KiB"},"http":{` + listen + `,"http2":{"max_streams":null}},` + groupB + `}`:                                                     {100, 128 << 10, 1 << 20},
		`{"http2":{"max_streams":7},"http":{` + listen + `,"http2":null},` + groupB + `}`:                                                                                       usualHTTP2,
		`{"http2":{"max_streams":"${N:-9}"},"http":{"tls_enabled":true,"tls_cert_path":"` + p.CertPath + `","tls_key_path":"` + p.KeyPath + `","proxy_to":"b"},` + groupB + `}`: {9, 64 << 10, 1 << 20},
	} {
		c, warnings := parse(t, file)
		if got := c.Servers[0].HTTP2; got != want || len(warnings) > 0 {
			t.Errorf("%s: %+v, want %+v; warnings %v", file, got, want, warnings)
		}
		checkSchema(t, []byte(file), "")
	}
}

func TestHTTP2Errors(t *testing.T) {
	t.Parallel()
	set := func(value string) string {
		return `{"http":{"listen":[{"port":1,"protocols":["h2c"]}],"proxy_to":"b","http2":` + value + `},` + groupB + `}`
	}
	const bytes = `write a number of bytes from 65535 to 2147483647, or a size with a unit, such as "1MiB"`
	checkOutcomes(t, []outcomeCase{
		{set(`{"max_streams":0}`), `f:1:90: http.http2.max_streams: 0 is outside 1-10000; write a number of requests from 1 to 10000`},
		{set(`{"max_streams":10001}`), `f:1:90: http.http2.max_streams: 10001 is outside 1-10000; write a number of requests from 1 to 10000`},
		{set(`{"max_streams":"100"}`), `f:1:90: http.http2.max_streams: must be a whole number, not the string "100"; write 100, without quotes`},
		{set(`{"window":65534,"connection_window":2147483648}`),
			`f:1:85: http.http2.window: 65534 is outside 65535-2147483647; ` + bytes + `
f:1:111: http.http2.connection_window: 2147483648 is outside 65535-2147483647; ` + bytes},
		{set(`{"window":"64KB","connection_window":"2GiB"}`),
			`f:1:85: http.http2.window: "64KB" is less than 65535 bytes; ` + bytes + `
f:1:112: http.http2.connection_window: "2GiB" is more than 2147483647 bytes; ` + bytes},
		{set(`{"window":"2MiB"}`),
			`W f:1:76: http.http2.window: "window" is more than "connection_window", 1048576 bytes, so no request can use all of it; write a greater "connection_window"`},
		{set(`{"connection_window":65535}`),
			`W f:1:76: http.http2.connection_window: "window" is more than "connection_window", 65535 bytes, so no request can use all of it; write a greater "connection_window"`},
		{set(`true`), `f:1:75: http.http2: must be an object, not true; write { "max_streams": 50 }; what is spoken is said by "protocols" of an entry of "listen"`},
		{set(`{"max_concurrent_streams":5,"windw":1}`),
			`f:1:76: http.http2.max_concurrent_streams: unknown key "max_concurrent_streams" has no effect; here it is called "max_streams"
f:1:103: http.http2.windw: unknown key "windw" has no effect; did you mean "window"?`},
		{`{"http":{"proxy_to":"b","http2":{}},` + groupB + `}`,
			`W f:1:25: http.http2: it is ignored: clients do not speak HTTP/2 here; add "h2c", or with TLS "h2", to "protocols" of an entry of "listen", or remove it`},
		{`{"http2":{"max_streams":5},"http":{"proxy_to":"b"},` + groupB + `}`, ``},
		{`{"http2":{"max_streams":0},"http":{"proxy_to":"b"},` + groupB + `}`, `f:1:25: http2.max_streams: 0 is outside 1-10000; write a number of requests from 1 to 10000`},
		{`{"stream":{"proxy_to":"b","http2":{}},` + groupB + `}`, `W f:1:27: stream.http2: "http2" is ignored: it is a key of "http" only; remove it`},
	})
}
