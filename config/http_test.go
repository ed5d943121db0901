package config_test

import "testing"

func TestHTTPKeys(t *testing.T) {
	t.Parallel()
	const prefix = `{"http":{` + ok + `,`
	for _, c := range []struct{ member, want string }{
		{`"proxy_set_host":"client"`, ""},
		{`"proxy_set_host":"host"`, `f:1:92: http.proxy_set_host: unknown choice "host"; write "client" to pass on what the client asked for, or "upstream" for the host's own name`},
		{`"trusted_proxies":[]`, ""},
		{`"trusted_proxies":"10.0.0.1"`, `f:1:93: http.trusted_proxies: must be an array, not the string "10.0.0.1"; write ["10.0.0.0/8", "::1"]`},
		{`"trusted_proxies":[1,"x"]`, "f:1:94: http.trusted_proxies[0]: must be a string, not the number 1; write an address or a network, as in [\"10.0.0.0/8\", \"::1\"]\n" +
			`f:1:96: http.trusted_proxies[1]: "x" is neither an address nor a network; write it as in ["10.0.0.0/8", "::1"]`},
		{`"forwarded_headers":1`, `f:1:95: http.forwarded_headers: must be true or false, not the number 1; write true, without quotes`},
		{`"max_body_size":-1`, `f:1:91: http.max_body_size: -1 is negative; write a number of bytes, a size with a unit, such as "10MB", or 0 for no limit`},
	} {
		if got := outcome(t, prefix+c.member+`}}`); got != c.want {
			t.Errorf("%s\n got %s\nwant %s", c.member, got, c.want)
		}
	}
}
