package config_test

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"kroxy-ev/config"
)

func TestTLSErrors(t *testing.T) {
	t.Parallel()
	const one = `"hosts":[{"host":"h","port":1}],`
	checkOutcomes(t, []outcomeCase{
		{group(`"hosts":[{"host":"h","port":1}],"proxy_tls_verify":true,"proxy_tls_cert_path":"/nope","proxy_tls_key_path":5`),
			`W f:1:75: stream.servers.b.proxy_tls_verify: it is ignored without proxy_tls_enabled: connections with hosts are not encrypted, and no host is verified; add "proxy_tls_enabled": true, or remove it
W f:1:99: stream.servers.b.proxy_tls_cert_path: it is ignored without proxy_tls_enabled; add "proxy_tls_enabled": true, or remove it
W f:1:129: stream.servers.b.proxy_tls_key_path: it is ignored without proxy_tls_enabled; add "proxy_tls_enabled": true, or remove it
f:1:150: stream.servers.b.proxy_tls_key_path: must be a string, not the number 5; put it in double quotes: "5"`},
		{group(`"hosts":[{"host":"h","port":1}],"proxy_tls_enabled":true,"proxy_tls_cert_path":"/nope"`),
			`f:1:42: stream.servers.b.proxy_tls_key_path: it is missing, and there is a proxy_tls_cert_path; add "proxy_tls_key_path": the path of a PEM file with the private key of the certificate
f:1:122: stream.servers.b.proxy_tls_cert_path: "/nope" cannot be opened: no such file or directory; give a readable PEM file; a relative path begins at the working directory`},
		{group(`"hosts":[{"host":"h","port":1}],"proxy_tls_enabled":1,"proxy_tls_key_path":"/nope"`),
			`W f:1:97: stream.servers.b.proxy_tls_key_path: it is ignored without proxy_tls_enabled; add "proxy_tls_enabled": true, or remove it
f:1:95: stream.servers.b.proxy_tls_enabled: must be true or false, not the number 1; write true, without quotes`},
		{group(`"hosts":[{"host":"h","port":1}],"proxy_tls_enabled":true,"proxy_tls_key_path":"/nope"`),
			`f:1:42: stream.servers.b.proxy_tls_cert_path: it is missing, and there is a proxy_tls_key_path; add "proxy_tls_cert_path": the path of a PEM file with the certificate of the key
f:1:121: stream.servers.b.proxy_tls_key_path: "/nope" cannot be opened: no such file or directory; give a readable PEM file; a relative path begins at the working directory`},
		{group(one + `"proxy_tls_ca_path":"/nope","proxy_tls_server_name":"a b"`),
			`W f:1:75: stream.servers.b.proxy_tls_ca_path: it is ignored without proxy_tls_enabled; add "proxy_tls_enabled": true, or remove it
W f:1:103: stream.servers.b.proxy_tls_server_name: it is ignored without proxy_tls_enabled; add "proxy_tls_enabled": true, or remove it`},
		{group(one + `"proxy_tls_enabled":true,"proxy_tls_ca_path":"/nope","proxy_tls_server_name":""`),
			`W f:1:100: stream.servers.b.proxy_tls_ca_path: it is ignored without proxy_tls_verify; add "proxy_tls_verify": true, or remove it`},
		{group(one + `"proxy_tls_enabled":true,"proxy_tls_verify":true,"proxy_tls_ca_path":"/nope","proxy_tls_server_name":"db.example:443"`),
			`f:1:144: stream.servers.b.proxy_tls_ca_path: "/nope" cannot be opened: no such file or directory; give a readable PEM file; a relative path begins at the working directory
f:1:176: stream.servers.b.proxy_tls_server_name: "db.example:443" has a port in it; write the name in the hosts' certificates alone, such as "db.example.com", or an address such as "10.0.0.1"`},
		{group(one + `"proxy_tls_enabled":true,"proxy_tls_verify":true,"proxy_tls_ca_path":5,"proxy_tls_server_name":["x"]`),
			`f:1:144: stream.servers.b.proxy_tls_ca_path: must be a string, not the number 5; put it in double quotes: "5"
f:1:170: stream.servers.b.proxy_tls_server_name: must be a string, not an array; write a string in double quotes`},
		{group(one + `"proxy_tls_enabled":true,"proxy_tls_server_name":"*.example"`),
			`f:1:124: stream.servers.b.proxy_tls_server_name: "*.example" has the character "*" in it; write the name in the hosts' certificates alone, such as "db.example.com", or an address such as "10.0.0.1"`},
		{stream(`"tls_enabled":true`),
			`f:1:11: stream.tls_cert_path: it is missing, and tls_enabled is true; add "tls_cert_path": the path of a PEM file with the certificate chain
f:1:11: stream.tls_key_path: it is missing, and tls_enabled is true; add "tls_key_path": the path of a PEM file with the private key`},
		{stream(`"tls_enabled":true,"tls_cert_path":"","tls_key_path":null`),
			`f:1:112: stream.tls_cert_path: it is empty, and tls_enabled is true; write the path of a PEM file with the certificate chain
f:1:130: stream.tls_key_path: must be a string, not null; write a string in double quotes`},
		{stream(`"tls_enabled":true,"tls_cert_path":"/nope","tls_key_path":"/"`),
			`f:1:112: stream.tls_cert_path: "/nope" cannot be opened: no such file or directory; give a readable PEM file; a relative path begins at the working directory
f:1:135: stream.tls_key_path: "/" is not a regular file; give the path of a PEM file`},
		{stream(`"tls_enabled":"true","tls_verify_client":0`),
			`f:1:91: stream.tls_enabled: must be true or false, not the string "true"; write true, without quotes
f:1:118: stream.tls_verify_client: must be true or false, not the number 0; write false, without quotes`},
		{stream(`"tls_enabled":null`),
			`f:1:91: stream.tls_enabled: must be true or false, not null; remove the key, or write true or false`},
		{stream(`"tls_verify_client":true,"tls_client_ca_path":"/nope","tls_min_version":"1.0","certificates":[{}]`),
			`W f:1:77: stream.tls_verify_client: it is ignored without tls_enabled: connections with clients are not encrypted, and no client is verified; add "tls_enabled": true, or remove it
W f:1:102: stream.tls_client_ca_path: it is ignored without tls_enabled; add "tls_enabled": true, or remove it
W f:1:131: stream.tls_min_version: it is ignored without tls_enabled; add "tls_enabled": true, or remove it
W f:1:155: stream.certificates: it is ignored without tls_enabled; add "tls_enabled": true, or remove it`},
		{http(`"tls_enabled":false,"tls_client_ca_path":5,"tls_min_version":1.2,"certificates":{}`),
			`W f:1:95: http.tls_client_ca_path: it is ignored without tls_enabled; add "tls_enabled": true, or remove it
W f:1:118: http.tls_min_version: it is ignored without tls_enabled; add "tls_enabled": true, or remove it
W f:1:140: http.certificates: it is ignored without tls_enabled; add "tls_enabled": true, or remove it
f:1:116: http.tls_client_ca_path: must be a string, not the number 5; put it in double quotes: "5"
f:1:136: http.tls_min_version: must be a string, not the number 1.2; put it in double quotes: "1.2"
f:1:155: http.certificates: must be an array, not an object; write [{ "cert_path": "site.pem", "key_path": "site.key" }]`},
		{stream(`"tls_ticket_rotation":-1`),
			`W f:1:77: stream.tls_ticket_rotation: it is ignored without tls_enabled; add "tls_enabled": true, or remove it
f:1:99: stream.tls_ticket_rotation: -1 is negative; write whole milliseconds, such as 28800000, a time with a unit, such as "1.5s", or 0 for no limit`},
		{http(`"tls_enabled":true,"certificates":[]`),
			`f:1:109: http.certificates: there are no certificates in it, and tls_enabled is true; write [{ "cert_path": "site.pem", "key_path": "site.key" }]`},
		{http(`"tls_enabled":true,"certificates":"x.pem"`),
			`f:1:109: http.certificates: must be an array, not the string "x.pem"; write [{ "cert_path": "site.pem", "key_path": "site.key" }]`},
		{http(`"tls_enabled":true,"certificates":["x.pem",{"cert_path":"","tls_key_path":"x"},{"cert_path":"/nope","key_path":5}]`),
			`f:1:110: http.certificates[0]: must be an object, not the string "x.pem"; write { "cert_path": "site.pem", "key_path": "site.key" }
f:1:118: http.certificates[1].key_path: it is missing; add "key_path": the path of a PEM file with the private key
f:1:131: http.certificates[1].cert_path: it is empty; write the path of a PEM file with the certificate chain
f:1:134: http.certificates[1].tls_key_path: unknown key "tls_key_path" has no effect here, and looks like a security setting; it belongs in "http"
f:1:167: http.certificates[2].cert_path: "/nope" cannot be opened: no such file or directory; give a readable PEM file; a relative path begins at the working directory
f:1:186: http.certificates[2].key_path: must be a string, not the number 5; put it in double quotes: "5"`},
		{http(`"tls_enabled":true,"tls_key_path":"/nope","certificates":[{"cert_path":"/nope","key_path":"/"}]`),
			`f:1:9: http.tls_cert_path: it is missing, and there is a tls_key_path; add "tls_cert_path": the path of a PEM file with the certificate of the key
f:1:109: http.tls_key_path: "/nope" cannot be opened: no such file or directory; give a readable PEM file; a relative path begins at the working directory
f:1:146: http.certificates[0].cert_path: "/nope" cannot be opened: no such file or directory; give a readable PEM file; a relative path begins at the working directory
f:1:165: http.certificates[0].key_path: "/" is not a regular file; give the path of a PEM file`},
		{http(`"tls_enabled":true,"tls_cert_path":"/nope","certificates":[]`),
			`f:1:9: http.tls_key_path: it is missing, and there is a tls_cert_path; add "tls_key_path": the path of a PEM file with the private key of the certificate
f:1:110: http.tls_cert_path: "/nope" cannot be opened: no such file or directory; give a readable PEM file; a relative path begins at the working directory`},
		{http(`"tls_enabled":true,"tls_min_version":"TLSv1.2","certificates":[{"cert_path":"/nope","key_path":"/nope"}],"tls_client_ca_path":"/nope"`),
			`W f:1:180: http.tls_client_ca_path: it is ignored without tls_verify_client; add "tls_verify_client": true, or remove it
f:1:112: http.tls_min_version: unknown choice "TLSv1.2"; write "1.2" or "1.3": no other version is spoken
f:1:151: http.certificates[0].cert_path: "/nope" cannot be opened: no such file or directory; give a readable PEM file; a relative path begins at the working directory
f:1:170: http.certificates[0].key_path: "/nope" cannot be opened: no such file or directory; give a readable PEM file; a relative path begins at the working directory`},
		{http(`"tls_enabled":true,"tls_min_version":1.3,"certificates":[{"cert_path":"/nope","key_path":"/nope"}],"tls_verify_client":true,"tls_client_ca_path":"/nope"`),
			`f:1:112: http.tls_min_version: must be a string, not the number 1.3; put it in double quotes: "1.3"
f:1:145: http.certificates[0].cert_path: "/nope" cannot be opened: no such file or directory; give a readable PEM file; a relative path begins at the working directory
f:1:164: http.certificates[0].key_path: "/nope" cannot be opened: no such file or directory; give a readable PEM file; a relative path begins at the working directory
f:1:220: http.tls_client_ca_path: "/nope" cannot be opened: no such file or directory; give a readable PEM file; a relative path begins at the working directory`},
	})
}

// TestCertificates checks which certificates there are, and their order.
func TestCertificates(t *testing.T) {
	t.Parallel()
	c, d := writePair(t), writePair(t)
	single := func(p config.KeyPair) string {
		return `,"tls_cert_path":"` + p.CertPath + `","tls_key_path":"` + p.KeyPath + `"`
	}
	entry := func(p config.KeyPair) string {
		return `{"cert_path":"` + p.CertPath + `","key_path":"` + p.KeyPath + `"}`
	}
	for name, test := range map[string]struct {
		members string
		want    []config.KeyPair
	}{
		"pair":              {single(c), []config.KeyPair{c}},
		"pair, empty list":  {single(c) + `,"certificates":[]`, []config.KeyPair{c}},
		"list":              {`,"certificates":[` + entry(d) + `,` + entry(c) + `]`, []config.KeyPair{d, c}},
		"list before pair":  {`,"certificates":[` + entry(d) + `]` + single(c), []config.KeyPair{c, d}},
		"pair, and in list": {single(c) + `,"certificates":[` + entry(c) + `]`, []config.KeyPair{c, c}},
		"list, empty paths": {`,"certificates":[` + entry(d) + `],"tls_cert_path":"","tls_key_path":""`, []config.KeyPair{d}},
	} {
		for _, wrap := range []func(string) string{stream, http} {
			got, warnings := parse(t, wrap(`"tls_enabled":true`+test.members))
			want := config.TLS{Enabled: true, Certificates: test.want, MinVersion: "1.2", TicketRotation: 8 * time.Hour}
			if !reflect.DeepEqual(got.Servers[0].TLS, want) || len(warnings) > 0 {
				t.Errorf("%s: got %s, want %s, warnings %v", name, spell(got.Servers[0].TLS), spell(want), warnings)
			}
		}
	}
}

// spell returns t without the contents of files.
func spell(t config.TLS) string {
	t.Certificates = slices.Clone(t.Certificates)
	for i := range t.Certificates {
		t.Certificates[i].Cert, t.Certificates[i].Key = nil, nil
	}
	return fmt.Sprintf("%+v", t)
}

func TestTLSVersionsAndNames(t *testing.T) {
	t.Parallel()
	p := writePair(t)
	for version, want := range map[string]string{"": "1.2", "1.2": "1.2", "1.3": "1.3"} {
		c, _ := parse(t, stream(`"tls_enabled":true,"tls_min_version":"`+version+`","tls_cert_path":"`+p.CertPath+`","tls_key_path":"`+p.KeyPath+`"`))
		if got := c.Servers[0].TLS.MinVersion; got != want {
			t.Errorf("%q became %q", version, got)
		}
	}
	for name, want := range map[string]string{"": "", "DB.example.": "DB.example.", "my_service": "my_service", "10.0.0.1": "10.0.0.1", "[::1]": "::1"} {
		c, _ := parse(t, group(`"hosts":[{"host":"h","port":1}],"proxy_tls_enabled":true,"proxy_tls_server_name":"`+name+`"`))
		if got := c.Groups[0].ProxyTLS; !reflect.DeepEqual(got, config.ProxyTLS{Enabled: true, ServerName: want}) {
			t.Errorf("%q became %+v", name, got)
		}
	}
}

// A choice by a name that no client can send causes a warning where it is used.
func TestNameThatNobodyGives(t *testing.T) {
	t.Parallel()
	const input = `{"http":{"proxy_to":"b","servers":{"b":{"balancing_algo":"sni","hosts":[{"host":"h","port":1}]},"c":{"balancing_algo":"sni","hosts":[{"host":"h","port":1}]}}}}`
	const unused = "\nW f:1:101: http.servers.c: no route uses this group; remove it, or name it in \"proxy_to\""
	const warning = `W f:1:41: http.servers.b.balancing_algo: "sni" chooses by the name that a TLS client asks for, but clients do not use TLS: every request is answered 421; add "tls_enabled": true and a certificate, or write "host"`
	if got := outcome(t, input); got != warning+unused {
		t.Errorf("got %s\nwant %s%s", got, warning, unused)
	}
	for _, fine := range []string{strings.Replace(input, `"http"`, `"stream"`, 1), strings.Replace(input, `"proxy_to":"b"`, `"proxy_to":"x"`, 1)} {
		if got := outcome(t, fine); strings.Contains(got, "421") {
			t.Errorf("%s: %s", fine, got)
		}
	}
}
