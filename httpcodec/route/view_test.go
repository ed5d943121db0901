package route

import (
	"strings"
	"testing"

	"kroxy-ev/config"
)

// asked is a head that counts how often it was searched for cookies from the beginning.
type asked struct {
	fields
	cookies, others int
}

func (a *asked) NextField(low string, from int) ([]byte, int) {
	switch {
	case low != "cookie":
		a.others++
	case from == 0:
		a.cookies++
	}
	return a.fields.NextField(low, from)
}

func TestViewIsFilledOnceAndOnlyWhenAsked(t *testing.T) {
	t.Parallel()
	yesOf := func(name string) []config.FieldMatch { return []config.FieldMatch{{Name: name, Values: []string{"1"}}} }
	routes := []config.Route{
		{Match: &config.Match{Path: []string{"/cookie"}, Cookie: yesOf("a")}},
		{Match: &config.Match{Path: []string{"/cookie"}, Cookie: yesOf("b")}},
		{Match: &config.Match{Path: []string{"/query"}, Query: yesOf("a")}},
		{Match: &config.Match{Path: []string{"/query"}, Query: yesOf("b")}},
		{},
	}
	table, r := compiled(t, routes), new(Request)
	for range 2 { // the second time, nothing is left of the first
		for _, tc := range []struct {
			target         string
			want           int
			cookies, query bool
		}{
			{"/plain?b=1", 4, false, false},
			{"/cookie?b=1", 1, true, false},
			{"/query?b=1", 3, false, true},
			{"/query", 4, false, true},
		} {
			head := &asked{fields: fields{{"cookie", "x=1"}, {"cookie", "b=1"}}}
			if err := r.SetTarget(head, []byte(tc.target)); err != nil {
				t.Fatal(err)
			}
			if got := table.Find(r); got != tc.want || (head.cookies == 1) != tc.cookies || head.cookies > 1 || head.others > 0 || r.parsed != tc.query {
				t.Errorf("%s: took %d, cookies were collected %d times, the query was parsed: %v", tc.target, got, head.cookies, r.parsed)
			}
			// What a policy asks for has been parsed already.
			if r.Cookies().Cookie("b"); head.cookies != 1 {
				t.Errorf("%s: cookies were collected %d times", tc.target, head.cookies)
			}
			args := r.Args()
			r.query = []byte("b=changed")
			if got := string(r.Args().Peek("b")); r.Args() != args || got == "changed" {
				t.Errorf("%s: the query was parsed again: %q", tc.target, got)
			}
		}
	}
}

func TestViewForgetsMany(t *testing.T) {
	t.Parallel()
	var v View
	v.Begin(&asked{fields: fields{{"cookie", strings.Repeat("a=b;", 5000)}}}, []byte(strings.Repeat("a&", 5000)))
	if v.Cookies(); v.Args().Len() != 5000 || !v.many {
		t.Fatal(v.Args().Len(), v.many)
	}
	v.Begin(&asked{fields: fields{{"cookie", "x=1"}}}, []byte("y"))
	if v.many || v.Args().Len() != 1 || v.Args().Has("a") || v.Cookies().Cookie("a") != nil || string(v.Cookies().Cookie("x")) != "1" {
		t.Error("something is left of the request before")
	}
	var none View // a stream's
	none.Begin(nil, nil)
	if none.Args().Len() != 0 || none.Cookies().Cookie("a") != nil {
		t.Error("a stream has fields")
	}
}
