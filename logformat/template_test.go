package logformat_test

import (
	"bytes"
	"net/netip"
	"strings"
	"testing"
	"time"

	"kroxy-ev/logformat"
)

func template(tb testing.TB, text string, place logformat.Mode) *logformat.Template {
	tb.Helper()
	t, err := logformat.CompileTemplate(text, place)
	if err != nil {
		tb.Fatal(err)
	}
	return t
}

func TestTemplate(t *testing.T) {
	t.Parallel()
	absolute := &logformat.Record{URI: []byte("http://h:1/x?y")}
	for _, c := range []struct {
		text   string
		place  logformat.Mode
		record *logformat.Record
		want   string
	}{
		{"", logformat.OnRequest, record(), ""},
		{"https://$host$request_uri", logformat.OnRequest, record(), "https://www.example/a?b=c"},
		{"$scheme://$host$path?$query", logformat.OnRequest, record(), "https://www.example/a?b=c"},
		{"$request_uri $path $query", logformat.OnRequest, absolute, "/x?y /x y"},
		{"$request_uri $path", logformat.OnRequest, &logformat.Record{URI: []byte("http://h")}, "/ /"},
		{"$request_uri $path", logformat.OnRequest, &logformat.Record{URI: []byte("/a?")}, "/a? /a"},
		{"<$request_uri>", logformat.OnRequest, &logformat.Record{URI: []byte("*")}, "<>"},
		{"$client_addr:$client_port $addr $protocol $tls_version $tls_cipher $tls_sni", logformat.OnRequest, record(),
			"192.0.2.7:4711 192.0.2.7 HTTP/1.1 TLS 1.3 TLS_AES_128_GCM_SHA256 a.example"},
		{"$request_id $time_iso8601 $request_method $route $server", logformat.OnRequest, record(),
			"0123456789abcdef0123456789abcdef 2026-11-28T16:30:00+00:00 GET all site"},
		{"$http_x_tenant|$cookie_b|$arg_b", logformat.OnRequest, record(), "t1|2 3|c"},
		{"<$http_none|$cookie_none|$arg_none|$http_user_agent>", logformat.OnRequest, &logformat.Record{}, "<|||>"},
		{"$5 $ $$", logformat.OnRequest, record(), "$5 $ $$"},
		{"$host $group $upstream_host $upstream_addr $upstream_tries", logformat.ToHost, record(), "www.example web db1.example:5432 [2001:db8::1]:5432 2"},
		{"$status $upstream_status $upstream_header_time $upstream_connect_time $sent_http_content_type", logformat.ToClient, record(), "200 206 5ms 3ms text/css"},
		{"<$status$upstream_status>", logformat.ToClient, &logformat.Record{}, "<>"},

		// As in Kroxy.
		{"$host $addr $hostname $address", logformat.Kroxy, record(), "db1.example 192.0.2.7 db1.examplename 192.0.2.7ess"},
		{"$request_idx $pathology $status $nope $ $$host $5", logformat.Kroxy, record(), "0123456789abcdef0123456789abcdefx $pathology $status $nope $ $db1.example $5"},
		{"$scheme://$http_x_tenant$path", logformat.Kroxy, record(), "https://t1/a"},

		// A value that is not allowed in a head is omitted completely.
		{"<$tls_sni|$request_method|$request_uri|$host>", logformat.OnRequest, nastyRecord(), "<|||>"},
		{"<$http_user_agent>", logformat.OnRequest, nastyRecord(), `<a"b\c $status é>`},
		{"<$http_a>", logformat.OnRequest, &logformat.Record{Messages: messages{"a": "x\ty\x80"}}, "<x\ty\x80>"},
		{"<$http_a>", logformat.OnRequest, &logformat.Record{Messages: messages{"a": "x\x7fy"}}, "<>"},
	} {
		got := template(t, c.text, c.place)
		if out := string(got.Append([]byte("> "), c.record)); out != "> "+c.want {
			t.Errorf("%s in %s: got %q, want %q", c.text, c.place, out, "> "+c.want)
		}
	}
}

func TestTemplateErrors(t *testing.T) {
	t.Parallel()
	for text, place := range map[string]logformat.Mode{
		"$nope":             logformat.OnRequest,
		"$status":           logformat.OnRequest,
		"$group":            logformat.OnRequest,
		"$upstream_status":  logformat.ToHost,
		"$sent_http_x":      logformat.ToHost,
		"$end_reason":       logformat.ToClient,
		"$Host":             logformat.ToClient,
		"$processing_time ": logformat.ToClient,
	} {
		if got, err := logformat.CompileTemplate(text, place); err == nil || got != nil || !strings.HasPrefix(err.Error(), "logformat: unknown $") {
			t.Errorf("%q in %s: %v", text, place, err)
		}
	}
}

func TestTemplateNeeds(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]logformat.Need{
		"x":                           0,
		"$host":                       0,
		"$request_id":                 logformat.NeedRequestID,
		"$request_id, $time_iso8601.": logformat.NeedRequestID | logformat.NeedTime,
	} {
		c := template(t, text, logformat.OnRequest)
		if c.Need() != want || c.Fixed() != (text == "x") || c.Has("request_id") != strings.Contains(text, "request_id") {
			t.Errorf("%q: %d, %v", text, c.Need(), c.Fixed())
		}
	}
}

func TestTemplateDoesNotAllocate(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	dst := make([]byte, 0, 4096)
	for _, place := range []logformat.Mode{logformat.OnRequest, logformat.ToHost, logformat.ToClient, logformat.Kroxy} {
		c := template(t, "$"+strings.Join(logformat.Names(place), " $"), place)
		for _, r := range []*logformat.Record{record(), nastyRecord(), {}} {
			r.Messages = still{}
			if a := testing.AllocsPerRun(100, func() { dst = c.Append(dst[:0], r) }); a != 0 {
				t.Errorf("%s: %v allocations", place, a)
			}
		}
	}
}

// still returns the same value for each field, and allocates nothing.
type still struct{}

var stillValue = []byte("a=1; NAME=2")

func (still) RequestField(string) []byte  { return stillValue }
func (still) ResponseField(string) []byte { return stillValue }

// Whatever the input, the only bytes in the result that could end a line are those of the text itself.
func FuzzTemplate(f *testing.F) {
	f.Add("https://$host$request_uri", byte(0), []byte("GET"), []byte("/a\r\nb?c=\x00"), []byte("x\r\ny: z"), "a\nb", "::1%\r\n")
	f.Add("$http_x$cookie_a$arg_c$tls_sni $1", byte(1), []byte("\n"), []byte("//x"), []byte("a=\r\n; a=b"), "", "1.2.3.4")
	f.Add("$status$sent_http_x$hostname", byte(2), []byte(""), []byte("*"), []byte(""), "\x00", "")
	f.Add("$hostname$addr$status", byte(3), []byte(""), []byte("http://\x7f"), []byte(""), "\x00", "")
	f.Fuzz(func(t *testing.T, text string, place byte, method, uri, value []byte, name, client string) {
		where := []logformat.Mode{logformat.OnRequest, logformat.ToHost, logformat.ToClient, logformat.Kroxy}[place%4]
		c, err := logformat.CompileTemplate(text, where)
		if err != nil {
			return
		}
		addr, _ := netip.ParseAddr(client)
		r := &logformat.Record{
			Client: netip.AddrPortFrom(addr, 1), TLS: &logformat.TLS{ServerName: value, Version: name}, Method: method, URI: uri, Host: value, HostName: value,
			Messages:  messages{"x": string(value), "cookie": string(value), "<x": string(value)},
			RequestID: value, Time: value, Server: name, Route: name, Group: name, Protocol: name, Duration: time.Duration(place),
			Upstream: logformat.Upstream{Host: name, Addr: netip.AddrPortFrom(addr, 2)},
		}
		control := func(s []byte) []byte {
			return bytes.Map(func(c rune) rune {
				if c < ' ' && c != '\t' || c == 0x7f {
					return c
				}
				return -1
			}, s)
		}
		if out := c.Append(nil, r); !bytes.Equal(control(out), control([]byte(text))) {
			t.Fatalf("%q: %q", text, out)
		}
	})
}
