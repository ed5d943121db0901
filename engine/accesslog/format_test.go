package accesslog_test

import (
	"bytes"
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"kroxy-ev/engine/accesslog"
)

func record() *accesslog.Record {
	return &accesslog.Record{
		Client:          netip.MustParseAddr("::ffff:192.0.2.7"),
		BytesUpstream:   123,
		BytesDownstream: 1 << 40,
		Duration:        12*time.Millisecond + 999*time.Microsecond,
		TLS:             &accesslog.TLS{Version: "TLSv1.3", Cipher: "TLS_AES_128_GCM_SHA256", ServerName: []byte("a.example")},
		Method:          []byte("GET"),
		URI:             []byte("/a?b=c"),
		UserAgent:       []byte("curl/8"),
		Status:          200,
	}
}

func nastyRecord() *accesslog.Record {
	return &accesslog.Record{
		Client:          netip.MustParseAddr("fe80::1%a\nb"),
		BytesUpstream:   -1 << 63,
		BytesDownstream: 1<<63 - 1,
		Duration:        -time.Hour,
		TLS:             &accesslog.TLS{ServerName: []byte("a\n\"\\\x00\x7f\xff é [2026-01-01 00:00:00]: forged")},
		Method:          []byte("G\x00T"),
		URI:             []byte("/\r\n[2026-01-01 00:00:00]: forged\x7f\x80\xff\t\x1b[31m"),
		UserAgent:       []byte(`a"b\c $status é`),
		Status:          -5,
	}
}

func TestAppend(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		format string
		record *accesslog.Record
		want   string
	}{
		{"", record(), ""},
		{"text", record(), "text"},
		{"$client_addr", record(), "192.0.2.7"},
		{"$bytes_sent_upstream/$bytes_sent_downstream", record(), "123/1099511627776"},
		{"$processing_time", record(), "12ms"},
		{`"$request_method $request_uri" $status "$http_user_agent"`, record(), `"GET /a?b=c" 200 "curl/8"`},
		{"$tls_version $tls_cipher $tls_sni", record(), "TLSv1.3 TLS_AES_128_GCM_SHA256 a.example"},
		{"$tls_version $tls_cipher $tls_sni", &accesslog.Record{}, "- - -"},
		{"$tls_version $tls_cipher $tls_sni", &accesslog.Record{TLS: &accesslog.TLS{}}, "- - -"},
		{"$tls_version $tls_cipher $tls_sni", nastyRecord(),
			`- - a\x0A\x22\x5C\x00\x7F\xFF \xC3\xA9 [2026-01-01 00:00:00]: forged`},
		{"$status$status", record(), "200200"},
		{"$", record(), "$"},
		{"$$status$", record(), "$200$"},
		{"$5 $-status ${status} $é", record(), "$5 $-status ${status} $é"},
		{"$status9", record(), "2009"},
		{"$client_addr-$client_addr", &accesslog.Record{Client: netip.MustParseAddr("2001:db8::1")}, "2001:db8::1-2001:db8::1"},
		{"$client_addr|$bytes_sent_upstream|$processing_time|$status|$request_uri|$request_method|$http_user_agent",
			&accesslog.Record{}, "-|0|0ms|-|-|-|-"},
		{"$client_addr $bytes_sent_upstream $bytes_sent_downstream $processing_time", nastyRecord(),
			"fe80::1 -9223372036854775808 9223372036854775807 0ms"},
		{"$request_method $request_uri $http_user_agent", nastyRecord(),
			`G\x00T /\x0D\x0A[2026-01-01 00:00:00]: forged\x7F\x80\xFF\x09\x1B[31m a\x22b\x5Cc $status \xC3\xA9`},
	} {
		f, err := accesslog.Compile(c.format, true)
		if err != nil {
			t.Errorf("%q: %v", c.format, err)
			continue
		}
		if got := string(f.Append([]byte("> "), c.record)); got != "> "+c.want {
			t.Errorf("%q: got %q, want %q", c.format, got, "> "+c.want)
		}
	}
}

func TestCompileErrors(t *testing.T) {
	t.Parallel()
	const stream = "; stream mode knows $client_addr, $bytes_sent_upstream, $bytes_sent_downstream, $processing_time, " +
		"$tls_version, $tls_cipher, $tls_sni"
	for _, c := range []struct {
		format string
		http   bool
		want   string // how the error begins; "" is no error
	}{
		{"$client_addr", false, ""},
		{"$tls_version $tls_cipher $tls_sni", false, ""},
		{"$tls_version $tls_cipher $tls_sni", true, ""},
		{"$tls_name", false, "accesslog: format: unknown $tls_name" + stream},
		{"$status", false, "accesslog: format: unknown $status" + stream},
		{"$nope $client_addr $Status $nope", false, "accesslog: format: unknown $nope, $Status" + stream},
		{"$client_address", true, "accesslog: format: unknown $client_address; http mode knows $client_addr, "},
		{"$_", true, "accesslog: format: unknown $_; "},
	} {
		f, err := accesslog.Compile(c.format, c.http)
		switch {
		case c.want == "" && err != nil:
			t.Errorf("%q: %v", c.format, err)
		case c.want != "" && (err == nil || !strings.HasPrefix(err.Error(), c.want) || f != nil):
			t.Errorf("%q: error %v, want %s", c.format, err, c.want)
		}
	}
}

func TestVariables(t *testing.T) {
	t.Parallel()
	stream, http := accesslog.StreamVariables(), accesslog.HTTPVariables()
	if !slices.Equal(stream, []string{"client_addr", "bytes_sent_upstream", "bytes_sent_downstream", "processing_time",
		"tls_version", "tls_cipher", "tls_sni"}) {
		t.Errorf("stream: %q", stream)
	}
	want := append(stream, "request_uri", "request_method", "status", "http_user_agent")
	if !slices.Equal(http, want) {
		t.Errorf("http: %q", http)
	}
	for _, name := range stream {
		if _, err := accesslog.Compile("$"+name, false); err != nil {
			t.Error(err)
		}
	}
}

func TestAppendDoesNotAllocate(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	f := everything(t)
	dst := make([]byte, 0, 4096)
	for _, r := range []*accesslog.Record{record(), nastyRecord(), {}} {
		if a := testing.AllocsPerRun(1000, func() { dst = f.Append(dst[:0], r) }); a != 0 {
			t.Errorf("%v allocations", a)
		}
	}
}

func everything(tb testing.TB) *accesslog.Format {
	tb.Helper()
	f, err := accesslog.Compile("$"+strings.Join(accesslog.HTTPVariables(), " $"), true)
	if err != nil {
		tb.Fatal(err)
	}
	return f
}

var variable = regexp.MustCompile(`\$[A-Za-z_]+`)

// expand is the slow and obvious Append; ok is false for an unknown variable.
func expand(format string, http bool, r *accesslog.Record) (line string, ok bool) {
	escape := func(s []byte) string {
		var out string
		for _, c := range s {
			if c < ' ' || c > '~' || c == '"' || c == '\\' {
				out += fmt.Sprintf(`\x%02X`, c)
			} else {
				out += string(rune(c))
			}
		}
		if out == "" {
			return "-"
		}
		return out
	}
	addr, code := "-", "-"
	if r.Client.IsValid() {
		addr, _, _ = strings.Cut(r.Client.Unmap().String(), "%")
	}
	if r.Status != 0 {
		code = fmt.Sprint(r.Status)
	}
	values := map[string]string{
		"$client_addr":           addr,
		"$bytes_sent_upstream":   fmt.Sprint(r.BytesUpstream),
		"$bytes_sent_downstream": fmt.Sprint(r.BytesDownstream),
		"$processing_time":       fmt.Sprint(int64(max(r.Duration, 0)/time.Millisecond)) + "ms",
		"$tls_version":           "-",
		"$tls_cipher":            "-",
		"$tls_sni":               "-",
	}
	if r.TLS != nil {
		values["$tls_version"] = escape([]byte(r.TLS.Version))
		values["$tls_cipher"] = escape([]byte(r.TLS.Cipher))
		values["$tls_sni"] = escape([]byte(r.TLS.ServerName))
	}
	if http {
		values["$request_uri"] = escape(r.URI)
		values["$request_method"] = escape(r.Method)
		values["$status"] = code
		values["$http_user_agent"] = escape(r.UserAgent)
	}
	ok = true
	line = variable.ReplaceAllStringFunc(format, func(name string) string {
		value, known := values[name]
		ok = ok && known
		return value
	})
	return line, ok
}

func FuzzCompile(f *testing.F) {
	for _, format := range []string{
		"", "$", "$$", "$client_addr $status", "$nope", "a$5b", "$request_uri\"$http_user_agent\\$", "$tls_version $tls_cipher \"$tls_sni\"", "$é\n$processing_time",
	} {
		f.Add(format, true, []byte("GET"), []byte("/\n\"\\\x00\xff"), []byte(""), "a\n.é", int64(5), "::ffff:1.2.3.4%z")
		f.Add(format, false, []byte(nil), []byte(nil), []byte("\x7f"), "", int64(-5), "")
	}
	f.Fuzz(func(t *testing.T, format string, http bool, method, uri, agent []byte, name string, number int64, client string) {
		r := &accesslog.Record{
			BytesUpstream: number, BytesDownstream: -number, Duration: time.Duration(number), Status: int(number % 1000),
			Method: method, URI: uri, UserAgent: agent,
		}
		r.Client, _ = netip.ParseAddr(client)
		if number >= 0 {
			r.TLS = &accesslog.TLS{Version: "TLSv1.2", ServerName: []byte(name)}
		}
		for _, r := range []*accesslog.Record{r, nastyRecord()} {
			want, ok := expand(format, http, r)
			compiled, err := accesslog.Compile(format, http)
			if ok != (err == nil) {
				t.Fatalf("Compile of %q: %v", format, err)
			}
			if err != nil {
				return
			}
			got := compiled.Append(nil, r)
			if string(got) != want {
				t.Fatalf("%q: got %q, want %q", format, got, want)
			}
			if !bytes.Equal(got, compiled.Append(nil, r)) {
				t.Fatalf("%q: not the same twice", format)
			}
			// Control bytes come from the format only.
			control := func(r rune) bool { return r < ' ' || r == 0x7f }
			if own := strings.FieldsFunc(format, func(r rune) bool { return !control(r) }); strings.Join(own, "") !=
				strings.Join(strings.FieldsFunc(string(got), func(r rune) bool { return !control(r) }), "") {
				t.Fatalf("%q: control bytes in %q", format, got)
			}
		}
	})
}

func BenchmarkAppend(b *testing.B) {
	stream, err := accesslog.Compile("$client_addr $bytes_sent_upstream $bytes_sent_downstream $processing_time", false)
	if err != nil {
		b.Fatal(err)
	}
	for _, c := range []struct {
		name   string
		format *accesslog.Format
	}{{"stream", stream}, {"http", everything(b)}} {
		b.Run(c.name, func(b *testing.B) {
			r, dst := record(), make([]byte, 0, 4096)
			b.ReportAllocs()
			for b.Loop() {
				dst = c.format.Append(dst[:0], r)
			}
		})
	}
}
