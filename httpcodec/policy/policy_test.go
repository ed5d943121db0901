package policy

import (
	"bytes"
	"regexp"
	"testing"

	"kroxy-ev/config"
	"kroxy-ev/logformat"
)

// Compiled policies allocate nothing once the buffer has grown, except that a regular expression's groups are a slice.
func TestNothingAllocated(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	redirect, _ := CompileRedirect(&config.Redirect{To: "/$arg_x $host", Status: 308}, nil)
	respond, _ := CompileRespond(&config.Respond{Status: 200, Body: "hello $host", Headers: []config.Header{{Name: "X", Value: "$path"}}})
	prefixes, _ := CompileRewrite(&config.Rewrite{StripPrefix: "/api", AddPrefix: "/a-prefix-that-is-longer-than-any-small-buffer", Query: "x=$arg_y z", HasQuery: true}, nil)
	path, _ := CompileRewrite(&config.Rewrite{Path: "/new$path"}, nil)
	headers, problems := CompileRequestHeaders(config.HeaderEdits{Set: []config.Header{{Name: "X-A", Value: "$host$http_b$cookie_c"}}, Remove: []string{"X-B"}})
	if problems != nil {
		t.Fatal(problems)
	}
	r, dst, name := at("/api/x?x=a b&y=c d"), make([]byte, 0, 4096), []byte("x_b")
	sent, normal := []byte("/%61pi/x"), []byte("/api/x")
	for what, f := range map[string]func(){
		"redirect": func() { dst = redirect.AppendLocation(dst[:0], nil, r) },
		"respond":  func() { dst = respond.Headers.Append(respond.AppendBody(dst[:0], r), r) },
		"prefixes": func() { dst = prefixes.AppendTarget(dst[:0], sent, normal, nil, r) },
		"path":     func() { dst = path.AppendTarget(dst[:0], sent, normal, nil, r) },
		"headers": func() {
			if !headers.Drops(name) {
				t.Fatal("kept")
			}
			dst = headers.Append(dst[:0], r)
		},
	} {
		if n := testing.AllocsPerRun(100, f); n != 0 {
			t.Errorf("%s: %v allocations", what, n)
		}
	}
}

// oneField returns the same value for each field.
type oneField []byte

func (f oneField) RequestField(string) []byte  { return f }
func (f oneField) ResponseField(string) []byte { return f }

// Whatever peers send, no result has a byte that could end a line or, in a target, a word.
func FuzzPolicies(f *testing.F) {
	f.Add("https://$host$request_uri", "/api", "/$1$http_x", "$query&a=$cookie_b", []byte("/api/x\r\n y?z"), []byte("a\r\nb\x00"))
	f.Add("/$arg_a", "/", "$path", "$tls_sni", []byte("//evil/?a=/b"), []byte("b=c d"))
	f.Add("$path", "/a%2F", "/x", "", []byte("/a%2f/%2e%2e"), []byte(""))
	f.Fuzz(func(t *testing.T, to, strip, path, query string, target, value []byte) {
		r := &logformat.Record{URI: target, Host: value, Method: value, TLS: &logformat.TLS{ServerName: value}, Messages: oneField(value)}
		sent, query2, found := bytes.Cut(target, []byte("?"))
		if !found {
			query2 = nil
		}
		if len(sent) == 0 || sent[0] != '/' || bytes.ContainsFunc(target, func(c rune) bool { return c <= ' ' || c == 0x7f || c == '#' }) {
			sent, query2 = []byte("/"), nil // which the scan of heads refuses
		}
		if d, problems := CompileRedirect(&config.Redirect{To: to, Status: 308}, nil); problems == nil {
			out := d.AppendLocation(nil, nil, r)
			if i := bytes.IndexFunc(out, func(c rune) bool { return c <= ' ' || c >= 0x7f }); i >= 0 {
				t.Errorf("%q: %q", to, out)
			}
			if to[0] == '$' && len(out) > 1 && out[0] == '/' && isSlash(out[1]) {
				t.Errorf("%q leads elsewhere: %q", to, out)
			}
		}
		for _, o := range []config.Rewrite{{StripPrefix: strip, AddPrefix: strip}, {Path: path, Query: query, HasQuery: true}} {
			w, problems := CompileRewrite(&o, []*regexp.Regexp{regexp.MustCompile(`\A/(.*)\z`)})
			if problems != nil {
				continue
			}
			out := w.AppendTarget(nil, sent, sent, query2, r)
			if out[0] != '/' || bytes.ContainsAny(out, " #\r\n\x00\x7f\t") {
				t.Errorf("%+v: %q", o, out)
			}
		}
		if h, problems := CompileResponseHeaders(config.HeaderEdits{Set: []config.Header{{Name: "X", Value: to}}}); problems == nil {
			if out := h.Append(nil, r); bytes.Count(out, []byte("\n")) != 1 || bytes.Count(out, []byte("\r")) != 1 || bytes.IndexByte(out, 0) >= 0 {
				t.Errorf("%q: %q", to, out)
			}
		}
	})
}
