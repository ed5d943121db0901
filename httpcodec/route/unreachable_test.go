package route

import (
	"fmt"
	"net/netip"
	"reflect"
	"strings"
	"testing"
)

// show prints routes for a test's message.
func show(routes []Route) string {
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
	field := func(f FieldMatch) []FieldMatch { return []FieldMatch{f} }
	for _, tc := range []struct {
		earlier, later Match
		want           bool
	}{
		{Match{}, Match{Host: []string{"a"}}, true},
		{Match{Host: []string{"a"}}, Match{}, false},
		{Match{Host: []string{"*.a"}}, Match{Host: []string{"x.A", "*.x.a"}}, true},
		{Match{Host: []string{"*.a"}}, Match{Host: []string{"x.a", "a"}}, false},
		{Match{Host: []string{"x.a"}}, Match{Host: []string{"*.a"}}, false},
		{Match{PathPrefix: []string{"/a"}}, Match{PathPrefix: []string{"/a/b"}}, true},
		{Match{PathPrefix: []string{"/a"}}, Match{PathPrefix: []string{"/a/"}}, true},
		{Match{PathPrefix: []string{"/a/"}}, Match{PathPrefix: []string{"/a"}}, false},
		{Match{PathPrefix: []string{"/a"}}, Match{PathPrefix: []string{"/ab"}}, false},
		{Match{PathPrefix: []string{"/a"}}, Match{Path: []string{"/a", "/a/b"}}, true},
		{Match{PathPrefix: []string{"/a"}}, Match{Path: []string{"/a", "/b"}}, false},
		{Match{PathPrefix: []string{"/a", "/b"}}, Match{Path: []string{"/a", "/b"}, Host: []string{"h"}}, true},
		{Match{PathPrefix: []string{"/"}}, Match{Path: []string{"/a"}}, true},
		{Match{PathPrefix: []string{"/"}}, Match{PathRegex: []string{"/a"}}, false},
		{Match{PathRegex: []string{"/a/.*"}}, Match{Path: []string{"/a/b"}}, true},
		{Match{PathRegex: []string{"/a/.*"}}, Match{PathRegex: []string{"/a/.*"}, Method: []string{"GET"}}, true},
		{Match{PathRegex: []string{"/a/.*"}}, Match{PathRegex: []string{"/a/b"}}, false},
		{Match{Path: []string{"/a"}}, Match{PathPrefix: []string{"/a"}}, false},
		{Match{Path: []string{"/a", "/b"}}, Match{Path: []string{"/b"}}, true},
		{Match{Method: []string{"GET", "PUT"}}, Match{Method: []string{"PUT"}}, true},
		{Match{Method: []string{"GET"}}, Match{Method: []string{"PUT", "GET"}}, false},
		{Match{Scheme: []string{"http"}}, Match{Path: []string{"/"}}, false},
		{Match{Scheme: []string{"http"}}, Match{Scheme: []string{"http"}}, true},
		{Match{Scheme: []string{"http", "https"}}, Match{}, true},
		{Match{ListenPort: []uint16{80}}, Match{ListenPort: []uint16{80}, Path: []string{"/"}}, true},
		{Match{Client: nets("10.0.0.0/8", "::/0")}, Match{Client: nets("10.1.0.0/16", "10.2.0.1/32")}, true},
		{Match{Client: nets("10.1.0.0/16")}, Match{Client: nets("10.0.0.0/8")}, false},
		{Match{SNI: []string{"*.a"}}, Match{SNI: []string{"b.a"}}, true},
		{Match{SNI: []string{"*.a"}}, Match{Host: []string{"b.a"}}, false},
		{Match{Header: field(FieldMatch{Name: "X", Present: yes()})}, Match{Header: field(FieldMatch{Name: "x", Values: []string{"1"}})}, true},
		{Match{Header: field(FieldMatch{Name: "X", Present: no()})}, Match{Header: field(FieldMatch{Name: "x", Values: []string{"1"}})}, false},
		{Match{Header: field(FieldMatch{Name: "X", Values: []string{"1", "2"}})}, Match{Header: field(FieldMatch{Name: "x", Values: []string{"1"}})}, true},
		{Match{Header: field(FieldMatch{Name: "X", Values: []string{"1"}})}, Match{Header: field(FieldMatch{Name: "x", Values: []string{"1", "2"}})}, false},
		{Match{Header: field(FieldMatch{Name: "X", Regex: "[0-9]"})}, Match{Header: field(FieldMatch{Name: "x", Values: []string{"1", "2"}})}, true},
		{Match{Header: field(FieldMatch{Name: "X", Regex: "[0-9]"})}, Match{Header: field(FieldMatch{Name: "x", Regex: "1"})}, false},
		{Match{Query: field(FieldMatch{Name: "X", Present: yes()})}, Match{Query: field(FieldMatch{Name: "x", Present: yes()})}, false},
		{Match{Query: field(FieldMatch{Name: "X", Present: yes()})}, Match{Cookie: field(FieldMatch{Name: "X", Present: yes()})}, false},
		{Match{Cookie: field(FieldMatch{Name: "X", Present: no()})}, Match{Cookie: field(FieldMatch{Name: "X", Present: no()}), Query: field(FieldMatch{Name: "a", Regex: "b"})}, true},
	} {
		routes := []Route{{Match: &tc.earlier}, {Match: &tc.later}}
		if got := len(Unreachable(routes)) > 0; got != tc.want {
			t.Errorf("unreachable: %v, want %v%s", got, tc.want, show(routes))
		}
	}
}

func TestUnreachableNamesTheFirst(t *testing.T) {
	t.Parallel()
	routes := []Route{
		{Match: &Match{Host: []string{"a"}}},
		{Match: &Match{Path: []string{"/"}}},
		{},
		{Match: &Match{Host: []string{"a"}, Path: []string{"/"}}},
		{Match: &Match{Path: []string{"/"}}},
		{},
	}
	if got, want := Unreachable(routes), []Shadow{{3, 0}, {4, 1}, {5, 2}}; !reflect.DeepEqual(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
	if got := Unreachable([]Route{{}, {}, {Match: &Match{Path: []string{"x"}}}}); got != nil {
		t.Errorf("with problems: %v", got)
	}
	if got := Unreachable(many(5000)); got != nil {
		t.Errorf("of many: %v", got)
	}
}
