package logformat_test

import (
	"bytes"
	"encoding/json"
	"net/netip"
	"reflect"
	"strings"
	"testing"
	"time"

	"kroxy-ev/logformat"
)

func TestJSON(t *testing.T) {
	t.Parallel()
	const all = `{"time_iso8601":"2026-11-28T16:30:00+00:00","request_id":"0123456789abcdef0123456789abcdef",` +
		`"client_addr":"192.0.2.7","client_port":4711,"protocol":"HTTP/1.1",` +
		`"tls_version":"TLS 1.3","tls_cipher":"TLS_AES_128_GCM_SHA256","tls_sni":"a.example","tls_client_subject":"CN=alice,O=Example Ltd",` +
		`"scheme":"https","host":"www.example","request_method":"GET","request_uri":"/a?b=c","path":"/a","query":"b=c","http_user_agent":"curl/8","status":200,"grpc_status":null,` +
		`"bytes_sent_upstream":123,"bytes_sent_downstream":1099511627776,"processing_time":12,"end_reason":"host_cut",` +
		`"server":"site","route":"all","group":"web","upstream_host":"db1.example:5432","upstream_addr":"[2001:db8::1]:5432","upstream_tries":2,"upstream_status":206,"upstream_connect_time":3,"upstream_header_time":5}`
	if got := string(inJSON(t).Append(nil, record())); got != all {
		t.Errorf("got  %s\nwant %s", got, all)
	}
	const none = `{"time_iso8601":null,"request_id":null,"client_addr":null,"client_port":null,"protocol":null,` +
		`"tls_version":null,"tls_cipher":null,"tls_sni":null,"tls_client_subject":null,` +
		`"bytes_sent_upstream":0,"bytes_sent_downstream":0,"processing_time":0,"end_reason":"complete",` +
		`"server":null,"route":null,"group":null,"upstream_host":null,"upstream_addr":null,"upstream_tries":0,"upstream_connect_time":null}`
	stream, err := logformat.Compile("json", logformat.Stream)
	if err != nil {
		t.Fatal(err)
	}
	if got := string(stream.Append(nil, &logformat.Record{})); got != none || !stream.JSON() {
		t.Errorf("got  %s\nwant %s", got, none)
	}
}

func TestJSONFields(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		fields []logformat.Field
		record *logformat.Record
		want   string
	}{
		{nil, record(), `{}`},
		{[]logformat.Field{{"a", "$status"}, {"b", "$request_method"}}, record(), `{"a":200,"b":"GET"}`},
		{[]logformat.Field{{"a", "$status"}, {"b", "$request_method"}}, &logformat.Record{}, `{"a":null,"b":null}`},
		{[]logformat.Field{{"a", "$status "}, {"b", "\"$processing_time\" $request_method"}}, record(), `{"a":"200 ","b":"\"12ms\" GET"}`},
		{[]logformat.Field{{"a", "$status$request_method"}}, &logformat.Record{}, `{"a":"--"}`},
		{[]logformat.Field{{"a\"\n", ""}, {"", "json"}}, record(), `{"a\"\u000a":"","":"json"}`},
		{[]logformat.Field{{"a", "<$request_uri>"}, {"b", "$host"}}, nastyRecord(),
			`{"a":"</\u000d\u000a[2026-01-01 00:00:00]: forged\u007f\ufffd\ufffd\u0009\u001b[31m>","b":"\"}\u000a{\"a\u0085\u2028\ufffd"}`},
	} {
		f, err := logformat.CompileFields(c.fields, logformat.HTTP)
		if err != nil {
			t.Errorf("%q: %v", c.fields, err)
			continue
		}
		if got := string(f.Append(nil, c.record)); strings.ReplaceAll(got, "\ufffd", `\ufffd`) != c.want {
			t.Errorf("%q: got %s, want %s", c.fields, got, c.want)
		}
	}
}

// encoding/json reads from a line what it would have written, and the line has no byte that could end it or control a terminal.
func FuzzJSON(f *testing.F) {
	f.Add("$status", "x", []byte("GET"), []byte("/\n\"\\\x00\xff"), "a\n.é\u0085\u2028", int64(5), "::ffff:1.2.3.4%z")
	f.Add("<$request_uri>$5", "\xff\"", []byte("\xed\xa0\x80\xc2"), []byte("\xf0\x9f\x98\x80\xf4\x90\x80\x80"), "", int64(-1), "")
	f.Fuzz(func(t *testing.T, format, field string, method, uri []byte, name string, number int64, addr string) {
		r := &logformat.Record{
			BytesUpstream: number, Duration: time.Duration(number), Status: int(number % 1000), Method: method, URI: uri,
			Group: name, TLS: &logformat.TLS{ServerName: []byte(name), ClientSubject: []byte(name)}, Host: []byte(name), Messages: messages{"user-agent": string(uri)},
			Upstream: logformat.Upstream{Host: name, Connected: number%2 == 0, ConnectTime: time.Duration(number), Tries: int(number)},
		}
		a, _ := netip.ParseAddr(addr)
		r.Client, r.Upstream.Addr = netip.AddrPortFrom(a, uint16(number)), netip.AddrPortFrom(a, 5)

		line := inJSON(t).Append(nil, r)
		got := object(t, line)
		text := func(s []byte) any {
			if len(s) == 0 {
				return nil
			}
			return written(t, string(s))
		}
		for key, want := range map[string]any{
			"request_method": text(method), "request_uri": text(uri), "http_user_agent": text(uri),
			"group": text([]byte(name)), "tls_sni": text([]byte(name)), "tls_client_subject": text([]byte(name)), "host": text([]byte(name)), "upstream_host": text([]byte(name)),
			"bytes_sent_downstream": json.Number("0"),
		} {
			if !reflect.DeepEqual(got[key], want) {
				t.Errorf("%s is %q, want %q, in %s", key, got[key], want, line)
			}
		}
		if len(got) != len(logformat.Members(logformat.HTTP)) {
			t.Errorf("%d members in %s", len(got), line)
		}

		own, err := logformat.CompileFields([]logformat.Field{{field, format}, {field + "'", "$request_uri|" + format}}, logformat.HTTP)
		if err != nil {
			return
		}
		line = own.Append(nil, r)
		got = object(t, line)
		begin := "-"
		if len(uri) > 0 {
			begin = written(t, string(uri))
		}
		_, is := got[written(t, field)]
		if mixed, ok := got[written(t, field+"'")].(string); !is || !ok || !strings.HasPrefix(mixed, begin+"|") || len(got) != 2 {
			t.Errorf("%q: %q: %s", field, format, line)
		}
	})
}

// object parses a line.
func object(t *testing.T, line []byte) map[string]any {
	t.Helper()
	for _, c := range string(line) {
		if c < ' ' || 0x7f <= c && c <= 0x9f || c == '\u2028' || c == '\u2029' {
			t.Fatalf("%U in %q", c, line)
		}
	}
	d := json.NewDecoder(bytes.NewReader(line))
	d.UseNumber()
	var o map[string]any
	if err := d.Decode(&o); err != nil || d.More() {
		t.Fatalf("%v: %q", err, line)
	}
	return o
}

// written returns s after encoding/json has written and read it.
func written(t *testing.T, s string) string {
	t.Helper()
	b, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	var back string
	if err := json.Unmarshal(b, &back); err != nil {
		t.Fatal(err)
	}
	return back
}
