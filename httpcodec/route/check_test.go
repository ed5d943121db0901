package route

import (
	"fmt"
	"net/netip"
	"reflect"
	"strings"
	"testing"

	"kroxy-ev/config"
)

// show formats routes for a test's message.
func show(routes []config.Route) string {
	var b strings.Builder
	for i, r := range routes {
		if r.Match == nil {
			fmt.Fprintf(&b, "\n%d: all", i)
			continue
		}
		fmt.Fprintf(&b, "\n%d: %+v", i, *r.Match)
	}
	return b.String()
}

func TestUnreachable(t *testing.T) {
	t.Parallel()
	nets := func(texts ...string) (list []netip.Prefix) {
		for _, s := range texts {
			list = append(list, netip.MustParsePrefix(s))
		}
		return list
	}
	field := func(f config.FieldMatch) []config.FieldMatch { return []config.FieldMatch{f} }
	for _, tc := range []struct {
		earlier, later config.Match
		want           bool
	}{
		{config.Match{}, config.Match{Host: []string{"a"}}, true},
		{config.Match{Host: []string{"a"}}, config.Match{}, false},
		{config.Match{Host: []string{"*.a"}}, config.Match{Host: []string{"x.A", "*.x.a"}}, true},
		{config.Match{Host: []string{"*.a"}}, config.Match{Host: []string{"x.a", "a"}}, false},
		{config.Match{Host: []string{"x.a"}}, config.Match{Host: []string{"*.a"}}, false},
		{config.Match{PathPrefix: []string{"/a"}}, config.Match{PathPrefix: []string{"/a/b"}}, true},
		{config.Match{PathPrefix: []string{"/a"}}, config.Match{PathPrefix: []string{"/a/"}}, true},
		{config.Match{PathPrefix: []string{"/a/"}}, config.Match{PathPrefix: []string{"/a"}}, false},
		{config.Match{PathPrefix: []string{"/a"}}, config.Match{PathPrefix: []string{"/ab"}}, false},
		{config.Match{PathPrefix: []string{"/a"}}, config.Match{Path: []string{"/a", "/a/b"}}, true},
		{config.Match{PathPrefix: []string{"/a"}}, config.Match{Path: []string{"/a", "/b"}}, false},
		{config.Match{PathPrefix: []string{"/a", "/b"}}, config.Match{Path: []string{"/a", "/b"}, Host: []string{"h"}}, true},
		{config.Match{PathPrefix: []string{"/"}}, config.Match{Path: []string{"/a"}}, true},
		{config.Match{PathPrefix: []string{"/"}}, config.Match{PathRegex: []string{"/a"}}, false},
		{config.Match{PathRegex: []string{"/a/.*"}}, config.Match{Path: []string{"/a/b"}}, true},
		{config.Match{PathRegex: []string{"/a/.*"}}, config.Match{PathRegex: []string{"/a/.*"}, Method: []string{"GET"}}, true},
		{config.Match{PathRegex: []string{"/a/.*"}}, config.Match{PathRegex: []string{"/a/b"}}, false},
		{config.Match{Path: []string{"/a"}}, config.Match{PathPrefix: []string{"/a"}}, false},
		{config.Match{Path: []string{"/a", "/b"}}, config.Match{Path: []string{"/b"}}, true},
		{config.Match{Method: []string{"GET", "PUT"}}, config.Match{Method: []string{"PUT"}}, true},
		{config.Match{Method: []string{"GET"}}, config.Match{Method: []string{"PUT", "GET"}}, false},
		{config.Match{Scheme: []string{"http"}}, config.Match{Path: []string{"/"}}, false},
		{config.Match{Scheme: []string{"http"}}, config.Match{Scheme: []string{"http"}}, true},
		{config.Match{Scheme: []string{"http", "https"}}, config.Match{}, true},
		{config.Match{ListenPort: []uint16{80}}, config.Match{ListenPort: []uint16{80}, Path: []string{"/"}}, true},
		{config.Match{Client: nets("10.0.0.0/8", "::/0")}, config.Match{Client: nets("10.1.0.0/16", "10.2.0.1/32")}, true},
		{config.Match{Client: nets("10.1.0.0/16")}, config.Match{Client: nets("10.0.0.0/8")}, false},
		{config.Match{SNI: []string{"*.a"}}, config.Match{SNI: []string{"b.a"}}, true},
		{config.Match{SNI: []string{"*.a"}}, config.Match{Host: []string{"b.a"}}, false},
		{config.Match{Header: field(config.FieldMatch{Name: "X", Present: yes()})}, config.Match{Header: field(config.FieldMatch{Name: "x", Values: []string{"1"}})}, true},
		{config.Match{Header: field(config.FieldMatch{Name: "X", Present: no()})}, config.Match{Header: field(config.FieldMatch{Name: "x", Values: []string{"1"}})}, false},
		{config.Match{Header: field(config.FieldMatch{Name: "X", Values: []string{"1", "2"}})}, config.Match{Header: field(config.FieldMatch{Name: "x", Values: []string{"1"}})}, true},
		{config.Match{Header: field(config.FieldMatch{Name: "X", Values: []string{"1"}})}, config.Match{Header: field(config.FieldMatch{Name: "x", Values: []string{"1", "2"}})}, false},
		{config.Match{Header: field(config.FieldMatch{Name: "X", Regex: "[0-9]"})}, config.Match{Header: field(config.FieldMatch{Name: "x", Values: []string{"1", "2"}})}, true},
		{config.Match{Header: field(config.FieldMatch{Name: "X", Regex: "[0-9]"})}, config.Match{Header: field(config.FieldMatch{Name: "x", Regex: "1"})}, false},
		{config.Match{Query: field(config.FieldMatch{Name: "X", Present: yes()})}, config.Match{Query: field(config.FieldMatch{Name: "x", Present: yes()})}, false},
		{config.Match{Query: field(config.FieldMatch{Name: "X", Present: yes()})}, config.Match{Cookie: field(config.FieldMatch{Name: "X", Present: yes()})}, false},
		{config.Match{Cookie: field(config.FieldMatch{Name: "X", Present: no()})}, config.Match{Cookie: field(config.FieldMatch{Name: "X", Present: no()}), Query: field(config.FieldMatch{Name: "a", Regex: "b"})}, true},
	} {
		routes := []config.Route{{Match: &tc.earlier}, {Match: &tc.later}}
		_, shadows, _ := Check(routes)
		if got := len(shadows) > 0; got != tc.want {
			t.Errorf("unreachable: %v, want %v%s", got, tc.want, show(routes))
		}
	}
}

func TestUnreachableNamesTheFirst(t *testing.T) {
	t.Parallel()
	routes := []config.Route{
		{Match: &config.Match{Host: []string{"a"}}},
		{Match: &config.Match{Path: []string{"/"}}},
		{},
		{Match: &config.Match{Host: []string{"a"}, Path: []string{"/"}}},
		{Match: &config.Match{Path: []string{"/"}}},
		{},
	}
	if _, got, _ := Check(routes); !reflect.DeepEqual(got, []Shadow{{3, 0}, {4, 1}, {5, 2}}) {
		t.Errorf("%v", got)
	}
	if _, got, problems := Check([]config.Route{{}, {}, {Match: &config.Match{Path: []string{"x"}}}}); got != nil || len(problems) != 1 {
		t.Errorf("with problems: %v, %v", got, problems)
	}
	if _, got, _ := Check(many(5000)); got != nil {
		t.Errorf("of many: %v", got)
	}
}
