package policy

import (
	"regexp"
	"testing"

	"kroxy-ev/config"
	"kroxy-ev/httpcodec/route"
)

func TestRewritePrefixes(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ strip, add, sent, normal, want string }{
		{"/api", "", "/api/x", "", "/x"},
		{"/api", "", "/api", "", "/"},
		{"/api", "", "/api/", "", "/"},
		{"/api", "", "/apis", "", "/apis"},
		{"/api", "", "/other", "", "/other"},
		{"/api/", "", "/api/x", "", "/x"},
		{"/api/", "", "/api", "", "/api"},
		{"/", "", "/x", "", "/x"},
		{"/api", "/v2", "/api/x", "", "/v2/x"},
		{"/api", "/v2/", "/api/x", "", "/v2/x"},
		{"/api", "/v2", "/api", "", "/v2/"},
		{"", "/v2", "/x", "", "/v2/x"},
		{"", "/", "/x", "", "/x"},
		{"/api", "", "/api//x", "/api/x", "/x"},
		{"/api", "", "//api//http://x", "/api/http:/x", "/http://x"},
		{"/api/", "", "/api///x//", "/api/x/", "/x//"},
		{"", "/v2", "//x", "/x", "/v2/x"},

		// The client's encoding is kept, except in what is cut off.
		{"/api", "", "/%61p%69/%7euser/caf%c3%a9%2Fx", "/api/~user/caf%C3%A9%2Fx", "/%7euser/caf%c3%a9%2Fx"},
		{"/api", "", "/api%2Fx", "/api%2Fx", "/api%2Fx"},
		{"/a%2Fb", "", "/a%2fb/c", "/a%2Fb/c", "/c"},
		{"/caf%C3%A9", "", "/c%61f%c3%A9/x%c3", "/caf%C3%A9/x%C3", "/x%c3"},
		{"/café", "", "/caf\xc3\xa9/\xff\"", "/caf%C3%A9/%FF%22", "/\xff\""},
		{"/%61%2f", "", "/a%2F/b", "/a%2F/b", "/b"},

		// Dot segments that are left do not lead elsewhere.
		{"/api", "", "/api/x/../../api/y", "/api/y", "/y"},
		{"/api", "", "/api/./y", "/api/y", "/y"},
		{"/api", "", "/%2e/api/y", "/api/y", "/y"},
		{"/api", "", "/x/%2E%2e/api/%41", "/api/A", "/A"},
		{"", "/v2", "/y/../x", "/x", "/v2/x"},
		{"/api", "/v2", "/api/..", "/", "/v2/"},
	} {
		w, problems := CompileRewrite(&config.Rewrite{StripPrefix: c.strip, AddPrefix: c.add}, nil)
		if problems != nil {
			t.Fatal(problems)
		}
		if c.normal == "" {
			c.normal = c.sent
		}
		var n route.Normalizer
		if normal, err := n.Path([]byte(c.sent)); err != nil || string(normal) != c.normal {
			t.Fatalf("%q is %q, %v", c.sent, normal, err)
		}
		if got := string(w.AppendTarget([]byte("x"), []byte(c.sent), []byte(c.normal), []byte("a=?&b"), nil)); got != "x"+c.want+"?a=?&b" {
			t.Errorf("%s of %s for %s: %q, want %q", c.sent, c.strip, c.add, got[1:], c.want)
		}
		if got := string(w.AppendTarget(nil, []byte(c.sent), []byte(c.normal), nil, nil)); got != c.want {
			t.Errorf("%s of %s for %s: %q, want %q", c.sent, c.strip, c.add, got, c.want)
		}
	}
}

func TestRewritePath(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		regex         []string
		path, query   string
		hasQuery      bool
		target, wants string
	}{
		{nil, "/fixed", "", false, "/a?b", "/fixed?b"},
		{nil, "/fixed", "", true, "/a?b", "/fixed"},
		{nil, "/fixed", "$query&x=1", true, "/a?b", "/fixed?b&x=1"},
		{nil, "/fixed", "?x=$arg_b", true, "/a?b=2", "/fixed?x=2"},
		{nil, "/$host$path", "", false, "/a?b", "/www.example/a?b"},
		{nil, "", "x=a b", false, "/a", "/a"},
		{[]string{"/u/([0-9]+)/(.*)"}, "/user/$1/$2", "", false, "/u/7/a%2Fb?c", "/user/7/a%2Fb?c"},
		{[]string{"/x", "/u/([0-9]+)(/.*)?"}, "/user", "", false, "/u/7", "/user"},
		{[]string{"/u/([0-9]+)(/.*)?"}, "/user$2/$10", "", false, "/u/7", "/user/70"},
		{[]string{"/u(.*)"}, "$1", "", false, "/uabc", "/abc"},
		{[]string{"/u(.*)"}, "$path", "", false, "/u", "/u"},
		{[]string{"/q(.*)"}, "/$arg_p", "", true, "/q?p=a?b", "/a%3Fb"},
	} {
		var regexes []*regexp.Regexp
		for _, re := range c.regex {
			regexes = append(regexes, regexp.MustCompile(`\A(?:`+re+`)\z`))
		}
		w, problems := CompileRewrite(&config.Rewrite{Path: c.path, Query: c.query, HasQuery: c.hasQuery}, regexes)
		if problems != nil {
			t.Fatal(c.path, problems)
		}
		r := at(c.target)
		path, query := []byte(c.target), []byte(nil)
		for i, b := range path {
			if b == '?' {
				path, query = path[:i], path[i+1:]
				break
			}
		}
		if got := string(w.AppendTarget(nil, path, path, query, r)); got != c.wants {
			t.Errorf("%s for %s: %q, want %q", c.path, c.target, got, c.wants)
		}
	}
}

func TestRewriteProblems(t *testing.T) {
	t.Parallel()
	_, p := CompileRewrite(&config.Rewrite{StripPrefix: "api"}, nil)
	check(t, p, "rewrite.strip_prefix: a prefix of a path must begin with a slash")
	_, p = CompileRewrite(&config.Rewrite{AddPrefix: "/a b"}, nil)
	check(t, p, "rewrite.add_prefix: an invalid byte in a path")
	_, p = CompileRewrite(&config.Rewrite{StripPrefix: "/a", Path: "/b"}, nil)
	check(t, p, `rewrite.strip_prefix: "path" replaces the whole path`)
	_, p = CompileRewrite(&config.Rewrite{Path: "b?c"}, nil)
	check(t, p, "rewrite.path: a path must begin with a slash", "rewrite.path: an invalid byte in a path")
	_, p = CompileRewrite(&config.Rewrite{Path: "/$1/$nope"}, nil)
	check(t, p, "rewrite.path: $1 is a group of path_regex, which the route does not have", "rewrite.path: logformat: unknown $nope")
	_, p = CompileRewrite(&config.Rewrite{Path: "/$2"}, []*regexp.Regexp{regexp.MustCompile("/(a)")})
	check(t, p, "rewrite.path: path_regex has no group for $2")
	_, p = CompileRewrite(&config.Rewrite{Query: "a\nb$status", HasQuery: true}, nil)
	check(t, p, "rewrite.query: an invalid byte in a query", "rewrite.query: logformat: unknown $status")
}
