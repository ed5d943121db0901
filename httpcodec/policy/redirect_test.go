package policy

import (
	"regexp"
	"strings"
	"testing"

	"kroxy-ev/config"
	"kroxy-ev/logformat"
)

// at is the record of a request for that target on www.example.
func at(target string) *logformat.Record {
	return &logformat.Record{Method: []byte("GET"), Host: []byte("www.example"), URI: []byte(target), Messages: noFields{}}
}

type noFields struct{}

func (noFields) RequestField(string) []byte  { return nil }
func (noFields) ResponseField(string) []byte { return nil }

func TestRedirect(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ to, target, want string }{
		{"https://$host$request_uri", "/a%20b?c=d", "https://www.example/a%20b?c=d"},
		{"https://$host$request_uri", "http://evil.example/a", "https://www.example/a"},
		{"https://$host$request_uri", "*", "https://www.example"},
		{"https://$host$request_uri", "//evil.example/", "https://www.example//evil.example/"},
		{"https://new.example$path?from=$arg_x", "/p?x=1&y=2", "https://new.example/p?from=1"},
		{"/new$path", "/a", "/new/a"},
		{"/new page", "/", "/new%20page"},
		{"/$arg_to", "/?to=a\"<b>`{|}\\^\xc3\xa9", "/a%22%3Cb%3E%60%7B%7C%7D%5C%5E%C3%A9"},

		// A client cannot make it name another host.
		{"$request_uri", "//evil.example/a", "/evil.example/a"},
		{"$path", "///evil.example", "/evil.example"},
		{"$path", `/\evil.example`, "/evil.example"},
		{"/$arg_to", "/?to=/evil.example", "/evil.example"},
		{"/$arg_to", "/?to=", "/"},
		{"$path", "/", "/"},
		{"//cdn.example$path", "/a", "//cdn.example/a"},
	} {
		d, problems := CompileRedirect(&config.Redirect{To: c.to, Status: 308}, nil)
		if problems != nil {
			t.Fatal(problems)
		}
		if got := string(d.AppendLocation([]byte("x"), nil, at(c.target))); got != "x"+c.want || d.Status != 308 {
			t.Errorf("%s of %s: %d %q, want %q", c.to, c.target, d.Status, got[1:], c.want)
		}
		if d.NeedsHost != strings.Contains(c.to, "$host") {
			t.Errorf("%s needs a host: %v", c.to, d.NeedsHost)
		}
	}
}

// $1 to $9 are groups of path_regex, matched with the path by which routes are found.
func TestRedirectGroups(t *testing.T) {
	t.Parallel()
	regexes := []*regexp.Regexp{regexp.MustCompile(`\A/old/(.*)\z`), regexp.MustCompile(`\A/(.*)/(?:x|(y))\z`)}
	for _, c := range []struct{ to, path, want string }{
		{"/new/$1", "/old/a%20b/c", "/new/a%20b/c"},
		{"https://$host/$1?from=$arg_q&was=$1", "/old/a", "https://www.example/a?from=1&was=a"},
		{"/$1x$1", "/b/c/y", "/b/cxb/c"},
		{"$1", "/old/a", "a"},
		{"/$1", "/other", "/"},

		// A client cannot make it name another host.
		{"/$1", "/old//evil.example/", "/evil.example/"},
		{"/$1", `/old/\evil.example/`, "/evil.example/"},
	} {
		d, problems := CompileRedirect(&config.Redirect{To: c.to, Status: 308}, regexes)
		if problems != nil {
			t.Fatal(problems)
		}
		if got := string(d.AppendLocation([]byte("x"), []byte(c.path), at(c.path+"?q=1"))); got != "x"+c.want {
			t.Errorf("%s of %s: %q, want %q", c.to, c.path, got[1:], c.want)
		}
		if d.NeedsHost != strings.Contains(c.to, "$host") || !d.NeedsPath() {
			t.Errorf("%s needs a host: %v, the path: %v", c.to, d.NeedsHost, d.NeedsPath())
		}
	}
	_, p := CompileRedirect(&config.Redirect{To: "/$1/$2", Status: 301}, regexes)
	check(t, p, "redirect.to: path_regex has no group for $2")
	d, p := CompileRedirect(&config.Redirect{To: "/$1", Status: 301}, nil)
	check(t, p, "redirect.to: $1 is a group of path_regex, which the route does not have")
	if d.NeedsPath() {
		t.Error("a redirect without groups needs the path")
	}
}

// check checks the reported problems.
func check(t *testing.T, got []Problem, want ...string) {
	t.Helper()
	if len(got) != len(want) {
		t.Errorf("%q, want %q", got, want)
		return
	}
	for i, p := range got {
		if text := p.Path + ": " + p.What; !strings.HasPrefix(text, want[i]) || p.Remedy == "" {
			t.Errorf("%q, want %q", p, want[i])
		}
	}
}

func TestRedirectProblems(t *testing.T) {
	t.Parallel()
	_, p := CompileRedirect(&config.Redirect{To: "", Status: 300}, nil)
	check(t, p, "redirect.status: not the status of a redirect", "redirect.to: the target is empty")
	_, p = CompileRedirect(&config.Redirect{To: "https://$hots/", Status: 301}, nil)
	check(t, p, "redirect.to: logformat: unknown $hots")
	_, p = CompileRedirect(&config.Redirect{To: "https://$upstream_addr/", Status: 301}, nil)
	check(t, p, "redirect.to: logformat: unknown $upstream_addr")
}

func TestRespondProblems(t *testing.T) {
	t.Parallel()
	_, p := CompileRespond(&config.Respond{Status: 101})
	check(t, p, "respond.status: not the status of a response")
	_, p = CompileRespond(&config.Respond{Status: 204, Body: "x", Headers: []config.Header{{Name: "Content-Length", Value: "1"}, {Name: "a b"}, {Name: "X", Value: "a\nb"}}})
	check(t, p, "respond.body: a response of this status has no body", `respond.headers.Content-Length: "Content-Length" describes one connection`,
		`respond.headers.a b: "a b" is not a header field name`, "respond.headers.X: a control character in a header value")
	_, p = CompileRespond(&config.Respond{Status: 600, Body: "$nope"})
	check(t, p, "respond.status: not the status", "respond.body: logformat: unknown $nope")
	r, p := CompileRespond(&config.Respond{Status: 200, Body: "hello $host"})
	check(t, p)
	if got := string(r.AppendBody(nil, at("/"))); got != "hello www.example" || r.Status != 200 {
		t.Errorf("%d %q", r.Status, got)
	}
}

func TestEscape(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"":         "",
		"a":        "a",
		" ":        "%20",
		"a b?c#d ": "a%20b%3Fc%23d%20",
		"\x00\r\n": "%00%0D%0A",
		"%2F\x80":  "%2F\x80",
	} {
		if got := string(escapeFrom([]byte("? "+in), 2, &notPath)); got != "? "+want {
			t.Errorf("%q: %q", in, got)
		}
	}
}
