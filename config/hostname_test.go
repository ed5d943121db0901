package config_test

import (
	"strings"
	"testing"

	"kroxy-ev/config"
)

func TestHostNameErrors(t *testing.T) {
	t.Parallel()
	checkOutcomes(t, []outcomeCase{
		{hosts(`{"host":"http://example.com","port":1}`),
			`f:1:60: stream.servers.b.hosts[0].host: "http://example.com" is a URL, not a host; write the host alone: "example.com"`},
		{hosts(`{"host":"https://example.com/x","port":1}`),
			`f:1:60: stream.servers.b.hosts[0].host: "https://example.com/x" is a URL, not a host; write the host alone: "example.com", with "proxy_tls_enabled": true in its group`},
		{hosts(`{"host":"http://example.com:8000/x","port":1}`),
			`f:1:60: stream.servers.b.hosts[0].host: "http://example.com:8000/x" is a URL, not a host; write the host alone: "example.com", and "port": 8000`},
		{hosts(`{"host":"http://","port":1}`),
			`f:1:60: stream.servers.b.hosts[0].host: "http://" is a URL, not a host; write a name such as "db.example.com" or an address such as "10.0.0.1" or "::1"`},
		{hosts(`{"host":"tcp://[::1]:80","port":1}`),
			`f:1:60: stream.servers.b.hosts[0].host: "tcp://[::1]:80" is a URL, not a host; write the host alone: "::1", and "port": 80`},
		{hosts(`{"host":"10.0.0.0/8","port":1}`),
			`f:1:60: stream.servers.b.hosts[0].host: "10.0.0.0/8" has a path or a prefix length in it; write the host alone: "10.0.0.0"`},
		{hosts(`{"host":"unix:/x","port":1}`),
			`f:1:60: stream.servers.b.hosts[0].host: "unix:/x" has a path or a prefix length in it; write "unix": "/x" in place of "host" and "port"`},
		{hosts(`{"host":"db:5432","port":1}`),
			`f:1:60: stream.servers.b.hosts[0].host: "db:5432" has a port in it; write the host alone: "db", and "port": 5432`},
		{hosts(`{"host":"[::1]:80","port":1}`),
			`f:1:60: stream.servers.b.hosts[0].host: "[::1]:80" has a port in it; write the host alone: "::1", and "port": 80`},
		{hosts(`{"host":"a b","port":1}`),
			`f:1:60: stream.servers.b.hosts[0].host: "a b" has white space in it; write a name such as "db.example.com" or an address such as "10.0.0.1" or "::1"`},
		{hosts(`{"host":" h\n","port":1}`),
			`f:1:60: stream.servers.b.hosts[0].host: " h\n" has white space in it; write the host alone: "h"`},
		{hosts(`{"host":" ","port":1}`),
			`f:1:60: stream.servers.b.hosts[0].host: " " has white space in it; write a name such as "db.example.com" or an address such as "10.0.0.1" or "::1"`},
		{hosts(`{"host":"[10.0.0.1]","port":1}`),
			`f:1:60: stream.servers.b.hosts[0].host: "[10.0.0.1]" has brackets around an IPv4 address; write "10.0.0.1"`},
		{hosts(`{"host":"::g","port":1}`),
			`f:1:60: stream.servers.b.hosts[0].host: "::g" is not an IPv6 address; write a name such as "db.example.com" or an address such as "10.0.0.1" or "::1"`},
		{hosts(`{"host":"[::1","port":1}`),
			`f:1:60: stream.servers.b.hosts[0].host: "[::1" is not an IPv6 address; write a name such as "db.example.com" or an address such as "10.0.0.1" or "::1"`},
		{hosts(`{"host":"fe80::1%e!0","port":1}`),
			`f:1:60: stream.servers.b.hosts[0].host: "fe80::1%e!0" has an impossible zone after '%'; write the name of an interface, as in "fe80::1%eth0"`},
		{hosts(`{"host":"300.1.1.1","port":1}`),
			`f:1:60: stream.servers.b.hosts[0].host: "300.1.1.1" is not an IPv4 address; write four numbers from 0 to 255 without leading zeros, or a name`},
		{hosts(`{"host":"1.2.3","port":1}`),
			`f:1:60: stream.servers.b.hosts[0].host: "1.2.3" is not an IPv4 address; write four numbers from 0 to 255 without leading zeros, or a name`},
		{hosts(`{"host":"010.0.0.1","port":1}`),
			`f:1:60: stream.servers.b.hosts[0].host: "010.0.0.1" is not an IPv4 address; write four numbers from 0 to 255 without leading zeros, or a name`},
		{hosts(`{"host":"a..b","port":1}`),
			`f:1:60: stream.servers.b.hosts[0].host: "a..b" has an empty part between dots; write a name such as "db.example.com" or an address such as "10.0.0.1" or "::1"`},
		{hosts(`{"host":"-a.b","port":1}`),
			`f:1:60: stream.servers.b.hosts[0].host: "-a.b" has a part that begins or ends with '-'; write a name such as "db.example.com" or an address such as "10.0.0.1" or "::1"`},
		{hosts(`{"host":"*.example.com","port":1}`),
			`f:1:60: stream.servers.b.hosts[0].host: "*.example.com" has the character "*" in it; write a name such as "db.example.com" or an address such as "10.0.0.1" or "::1"`},
		{hosts(`{"host":"münchen.de","port":1}`),
			`f:1:60: stream.servers.b.hosts[0].host: "münchen.de" has letters outside ASCII; write its ASCII form, which begins a label with "xn--"`},
	})
}

func TestHostNames(t *testing.T) {
	t.Parallel()
	for input, want := range map[string]string{
		"localhost":                     "localhost",
		"EXAMPLE.com.":                  "EXAMPLE.com.",
		"my_service":                    "my_service",
		"1password.com":                 "1password.com",
		"xn--mnchen-3ya.de":             "xn--mnchen-3ya.de",
		"10.0.0.1":                      "10.0.0.1",
		"::1":                           "::1",
		"[::1]":                         "::1",
		"::ffff:10.0.0.1":               "::ffff:10.0.0.1",
		"fe80::1%eth0":                  "fe80::1%eth0",
		strings.Repeat("a", 63):         strings.Repeat("a", 63),
		strings.Repeat("a.", 126) + "a": strings.Repeat("a.", 126) + "a",
		strings.Repeat("a", 64):         "",
		strings.Repeat("a.", 127) + "a": "",
	} {
		c, _, err := config.Parse("f", []byte(hosts(`{"host":"`+input+`","port":65535}`)))
		switch {
		case (err != nil) != (want == ""):
			t.Errorf("%q: %v", input, err)
		case err == nil && c.Groups[0].Hosts[0] != config.Host{Name: want, Port: 65535, Weight: 1}:
			t.Errorf("%q: got %+v", input, c.Groups[0].Hosts[0])
		}
	}
}
