package trace_test

import (
	"regexp"
	"strconv"
	"strings"
	"testing"

	"kroxy-ev/engine/trace"
)

const parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"

// parse is a slow and obvious Parse that follows the grammar of the specification.
func parse(s string) (id, span string, sampled, ok bool) {
	m := regexp.MustCompile(`^([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})((?s:-.*)?)$`).FindStringSubmatch(s)
	if m == nil || m[1] == "ff" || strings.Trim(m[2], "0") == "" || strings.Trim(m[3], "0") == "" || m[1] == "00" && m[5] != "" {
		return "", "", false, false
	}
	flags, _ := strconv.ParseUint(m[4], 16, 8)
	return m[2], m[3], flags%2 == 1, true
}

func checkContext(t *testing.T, s string) {
	t.Helper()
	id, span, sampled, want := parse(s)
	c, ok := trace.Parse([]byte(s))
	if ok != want {
		t.Errorf("%q: %v, want %v", s, ok, want)
	}
	if !ok {
		if c != (trace.Context{}) {
			t.Errorf("%q: not valid, and %v", s, c)
		}
		return
	}
	flags := "00"
	if sampled {
		flags = "01"
	}
	if got := string(c.Append([]byte("> "))); got != "> 00-"+id+"-"+span+"-"+flags {
		t.Errorf("%q: %q", s, got)
	}
}

var contexts = []string{
	"", parent, parent[:54], parent + "-", parent + "-x", parent + "x", strings.ToUpper(parent), strings.Replace(parent, "-", "_", 1), " " + parent, parent + " ",
	"00-00000000000000000000000000000000-b7ad6b7169203331-01", "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
	"ff" + parent[2:], "01" + parent[2:], "01" + parent[2:] + "-more", "01" + parent[2:] + "more", "cc" + parent[2:] + "-", "0g" + parent[2:], "00" + parent[2:53] + "0g",
	parent[:53] + "00", parent[:53] + "ff", parent[:53] + "fe", parent[:53] + "0A", "00-0AF7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", parent + "," + parent,
}

func TestContext(t *testing.T) {
	t.Parallel()
	for _, s := range contexts {
		checkContext(t, s)
	}
}

func FuzzContext(f *testing.F) {
	for _, s := range contexts {
		f.Add(s)
	}
	f.Fuzz(checkContext)
}

var (
	memberKey   = regexp.MustCompile(`^([a-z][a-z0-9_*/-]{0,255}|[a-z0-9][a-z0-9_*/-]{0,240}@[a-z][a-z0-9_*/-]{0,13})$`)
	memberValue = regexp.MustCompile(`^[ -+--<>-~]{0,255}[!-+--<>-~]$`)
)

// isState is a slow and obvious State.
func isState(values []string) bool {
	n := 0
	for _, m := range strings.Split(strings.Join(values, ","), ",") {
		if m = strings.Trim(m, " \t"); m == "" {
			continue
		}
		key, value, _ := strings.Cut(m, "=")
		if n++; n > 32 || !memberKey.MatchString(key) || !memberValue.MatchString(value) {
			return false
		}
	}
	return true
}

func checkState(t *testing.T, values ...string) {
	t.Helper()
	var s trace.State
	for _, v := range values {
		s.Add([]byte(v))
	}
	if want := isState(values); s.Valid() != want {
		t.Errorf("%q: %v, want %v", values, s.Valid(), want)
	}
}

var states = [][2]string{
	{"", ""}, {"a=b", ""}, {"a=b,c=d", " e=f , ,\tg=h"}, {"a", ""}, {"a=", ""}, {"=b", ""}, {"A=b", ""}, {"1=b", ""}, {"1@a=b", ""}, {"1@=b", ""}, {"@a=b", ""}, {"a@b@c=d", ""},
	{"a=b=c", ""}, {"a=b c", ""}, {"a=\x7f", ""}, {"a=\xff", ""}, {"a_-*/=b", ""}, {"_a=b", ""},
	{strings.Repeat("a=b,", 32), ""}, {strings.Repeat("a=b,", 32), "c=d"}, {strings.Repeat("a=b,", 16), strings.Repeat("c=d,", 16)},
	{strings.Repeat("a", 256) + "=b", ""}, {strings.Repeat("a", 257) + "=b", ""}, {"a=" + strings.Repeat("b", 256), ""}, {"a=" + strings.Repeat("b", 257), ""},
	{strings.Repeat("a", 241) + "@" + strings.Repeat("b", 14) + "=c", ""}, {strings.Repeat("a", 242) + "@b=c", ""}, {"a@" + strings.Repeat("b", 15) + "=c", ""},
}

func TestState(t *testing.T) {
	t.Parallel()
	for _, s := range states {
		checkState(t, s[0], s[1])
	}
}

func FuzzState(f *testing.F) {
	for _, s := range states {
		f.Add(s[0], s[1])
	}
	f.Fuzz(func(t *testing.T, one, two string) { checkState(t, one, two) })
}
