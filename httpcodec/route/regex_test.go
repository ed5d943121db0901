package route

import (
	"reflect"
	"regexp"
	"testing"

	"kroxy-ev/config"
)

// pathRegexes has the ways in which a regular expression may begin with a directory, or seem to.
var pathRegexes = []struct{ text, directory string }{
	{"/user1/[0-9]+", "/user1/"},
	{"^/a/b.*$", "/a/"},
	{"/a/b", "/a/"},
	{"/a/", "/a/"},
	{"/", "/"},
	{"(/a/(b)/c.)", "/a/b/"},
	{"(?:/a)(/)b+", "/a/"},
	{"/a/x|/a/y", "/a/"},
	{"(?i:/a/)b", ""},
	{"(?i)/a/b", ""},
	{"/a/b|/c/d", "/"},
	{"/a/|", ""},
	{"(/a/)?b", ""},
	{"(/a/)*b", ""},
	{"/*a", ""},
	{"/a/*b", "/"},
	{"/a/{2}b", "/"},
	{"a/b", ""},
	{".*/b", ""},
	{"", ""},
	{"$", ""},
	{"^", ""},
	{"/a/^b", ""},
	{"/a/(?m:^)b", ""},
	{"/a/\\Bb", "/a/"},
	{"/a/.b", "/a/"},
	{"/a/\\Qb/c\\E", "/a/b/"},
	{"/\u00e9/x", "/\u00e9/"},
	{"/a/(?-s:.)b", "/a/"},
	{"/a/(b|c)(d|e)*f", "/a/"},
	{"/a/\\bb", "/a/"},
}

// pathsForRegexes are paths that some of them match.
var pathsForRegexes = []string{"", "/", "//", "/a", "/a/", "/a/b", "/A/b", "/a/b/c", "/a/b/cx", "/a/x", "/a/y", "/a/bbb", "/a/\nb", "/a/xb", "/b", "b", "/a/b/", "a/b", "x/b",
	"/user1/7", "/user1/", "/user11/7", "/user1/7x", "/c/d", "/a//b", "/\u00e9/x", "/a/bddf", "/a/cf", "/a/a/b", "///a", "/aa/b"}

func TestPathRegex(t *testing.T) {
	t.Parallel()
	for _, c := range pathRegexes {
		re := samePaths(t, c.text, pathsForRegexes...)
		if re.directory != c.directory {
			t.Errorf("%q begins with %q, want %q", c.text, re.directory, c.directory)
		}
	}
}

// samePaths checks that a regular expression that was split matches the same paths as the whole one.
func samePaths(t *testing.T, text string, paths ...string) *pathRegex {
	t.Helper()
	re, err := make(programs).path(text)
	if err != nil {
		t.Fatal(err)
	}
	plain := regexp.MustCompile(whole(text))
	for _, path := range paths {
		if got, want := re.matches([]byte(path)), plain.MatchString(path); got != want {
			t.Errorf("%q and %q: %v, want %v: %q, then %s", text, path, got, want, re.directory, re.rest)
		}
	}
	return re
}

// A regular expression that is split matches the same as the whole one, and an invalid one is refused.
func FuzzPathRegex(f *testing.F) {
	for i, c := range pathRegexes {
		f.Add(c.text, pathsForRegexes[i%len(pathsForRegexes)])
	}
	f.Fuzz(func(t *testing.T, text, path string) {
		if len(text) > 100 {
			return
		}
		_, err := regexp.Compile(text)
		if err == nil {
			_, err = regexp.Compile(whole(text))
		}
		if _, refused := make(programs).path(text); (refused != nil) != (err != nil) {
			t.Fatalf("%q: error %v, want %v", text, refused, err)
		}
		if err == nil {
			samePaths(t, text, path)
		}
	})
}

func TestRegexes(t *testing.T) {
	t.Parallel()
	list := Regexes(&config.Route{Match: &config.Match{PathRegex: []string{"/x", "/(a)/(.*)|/b"}}})
	if len(list) != 2 || Regexes(&config.Route{}) != nil {
		t.Fatal(list)
	}
	if got, want := list[1].FindSubmatchIndex([]byte("/a/bc")), []int{0, 5, 1, 2, 3, 5}; !reflect.DeepEqual(got, want) || list[1].MatchString("/bx") {
		t.Errorf("%v, want %v", got, want)
	}
}
