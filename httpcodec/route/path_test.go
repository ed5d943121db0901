package route

import (
	"errors"
	"net/url"
	"path"
	"regexp"
	"strings"
	"testing"
)

func TestPath(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"":                        "/",
		"*":                       "*",
		"/":                       "/",
		"/a/b.c/-_~!$&'()*+,;=:@": "/a/b.c/-_~!$&'()*+,;=:@",
		"/.":                      "/",
		"/./a":                    "/a",
		"/a/..":                   "/",
		"/a/../":                  "/",
		"/a/./":                   "/a/",
		"/a/.":                    "/a/",
		"/a/b/..":                 "/a/",
		"/a/b/../../c":            "/c",
		"/.a/..b/...":             "/.a/..b/...",
		"/%2E/%2e%2e":             ErrAboveRoot.Error(),
		"/a/../..":                ErrAboveRoot.Error(),
		"/%61%2d%7E%5f%2E":        "/a-~_.",
		"/%2f%c3%a4%20%25":        "/%2F%C3%A4%20%25",
		"/ä\"<>^`{|}\x7f\xff":     "/%C3%A4%22%3C%3E%5E%60%7B%7C%7D%7F%FF",
		"/%":                      ErrEscape.Error(),
		"/%4":                     ErrEscape.Error(),
		"/%4g":                    ErrEscape.Error(),
		"/%2%35":                  ErrEscape.Error(),
		"//":                      "/",
		"///a////b//":             "/a/b/",
		"/a//./b":                 "/a/b",
		"/a//..":                  ErrAmbiguous.Error(),
		"/a//b/../../c":           ErrAmbiguous.Error(),
		"/a//b/../c":              "/a/c",
	} {
		var n Normalizer
		got, err := n.Path([]byte(in))
		if err != nil {
			got = []byte(err.Error())
		}
		if string(got) != want {
			t.Errorf("%q became %q, want %q", in, got, want)
		}
	}
}

func TestPathThatIsNormalIsNotCopied(t *testing.T) {
	t.Parallel()
	var n Normalizer
	in := []byte("/a/b.c")
	if got, err := n.Path(in); err != nil || &got[0] != &in[0] {
		t.Errorf("%q, %v: copied", got, err)
	}
}

func TestSetTarget(t *testing.T) {
	t.Parallel()
	for in, want := range map[string][2]string{
		"/a?b":     {"/a", "b"},
		"":         {"/", ""},
		"?b":       {"/", "b"},
		"*":        {"*", ""},
		"/../?b":   {ErrAboveRoot.Error(), "b"},
		"/a?/../?": {"/a", "/../?"},
	} {
		var r Request
		err := r.SetTarget(nil, []byte(in))
		if err != nil {
			r.Path = []byte(err.Error())
		}
		if got := [2]string{string(r.Path), string(r.Query())}; got != want {
			t.Errorf("%q is %q, want %q", in, got, want)
		}
	}
}

// The oracle combines net/url and path.Clean: a path is decoded except for slashes, and cleaned.
func FuzzPath(f *testing.F) {
	for _, trap := range traps {
		f.Add(trap.target)
	}
	f.Fuzz(func(t *testing.T, in string) {
		if !strings.HasPrefix(in, "/") {
			return
		}
		var n Normalizer
		b, err := n.Path([]byte(in))
		decoded, escapeErr := decodeButSlashes(in)
		if (escapeErr != nil) != errors.Is(err, ErrEscape) {
			t.Fatalf("%q: %v, but %v", in, err, escapeErr)
		}
		if escapeErr != nil {
			return
		}
		cleaned, above := clean(decoded)
		switch {
		case errors.Is(err, ErrAmbiguous):
			if !strings.Contains(decoded, ".") || !strings.ContainsAny(decoded, `\;`) && !strings.Contains(decoded, "%2F") && !strings.Contains(decoded, "//") {
				t.Fatalf("%q is not ambiguous", in)
			}
			return
		case (err != nil) != above:
			t.Fatalf("%q: %v, but %q", in, err, cleaned)
		case err != nil:
			return
		}
		if got, err := decodeButSlashes(string(b)); err != nil || got != cleaned {
			t.Fatalf("%q became %q, want %q (%v)", in, got, cleaned, err)
		}
		for i := range b {
			if c := b[i]; !isPath[c] && (c != '%' || strings.ToUpper(string(b[i:i+3])) != string(b[i:i+3])) {
				t.Fatalf("%q became %q", in, b)
			}
		}
		again, err := new(Normalizer).Path(b)
		if err != nil || string(again) != string(b) {
			t.Fatalf("%q became %q, and that %q (%v)", in, b, again, err)
		}
		// Whatever else a host takes for a separator or drops, dot segments lead it to the same place.
		for _, reading := range []func(string) string{
			func(p string) string { return p },
			strings.NewReplacer("%2F", "/").Replace,
			strings.NewReplacer(`\`, "/").Replace,
			strings.NewReplacer("%2F", "/", `\`, "/").Replace,
			func(p string) string { return parameters.ReplaceAllString(p, "") },
			func(p string) string {
				return parameters.ReplaceAllString(strings.NewReplacer("%2F", "/", `\`, "/").Replace(p), "")
			},
		} {
			for _, resolve := range []func(string) string{
				func(p string) string { p, _ = clean(p); return p },
				func(p string) string { return repeated.ReplaceAllString(resolveDots(p), "/") },
			} {
				if got, want := resolve(reading(cleaned)), resolve(reading(decoded)); got != want {
					t.Fatalf("%q became %q, which may be read as %q, but the former as %q", in, b, got, want)
				}
			}
		}
	})
}

var (
	parameters = regexp.MustCompile(";[^/]*")
	repeated   = regexp.MustCompile("/+")
)

// resolveDots removes dot segments as in RFC 3986 section 5.2.4, where slashes in a row have empty segments between them.
func resolveDots(p string) string {
	var kept []string
	segments := strings.Split(p, "/")[1:]
	for i, s := range segments {
		last := i == len(segments)-1
		switch s {
		case "..":
			kept = kept[:max(0, len(kept)-1)]
		case ".":
		default:
			kept = append(kept, s)
			continue
		}
		if last {
			kept = append(kept, "")
		}
	}
	return "/" + strings.Join(kept, "/")
}

// decodeButSlashes decodes a path, but leaves encoded slashes as "%2F" and encoded percent signs as "%25".
func decodeButSlashes(p string) (string, error) {
	p = strings.NewReplacer("%2F", "%252F", "%2f", "%252F", "%25", "%2525").Replace(p)
	return url.PathUnescape(p)
}

// clean removes dot segments and merges slashes. Above is whether p leads above the root.
func clean(p string) (cleaned string, above bool) {
	cleaned = path.Clean(p)
	if cleaned != "/" && (strings.HasSuffix(p, "/") || strings.HasSuffix(p, "/.") || strings.HasSuffix(p, "/..")) {
		cleaned += "/"
	}
	relative := path.Clean(strings.TrimLeft(p, "/"))
	return cleaned, relative == ".." || strings.HasPrefix(relative, "../")
}
