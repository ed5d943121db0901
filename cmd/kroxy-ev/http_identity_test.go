package main_test

import (
	"bufio"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
)

// identityFields tell hosts who a client is, in spellings that some hosts treat as the same.
var identityFields = []string{
	"X-Forwarded-For", "x-forwarded-for", "X_Forwarded_For", "X-Forwarded_For", "x.forwarded.for", "X_FORWARDED-FOR", "X-Forwarded!For",
	"X-Forwarded-Proto", "X_Forwarded_Proto", "X-Forwarded-Host", "X_Forwarded-Host", "X-Forwarded-Port", "X_Forwarded_Port", "X-Forwarded-Ssl", "X.Forwarded.Ssl",
	"X-Forwarded-Prefix", "X-Forwarded_Prefix", "X-Forwarded-Server", "X-Forwarded-Scheme", "X-Forwarded", "Forwarded", "FORWARDED",
	"X-Real-IP", "X_Real_IP", "X_Real-IP", "x.real.ip", "Client-IP", "Client_IP", "X-Client-IP", "True-Client-IP", "True_Client_IP", "CF-Connecting-IP",
	"X-Original-URL", "X_Original_URL", "X-Rewrite-URL", "Client-Cert", "X-SSL-Client-Verify", "X_SSL_Client_Verify", "Front-End-Https",
}

const claim = "6.6.6.6"

// claims returns a line for each of the names.
func claims(names []string) string {
	var b strings.Builder
	for _, name := range names {
		fmt.Fprintf(&b, "%s: %s\r\n", name, claim)
	}
	return b.String()
}

// An untrusted client's fields about itself do not reach a host, in whichever spelling or position; a trusted proxy's do.
func TestHTTPIdentity(t *testing.T) {
	t.Parallel()
	const said = "X-Forwarded-For: 127.0.0.1\r\nX-Forwarded-Proto: http\r\nX-Forwarded-Host: p\r\n"
	const body, trailed = "1\r\na\r\n0\r\n", "1\r\na\r\n0\r\nX-Sum: 1\r\n\r\n"
	all := claims(identityFields)
	named := "Connection: " + strings.Join(identityFields[:20], ",") + "\r\n"
	var proper []string // in the spelling of proxies, without those that the proxy appends to
	for _, name := range identityFields {
		if !strings.ContainsAny(name, "_.!") && !strings.EqualFold(name, "X-Forwarded-For") {
			proper = append(proper, name)
		}
	}
	tenant := settings{"headers": map[string]string{"X-Tenant": "us", "X-Real-IP": "$addr"}}
	for name, test := range map[string]struct {
		settings settings
		in, want string // for a request with a chunked body: the fields after Host
		trailers string
	}{
		"an untrusted client":             {nil, all, said, ""},
		"named in Connection":             {nil, named + all, said, ""},
		"as trailers":                     {nil, "", said, all},
		"of a trusted proxy, as trailers": {settings{"trusted_proxies": []string{"127.0.0.1"}}, "", said, all},
		"another address is trusted":      {settings{"trusted_proxies": []string{"10.0.0.0/8"}}, all, said, ""},
		"a trusted proxy": {settings{"trusted_proxies": []string{"127.0.0.1"}}, "X-Forwarded-For: 9.9.9.9\r\n" + named + claims(proper),
			claims(proper) + "X-Forwarded-For: 9.9.9.9, 127.0.0.1\r\n", ""},
		"a trusted proxy that passes other spellings": {settings{"trusted_proxies": []string{"127.0.0.1"}}, "X-Forwarded-For: 9.9.9.9\r\nX_Forwarded_For: 6.6.6.6\r\nX_Real_IP: 6.6.6.6\r\nX-Real-IP: 9.9.9.9\r\n",
			"X-Real-IP: 9.9.9.9\r\nX-Forwarded-For: 9.9.9.9, 127.0.0.1\r\nX-Forwarded-Proto: http\r\nX-Forwarded-Host: p\r\n", ""},
		"without forwarded_headers": {settings{"forwarded_headers": false}, named + all, all, ""},
		"configured fields": {tenant, "x-tenant: 1\r\nX_Tenant: 2\r\nX.TENANT: 3\r\nX-Tenants: 4\r\nX_Real_IP: 5\r\n",
			"X-Tenants: 4\r\nX-Real-IP: 127.0.0.1\r\nX-Tenant: us\r\n" + said, "X_Tenant: 2\r\nx_real.ip: 3\r\n"},
		"configured fields, without forwarded_headers": {settings{"forwarded_headers": false, "headers": map[string]string{"X-Tenant": "us", "X_Forwarded_For": "$addr"}},
			"X_Tenant: 2\r\nX-Forwarded-For: 6.6.6.6\r\nX-Forwarded-Proto: https\r\n", "X-Forwarded-Proto: https\r\nX-Tenant: us\r\nX_Forwarded_For: 127.0.0.1\r\n", ""},
		"framing": {settings{"forwarded_headers": false}, "Content_Length: 5\r\nTransfer.Encoding: gzip\r\nContent_Type: a\r\n", "Content_Type: a\r\n", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := startRecorder(t)
			p := startHTTP(t, setup{hosts: []endpoint{h.endpoint}, settings: test.settings})
			c := p.dial()
			send(t, c, postHead+test.in+"Transfer-Encoding: chunked\r\n\r\n"+body+"X-Sum: 1\r\n"+test.trailers+"\r\n")
			expectStatus(t, bufio.NewReader(c), http.StatusOK)
			_ = c.Close()
			h.hangUp()
			want := postHead + test.want + "Transfer-Encoding: chunked\r\n\r\n" + trailed
			if got := h.all(); !slices.Equal(got, []string{want}) {
				t.Errorf("the host got %q\nwant %q", got, want)
			}
		})
	}
}
