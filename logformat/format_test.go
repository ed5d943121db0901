package logformat_test

import (
	"bytes"
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"kroxy-ev/logformat"
)

// messages has fields by name; the names of response fields begin with "<".
type messages map[string]string

func (m messages) RequestField(low string) []byte  { return m.field(low) }
func (m messages) ResponseField(low string) []byte { return m.field("<" + low) }

func (m messages) field(name string) []byte {
	if value, ok := m[name]; ok {
		return []byte(value)
	}
	return nil
}

func record() *logformat.Record {
	return &logformat.Record{
		Client:          netip.MustParseAddrPort("[::ffff:192.0.2.7]:4711"),
		TLS:             &logformat.TLS{Version: "TLS 1.3", Cipher: "TLS_AES_128_GCM_SHA256", ServerName: []byte("a.example"), ClientSubject: []byte("CN=alice,O=Example Ltd")},
		Protocol:        "HTTP/1.1",
		BytesUpstream:   123,
		BytesDownstream: 1 << 40,
		Duration:        12*time.Millisecond + 999*time.Microsecond,
		End:             logformat.HostCut,
		Server:          "site",
		Route:           "all",
		Group:           "web",
		Upstream: logformat.Upstream{
			Host: "db1.example:5432", Addr: netip.MustParseAddrPort("[2001:db8::1]:5432"), Tries: 2,
			ConnectTime: 3 * time.Millisecond, Connected: true, Status: 206, HeaderTime: 5 * time.Millisecond,
		},
		RequestID: []byte("0123456789abcdef0123456789abcdef"),
		Time:      []byte("2026-11-28T16:30:00+00:00"),
		Method:    []byte("GET"),
		URI:       []byte("/a?b=c"),
		Host:      []byte("www.example"),
		HostName:  []byte("db1.example"),
		Messages:  messages{"user-agent": "curl/8", "x-tenant": "t1", "cookie": "a=1; b=\"2 3\"; a=4; =5; c", "<content-type": "text/css"},
		Status:    200,
	}
}

func nastyRecord() *logformat.Record {
	return &logformat.Record{
		Client:          netip.AddrPortFrom(netip.MustParseAddr("fe80::1%a\nb"), 65535),
		BytesUpstream:   -1 << 63,
		BytesDownstream: 1<<63 - 1,
		Duration:        -time.Hour,
		TLS:             &logformat.TLS{ServerName: []byte("a\n\"\\\x00\x7f\xff é [2026-01-01 00:00:00]: forged")},
		Upstream:        logformat.Upstream{Addr: netip.AddrPortFrom(netip.MustParseAddr("fe80::2%\"\n"), 1), ConnectTime: -5, Connected: true, Status: -5},
		Method:          []byte("G\x00T"),
		URI:             []byte("/\r\n[2026-01-01 00:00:00]: forged\x7f\x80\xff\t\x1b[31m"),
		Host:            []byte("\"}\n{\"a\u0085\u2028\ufffd"),
		Messages:        messages{"user-agent": `a"b\c $status é`},
		Status:          -5,
	}
}

func TestAppend(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		format string
		record *logformat.Record
		want   string
	}{
		{"", record(), ""},
		{"text", record(), "text"},
		{"$client_addr:$client_port", record(), "192.0.2.7:4711"},
		{"$bytes_sent_upstream/$bytes_sent_downstream", record(), "123/1099511627776"},
		{"$processing_time", record(), "12ms"},
		{`"$request_method $request_uri $protocol" $status "$http_user_agent"`, record(), `"GET /a?b=c HTTP/1.1" 200 "curl/8"`},
		{"$tls_version $tls_cipher $tls_sni", record(), "TLS 1.3 TLS_AES_128_GCM_SHA256 a.example"},
		{"$tls_client_subject", record(), `CN=alice,O=Example\x20Ltd`},
		{"$tls_version $tls_cipher $tls_sni", &logformat.Record{}, "- - -"},
		{"$tls_version $tls_cipher $tls_sni", &logformat.Record{TLS: &logformat.TLS{}}, "- - -"},
		{"$tls_version $tls_cipher $tls_sni", nastyRecord(),
			`- - a\x0A\x22\x5C\x00\x7F\xFF\x20\xC3\xA9\x20[2026-01-01\x2000:00:00]:\x20forged`},
		{"$group $upstream_host $upstream_addr $upstream_tries $upstream_status $upstream_connect_time $upstream_header_time", record(),
			"web db1.example:5432 [2001:db8::1]:5432 2 206 3ms 5ms"},
		{"$group $upstream_host $upstream_addr $upstream_tries $upstream_status $upstream_connect_time $upstream_header_time", &logformat.Record{},
			"- - - 0 - - -"},
		{"$grpc_status $grpc_status", &logformat.Record{GRPCStatus: []byte("14")}, "14 14"},
		{"$grpc_status", &logformat.Record{GRPCStatus: []byte("0")}, "0"},
		{"$grpc_status", &logformat.Record{GRPCStatus: []byte("1000")}, "-"},
		{"$grpc_status", &logformat.Record{GRPCStatus: []byte("-1")}, "-"},
		{"$grpc_status", &logformat.Record{GRPCStatus: []byte("0\n")}, "-"},
		{"$grpc_status", record(), "-"},
		{"$upstream_addr", &logformat.Record{Upstream: logformat.Upstream{Host: "unix:/run/app.sock"}}, "unix:/run/app.sock"},
		{"$upstream_addr", &logformat.Record{Upstream: logformat.Upstream{Host: "unix:/run/a b"}}, "-"},
		{"$upstream_addr", &logformat.Record{Upstream: logformat.Upstream{Host: "app:80"}}, "-"},
		{"$upstream_addr $upstream_connect_time", nastyRecord(), "[fe80::2]:1 0ms"},
		{"$end_reason $request_id $time_iso8601 $host", record(), "host_cut 0123456789abcdef0123456789abcdef 2026-11-28T16:30:00+00:00 www.example"},
		{"$end_reason $request_id $time_iso8601 $host", &logformat.Record{}, "complete - - -"},
		{"$scheme $path $query", record(), "https /a b=c"},
		{"$scheme $path $query", &logformat.Record{}, "http - -"},
		{"$path $query", &logformat.Record{URI: []byte("http://h:1/x?y?z")}, "/x y?z"},
		{"$path $query", &logformat.Record{URI: []byte("http://h")}, "- -"},
		{"$path $query", &logformat.Record{URI: []byte("http://h?q")}, "- q"},
		{"$path $query", &logformat.Record{URI: []byte("/a?u=http://h/")}, "/a u=http://h/"},
		{"$path $query", &logformat.Record{URI: []byte("*")}, "* -"},
		{"$server $route $addr", record(), "site all 192.0.2.7"},
		{"$arg_b $arg_c $arg_B", record(), "c - -"},
		{"$http_x_tenant $http_X_Tenant $http_user_agent $http_none", record(), "t1 t1 curl/8 -"},
		{"$http_user_agent2 $http_x9", record(), "curl/82 -"},
		{"$cookie_a $cookie_b $cookie_c $cookie_A", record(), `1 2\x203 - -`},
		{"$sent_http_content_type $sent_http_etag", record(), "text/css -"},
		{"$http_x_tenant $cookie_a $sent_http_content_type", &logformat.Record{}, "- - -"},
		{"$arg_a|$arg_b|$arg_c|$arg_ab", &logformat.Record{URI: []byte("/?ab=1&a&b=&c=%20;&c=2&a=3&=4")}, "3|-|%20;|1"},
		{"$status$status", record(), "200200"},
		{"$", record(), "$"},
		{"$$status$", record(), "$200$"},
		{"$5 $-status ${status} $é", record(), "$5 $-status ${status} $é"},
		{"$status9", record(), "2009"},
		{"$status404_", record(), "200404_"},
		{"$time_iso8601$time_iso8601.", &logformat.Record{Time: []byte("t")}, "tt."},
		{"$client_addr-$client_addr", &logformat.Record{Client: netip.MustParseAddrPort("[2001:db8::1]:1")}, "2001:db8::1-2001:db8::1"},
		{"$client_addr|$client_port|$bytes_sent_upstream|$processing_time|$status|$request_uri|$request_method|$http_user_agent|$protocol",
			&logformat.Record{}, "-|-|0|0ms|-|-|-|-|-"},
		{"$client_addr $bytes_sent_upstream $bytes_sent_downstream $processing_time", nastyRecord(),
			"fe80::1 - 9223372036854775807 0ms"},
		{"$request_method $request_uri $http_user_agent", nastyRecord(),
			`G\x00T /\x0D\x0A[2026-01-01\x2000:00:00]:\x20forged\x7F\x80\xFF\x09\x1B[31m a\x22b\x5Cc $status \xC3\xA9`},
	} {
		f, err := logformat.Compile(c.format, logformat.HTTP)
		if err != nil {
			t.Errorf("%q: %v", c.format, err)
			continue
		}
		if got := string(f.Append([]byte("> "), c.record)); got != "> "+c.want {
			t.Errorf("%q: got %q, want %q", c.format, got, "> "+c.want)
		}
		if f.JSON() {
			t.Errorf("%q: taken for JSON", c.format)
		}
	}
}

func TestCompileErrors(t *testing.T) {
	t.Parallel()
	stream := "; stream mode knows $" + strings.Join(logformat.Names(logformat.Stream), ", $")
	for _, c := range []struct {
		format string
		mode   logformat.Mode
		want   string // the beginning of the error; "" is no error
	}{
		{"$client_addr", logformat.Stream, ""},
		{"$tls_version $tls_cipher $tls_sni", logformat.Stream, ""},
		{"json", logformat.Stream, ""},
		{"$tls_name", logformat.Stream, "logformat: unknown $tls_name" + stream},
		{"$status", logformat.Stream, "logformat: unknown $status" + stream},
		{"$nope $client_addr $Status $nope", logformat.Stream, "logformat: unknown $nope, $Status" + stream},
		{"$client_address", logformat.HTTP, "logformat: unknown $client_address; http mode knows $time_iso8601, "},
		{"$_", logformat.HTTP, "logformat: unknown $_; "},
		{"$time_iso8602", logformat.HTTP, "logformat: unknown $time_iso; "},
	} {
		f, err := logformat.Compile(c.format, c.mode)
		g, fieldErr := logformat.CompileFields([]logformat.Field{{"a", c.format}, {"b", "x" + c.format}}, c.mode)
		switch {
		case c.want == "" && (err != nil || fieldErr != nil):
			t.Errorf("%q: %v, %v", c.format, err, fieldErr)
		case c.want != "" && (err == nil || !strings.HasPrefix(err.Error(), c.want) || f != nil || g != nil || fieldErr == nil || fieldErr.Error() != err.Error()):
			t.Errorf("%q: errors %v, %v, want %s", c.format, err, fieldErr, c.want)
		}
	}
}

// A format says what it needs, and nothing else has to be determined for it.
func TestNeeds(t *testing.T) {
	t.Parallel()
	all := []logformat.Need{logformat.NeedRequestID, logformat.NeedTime}
	for format, want := range map[string][]logformat.Need{
		"$client_addr $request_uri $upstream_addr": nil,
		"x $request_id":        {logformat.NeedRequestID},
		"$time_iso8601$status": {logformat.NeedTime},
		"json":                 all,
	} {
		f, err := logformat.Compile(format, logformat.HTTP)
		if err != nil {
			t.Fatal(err)
		}
		for _, n := range all {
			if f.Needs(n) != slices.Contains(want, n) {
				t.Errorf("%q needs %d: %v", format, n, f.Needs(n))
			}
		}
	}
}

// A format says which response fields its lines contain.
func TestSentFields(t *testing.T) {
	t.Parallel()
	for format, want := range map[string][]string{
		"json":            {"grpc-status"},
		"$http_x $status": nil,
		"$grpc_status $sent_http_grpc_status $sent_http_x":       {"grpc-status", "x"},
		"$sent_http_content_type$sent_http_ETag $sent_http_etag": {"content-type", "etag"},
	} {
		if got := compile(t, format).SentFields(); !slices.Equal(got, want) {
			t.Errorf("%q: %q", format, got)
		}
	}
}

func TestAppendDoesNotAllocate(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	dst := make([]byte, 0, 4096)
	for _, f := range []*logformat.Format{everything(t), inJSON(t)} {
		for _, r := range []*logformat.Record{record(), nastyRecord(), {}} {
			r.Messages = still{}
			if a := testing.AllocsPerRun(1000, func() { dst = f.Append(dst[:0], r) }); a != 0 {
				t.Errorf("%v allocations", a)
			}
		}
	}
}

func everything(tb testing.TB) *logformat.Format {
	tb.Helper()
	return compile(tb, "$"+strings.Join(logformat.Names(logformat.HTTP), " $"))
}

func inJSON(tb testing.TB) *logformat.Format {
	tb.Helper()
	return compile(tb, "json")
}

func compile(tb testing.TB, format string) *logformat.Format {
	tb.Helper()
	f, err := logformat.Compile(format, logformat.HTTP)
	if err != nil {
		tb.Fatal(err)
	}
	return f
}

var variable = regexp.MustCompile(`\$[A-Za-z_]+`)

// expand is a slow and obvious Append. Ok is false for an unknown variable.
func expand(format string, mode logformat.Mode, r *logformat.Record) (line string, ok bool) {
	escape := func(s []byte, least byte) string {
		var out string
		for _, c := range s {
			if c < least || c > '~' || c == '"' || c == '\\' {
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
	addr := "-"
	if a := r.Client.Addr(); a.IsValid() {
		addr, _, _ = strings.Cut(a.Unmap().String(), "%")
	}
	number := func(n int64, least int64) string {
		if n < least {
			return "-"
		}
		return fmt.Sprint(n)
	}
	values := map[string]string{
		"$client_addr":           addr,
		"$bytes_sent_upstream":   number(r.BytesUpstream, 0),
		"$bytes_sent_downstream": number(r.BytesDownstream, 0),
		"$processing_time":       fmt.Sprint(int64(max(r.Duration, 0)/time.Millisecond)) + "ms",
		"$tls_version":           "-",
		"$tls_cipher":            "-",
		"$tls_sni":               "-",
	}
	if r.TLS != nil {
		values["$tls_version"] = escape([]byte(r.TLS.Version), ' ')
		values["$tls_cipher"] = escape([]byte(r.TLS.Cipher), ' ')
		values["$tls_sni"] = escape(r.TLS.ServerName, '!')
	}
	if mode == logformat.HTTP {
		values["$request_uri"] = escape(r.URI, '!')
		values["$request_method"] = escape(r.Method, '!')
		values["$status"] = number(int64(r.Status), 1)
		values["$http_user_agent"] = escape(r.Messages.RequestField("user-agent"), ' ')
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
		if format == logformat.WordJSON {
			return
		}
		mode := logformat.Stream
		if http {
			mode = logformat.HTTP
		}
		r := &logformat.Record{
			BytesUpstream: number, BytesDownstream: -number, Duration: time.Duration(number), Status: int(number % 1000),
			Method: method, URI: uri, Messages: messages{"user-agent": string(agent)},
		}
		addr, _ := netip.ParseAddr(client)
		r.Client = netip.AddrPortFrom(addr, uint16(number))
		if number >= 0 {
			r.TLS = &logformat.TLS{Version: "TLSv1.2", ServerName: []byte(name)}
		}
		for _, r := range []*logformat.Record{r, nastyRecord()} {
			want, ok := expand(format, mode, r)
			compiled, err := logformat.Compile(format, mode)
			if !ok && err == nil {
				continue // it has a variable that expand omits
			}
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
			// Only the format may contribute control bytes.
			control := func(r rune) bool { return r < ' ' || r == 0x7f }
			if own := strings.FieldsFunc(format, func(r rune) bool { return !control(r) }); strings.Join(own, "") !=
				strings.Join(strings.FieldsFunc(string(got), func(r rune) bool { return !control(r) }), "") {
				t.Fatalf("%q: control bytes in %q", format, got)
			}
		}
	})
}

func BenchmarkAppend(b *testing.B) {
	stream := compile(b, "$client_addr $bytes_sent_upstream $bytes_sent_downstream $processing_time")
	for _, c := range []struct {
		name   string
		format *logformat.Format
	}{{"stream", stream}, {"http", everything(b)}, {"json", inJSON(b)}} {
		b.Run(c.name, func(b *testing.B) {
			r, dst := record(), make([]byte, 0, 4096)
			b.ReportAllocs()
			for b.Loop() {
				dst = c.format.Append(dst[:0], r)
			}
		})
	}
}
