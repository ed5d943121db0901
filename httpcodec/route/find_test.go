package route

import (
	"fmt"
	"net/netip"
	"runtime"
	"strings"
	"testing"

	"kroxy-ev/config"
)

func compiled(t testing.TB, routes []config.Route) *Table {
	t.Helper()
	table, problems := Compile(routes)
	if len(problems) > 0 {
		t.Fatalf("%+v", problems)
	}
	return table
}

func yes() *bool { return new(true) }
func no() *bool  { return new(false) }

func TestMatch(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		match    config.Match
		taken    []query
		notTaken []query
	}{
		{config.Match{Host: []string{"www.Example"}},
			[]query{{host: "www.example"}, {host: "WWW.EXAMPLE"}, {host: "www.example."}, {host: "%77ww.example"}},
			[]query{{host: "a.www.example"}, {host: "www.example.."}, {host: "example"}, {}}},
		{config.Match{Host: []string{"*.shop.example", "other"}},
			[]query{{host: "a.shop.example"}, {host: "b.a.Shop.Example."}, {host: "other"}, {host: "a..shop.example"}},
			[]query{{host: "shop.example"}, {host: ".shop.example"}, {host: "ashop.example"}, {host: "x.example"}, {host: "a.other"}}},
		{config.Match{Host: []string{"::1", "[FE80::0:2]", "127.0.0.1"}},
			[]query{{host: "::1"}, {host: "0:0::0001"}, {host: "fe80::2"}, {host: "FE80::2"}, {host: "127.0.0.1"}},
			[]query{{host: "::2"}}},
		{config.Match{Path: []string{"/a", "/b/", "/c/../d", "/%7eu", "/ä"}},
			[]query{{target: "/a"}, {target: "/a?x"}, {target: "/b/"}, {target: "/d"}, {target: "/x/../a"}, {target: "/~u"}, {target: "/%C3%A4"}, {target: "/\xc3\xa4"}, {target: "//a"}},
			[]query{{target: "/a/"}, {target: "/b"}, {target: "/A"}, {target: "/"}, {target: "*"}, {target: "/a%2F"}}},
		{config.Match{PathPrefix: []string{"/api"}},
			[]query{{target: "/api"}, {target: "/api/"}, {target: "/api/x/y"}, {target: "/api?x"}, {target: "/x/../api/y"}, {target: "/%61pi"}},
			[]query{{target: "/apis"}, {target: "/ap"}, {target: "/"}, {target: "/api%2Fx"}, {target: "/x/api"}, {target: "/API"}}},
		{config.Match{PathPrefix: []string{"/api/"}},
			[]query{{target: "/api/"}, {target: "/api/x"}, {target: "/api/x/y"}},
			[]query{{target: "/api"}, {target: "/apis/"}, {target: "/"}}},
		{config.Match{PathPrefix: []string{"/"}}, []query{{target: "/"}, {target: "/a"}}, []query{{target: "*"}}},
		{config.Match{PathRegex: []string{"/u/[0-9]+", "/x|/y"}},
			[]query{{target: "/u/12"}, {target: "/x"}, {target: "/y"}, {target: "/%79"}},
			[]query{{target: "/u/12/"}, {target: "/a/u/12"}, {target: "/u/"}, {target: "/xy"}, {target: "/x/"}}},
		{config.Match{Path: []string{"/a/b"}, PathPrefix: []string{"/a"}, PathRegex: []string{".*b"}}, []query{{target: "/a/b"}}, []query{{target: "/a/bb"}}},
		{config.Match{Path: []string{"/a/b"}, PathPrefix: []string{"/c"}}, nil, []query{{target: "/a/b"}, {target: "/c"}}},
		{config.Match{Method: []string{"GET", "HEAD"}}, []query{{method: "GET"}, {method: "HEAD"}}, []query{{method: "POST"}, {method: "get"}, {method: "GE"}}},
		{config.Match{Scheme: []string{"https"}}, []query{{tls: true}}, []query{{}}},
		{config.Match{Scheme: []string{"http"}}, []query{{}}, []query{{tls: true}}},
		{config.Match{Scheme: []string{"http", "https"}}, []query{{}, {tls: true}}, nil},
		{config.Match{ListenPort: []uint16{80, 81}}, []query{{port: 80}, {port: 81}}, []query{{port: 82}, {}}},
		{config.Match{Client: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24"), netip.MustParsePrefix("2001:db8::/32")}},
			[]query{{client: "192.0.2.7"}, {client: "2001:db8::7"}}, []query{{client: "192.0.3.7"}, {client: "::1"}, {}}},
		{config.Match{SNI: []string{"a.example", "*.b.example"}},
			[]query{{sni: "a.example"}, {sni: "A.Example"}, {sni: "x.y.b.example"}}, []query{{sni: "b.example"}, {}, {host: "a.example"}}},
		{config.Match{Host: []string{"h"}, SNI: []string{"s"}}, []query{{host: "h", sni: "s"}}, []query{{host: "h"}, {sni: "s"}, {host: "s", sni: "h"}}},
		{config.Match{Header: []config.FieldMatch{{Name: "X-Canary", Values: []string{"1", "yes"}}}},
			[]query{{fields: fields{{"x-canary", "1"}}}, {fields: fields{{"x-canary", "0"}, {"x-canary", "yes"}}}},
			[]query{{fields: fields{{"x-canary", "2"}}}, {fields: fields{{"x-canary", "1, yes"}}}, {fields: fields{{"x_canary", "1"}}}, {}}},
		{config.Match{Header: []config.FieldMatch{{Name: "X", Present: yes()}}}, []query{{fields: fields{{"x", ""}}}}, []query{{}}},
		{config.Match{Header: []config.FieldMatch{{Name: "X", Present: no()}}}, []query{{}}, []query{{fields: fields{{"x", ""}}}}},
		{config.Match{Header: []config.FieldMatch{{Name: "X", Regex: "v[0-9]"}}}, []query{{fields: fields{{"x", "v1"}}}}, []query{{fields: fields{{"x", "v10"}}}, {}}},
		{config.Match{Header: []config.FieldMatch{{Name: "A", Present: yes()}, {Name: "B", Values: []string{"1"}}}},
			[]query{{fields: fields{{"a", ""}, {"b", "1"}}}}, []query{{fields: fields{{"a", ""}}}, {fields: fields{{"b", "1"}}}}},
		{config.Match{Query: []config.FieldMatch{{Name: "a b", Values: []string{"ä", ""}}}},
			[]query{{target: "/?a+b=%c3%a4"}, {target: "/?x&a%20b"}, {target: "/?a+b=1&a+b="}},
			[]query{{target: "/?A+b=%c3%a4"}, {target: "/?a+b=1"}, {target: "/"}, {target: "/?ab=ä"}}},
		{config.Match{Query: []config.FieldMatch{{Name: "a", Present: yes()}}}, []query{{target: "/?a"}, {target: "/?b&a=1"}}, []query{{target: "/?b"}, {target: "/a"}}},
		{config.Match{Query: []config.FieldMatch{{Name: "a", Present: no()}}}, []query{{target: "/?b"}, {target: "/"}}, []query{{target: "/?a"}, {target: "/?%61=1"}}},
		{config.Match{Query: []config.FieldMatch{{Name: "a", Regex: "[0-9]+"}}}, []query{{target: "/?a=12"}}, []query{{target: "/?a=1x"}}},
		{config.Match{Query: []config.FieldMatch{{Name: "a", Regex: ".*"}}}, []query{{target: "/?a=%0ax"}, {target: "/?a"}}, []query{{target: "/?b=1"}}},
		{config.Match{Cookie: []config.FieldMatch{{Name: "s", Values: []string{"1"}}}},
			[]query{{fields: fields{{"cookie", "s=1"}}}, {fields: fields{{"cookie", "a=b; s=1; c=d"}}}, {fields: fields{{"cookie", "a=b"}, {"cookie", "s=1"}}}, {fields: fields{{"cookie", `s="1"`}}}},
			[]query{{fields: fields{{"cookie", "S=1"}}}, {fields: fields{{"cookie", "s=2"}}}, {fields: fields{{"x", "s=1"}}}, {}}},
		{config.Match{Cookie: []config.FieldMatch{{Name: "s", Present: no()}}}, []query{{}, {fields: fields{{"cookie", "t=1"}}}}, []query{{fields: fields{{"cookie", "t=1; s="}}}}},
	} {
		table := compiled(t, []config.Route{{Match: &tc.match}})
		r := new(Request)
		for _, taken := range []bool{true, false} {
			list, want := tc.notTaken, -1
			if taken {
				list, want = tc.taken, 0
			}
			for _, q := range list {
				if q.set(r); table.Find(r) != want {
					t.Errorf("%+v\n%+v: taken is not %v", tc.match, q, taken)
				}
			}
		}
	}
}

func TestFirstMatchWins(t *testing.T) {
	t.Parallel()
	routes := []config.Route{
		{Match: &config.Match{Host: []string{"*.example"}, PathPrefix: []string{"/a"}}},
		{Match: &config.Match{Path: []string{"/a/b"}}},
		{Match: &config.Match{Host: []string{"www.example"}}},
		{Match: &config.Match{Header: []config.FieldMatch{{Name: "X", Present: yes()}}}},
		{Match: &config.Match{PathPrefix: []string{"/"}, Method: []string{"GET"}}},
		{},
		{Match: &config.Match{Host: []string{"late"}}},
	}
	table, r := compiled(t, routes), new(Request)
	for i, q := range []query{
		{host: "www.example", target: "/a/b"},
		{host: "other", target: "/a/b"},
		{host: "www.example", target: "/b", method: "GET"},
		{host: "x.example", target: "/b", method: "GET", fields: fields{{"x", ""}}},
		{host: "x.example", target: "/b", method: "GET"},
		{host: "late", target: "/b", method: "POST"},
	} {
		if q.set(r); table.Find(r) != i {
			t.Errorf("%+v took %d, want %d", q, table.Find(r), i)
		}
	}
	if table.TakesAll() || compiled(t, routes[:4]).TakesAll() || !compiled(t, routes[5:]).TakesAll() || compiled(t, nil).TakesAll() {
		t.Error("TakesAll")
	}
	if got := compiled(t, nil).Find(r); got != -1 {
		t.Errorf("without routes: %d", got)
	}
}

func TestProblems(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		match config.Match
		path  string
		what  string
	}{
		{config.Match{Host: []string{"ok", "a:80"}}, "host[1]", "not a host's name"},
		{config.Match{Host: []string{"*"}}, "host", "only at the beginning"},
		{config.Match{Host: []string{"a.*.b"}}, "host", "only at the beginning"},
		{config.Match{Host: []string{"*.*.b"}}, "host", "only at the beginning"},
		{config.Match{Host: []string{""}}, "host", "empty"},
		{config.Match{SNI: []string{"*."}}, "sni", "empty"},
		{config.Match{Host: []string{"*.127.0.0.1"}}, "host", "an address"},
		{config.Match{Path: []string{"a"}}, "path", "begin with a slash"},
		{config.Match{Path: []string{"/a?b"}}, "path", "query"},
		{config.Match{PathPrefix: []string{"/../a"}}, "path_prefix", "refused"},
		{config.Match{PathPrefix: []string{"/%"}}, "path_prefix", "hexadecimal"},
		{config.Match{PathRegex: []string{"/(a"}}, "path_regex", "missing closing )"},
		{config.Match{PathRegex: []string{"/a)(b"}}, "path_regex", "unexpected )"},
		{config.Match{Header: []config.FieldMatch{{Name: "X", Regex: "["}}}, "header.X.regex", "missing closing ]"},
		{config.Match{Scheme: []string{"ftp"}}, "scheme", "ftp"},
	} {
		table, problems := Compile([]config.Route{{Path: "http.routes[0]", Match: &tc.match}})
		if table != nil || len(problems) != 1 || problems[0].Path != "http.routes[0].match."+tc.path || !strings.Contains(problems[0].What, tc.what) || problems[0].Remedy == "" {
			t.Errorf("%+v: %+v", tc.match, problems)
		}
	}
}

// many returns routes of every kind that the index has; the i-th matches only manyQuery(i).
func many(n int) []config.Route {
	routes := make([]config.Route, n)
	for i := range routes {
		m := &config.Match{Host: []string{fmt.Sprintf("www%d.customer%d.example", i, i)}}
		switch i % 5 {
		case 1:
			m = &config.Match{Host: []string{fmt.Sprintf("*.customer%d.example", i)}, PathPrefix: []string{"/shop"}, Method: []string{"GET"}}
		case 2:
			m = &config.Match{Path: []string{fmt.Sprintf("/page/%d", i)}}
		case 3:
			m = &config.Match{PathPrefix: []string{fmt.Sprintf("/api/v1/service%d/", i)}, Header: []config.FieldMatch{{Name: "X-Version", Values: []string{"2"}}}}
		case 4:
			m = &config.Match{PathRegex: []string{fmt.Sprintf("/user%d/[0-9]+", i)}}
		}
		routes[i] = config.Route{Name: fmt.Sprint(i), Match: m}
	}
	return routes
}

func manyQuery(i int) query {
	q := query{host: "other.example", target: "/", method: "GET", fields: fields{{"x-version", "2"}}}
	switch i % 5 {
	case 0:
		q.host = fmt.Sprintf("www%d.customer%d.example", i, i)
	case 1:
		q.host, q.target = fmt.Sprintf("a.customer%d.example", i), "/shop/x"
	case 2:
		q.target = fmt.Sprintf("/page/%d", i)
	case 3:
		q.target = fmt.Sprintf("/api/v1/service%d/x", i)
	case 4:
		q.target = fmt.Sprintf("/user%d/7", i)
	}
	return q
}

func TestManyRoutes(t *testing.T) {
	t.Parallel()
	table, r := compiled(t, many(5000)), new(Request)
	for i := range 5000 {
		if q := manyQuery(i); !q.set(r) || table.Find(r) != i {
			t.Fatalf("%+v took %d, want %d", q, table.Find(r), i)
		}
	}
}

// Not parallel, since it measures the process.
func TestMemoryOfRoutes(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector takes memory")
	}
	const n = 5000
	heap := func() uint64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.GC()
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	for name, routes := range map[string][]config.Route{
		"every kind":      many(n),
		"numbers":         regexRoutes(n, `/user%d/[0-9]+`),
		"kinds of files":  regexRoutes(n, `^/site%d/.*\.(jpg|png|gif|css|js)$`),
		"UUIDs":           regexRoutes(n, `/service%d/[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}`),
		"groups":          regexRoutes(n, `^(/shop%d/(\w+)/item-(\d+)(/.*)?)$`),
		"several at once": regexRoutes(n, `/a%d/.*`, `/b%[1]d/[a-z]+`),
	} {
		before := heap()
		table := compiled(t, routes)
		after := heap()
		runtime.KeepAlive(table)
		runtime.KeepAlive(routes)
		each := (int64(after) - int64(before)) / n
		t.Logf("%s: %d bytes a route", name, each)
		if each >= 1024 {
			t.Errorf("%s: %d bytes a route, want less than 1024", name, each)
		}
	}
}

// regexRoutes has formats of routes that consist only of regular expressions.
func regexRoutes(n int, formats ...string) []config.Route {
	routes := make([]config.Route, n)
	for i := range routes {
		m := new(config.Match)
		for _, f := range formats {
			m.PathRegex = append(m.PathRegex, fmt.Sprintf(f, i))
		}
		routes[i].Match = m
	}
	return routes
}

// A route with many names and many paths needs memory for their sum, not for their product.
func TestProductIsNotEntered(t *testing.T) {
	t.Parallel()
	var m config.Match
	for i := range 200 {
		m.Host = append(m.Host, fmt.Sprintf("h%d", i))
		m.PathPrefix = append(m.PathPrefix, fmt.Sprintf("/p%d", i))
	}
	m.Host = append(m.Host, "*.w")
	few := m
	few.Host = append(m.Host[:20:20], "*.w")
	for _, m := range []config.Match{m, few} {
		table, r := compiled(t, []config.Route{{Match: &m}}), new(Request)
		if len(table.routes) > 2000 {
			t.Errorf("%d entries", len(table.routes))
		}
		for q, want := range map[*query]int{
			{host: "h7", target: "/p199/x"}:  0,
			{host: "x.W", target: "/p0"}:     0,
			{host: "h7", target: "/p200"}:    -1,
			{host: "other", target: "/p199"}: -1,
		} {
			if q.set(r); table.Find(r) != want {
				t.Errorf("%+v took %d", q, table.Find(r))
			}
		}
	}
}

func TestFindAllocatesNothing(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	routes := append(many(100), config.Route{Match: &config.Match{Cookie: []config.FieldMatch{{Name: "s", Values: []string{"1"}}}, Query: []config.FieldMatch{{Name: "q", Present: yes()}}, PathPrefix: []string{"/c"}}},
		config.Route{Match: &config.Match{Client: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}, SNI: []string{"*.b.example"}, Scheme: []string{"https"}, ListenPort: []uint16{443}}})
	table, r := compiled(t, routes), new(Request)
	queries := []query{{host: "A.B.EXAMPLE.", target: "/c/../c//%7e/.x?a&q=1", fields: fields{{"cookie", "a=b; s=1"}}},
		{host: "none", sni: "X.b.example", client: "192.0.2.1", tls: true, port: 443, target: "/none/"},
		{host: "none", target: "/" + strings.Repeat("x/", 2000)}}
	for i := range 5 {
		queries = append(queries, manyQuery(i))
	}
	for _, q := range queries {
		q.set(r)
		head, target := Head(values(q.fields)), []byte(q.target)
		find := func() {
			if err := r.SetTarget(head, target); err != nil {
				t.Fatal(err)
			}
			table.Find(r)
		}
		find()
		if n := testing.AllocsPerRun(200, find); n != 0 {
			t.Errorf("%+v: %v allocations", q, n)
		}
	}
}

// bytesFields has fields whose values are slices already, like those of a head.
type bytesFields []struct {
	name  string
	value []byte
}

func values(f fields) (b bytesFields) {
	for _, f := range f {
		b = append(b, struct {
			name  string
			value []byte
		}{f[0], []byte(f[1])})
	}
	return b
}

func (f bytesFields) NextField(low string, from int) ([]byte, int) {
	for i := from; i < len(f); i++ {
		if f[i].name == low {
			return f[i].value, i + 1
		}
	}
	return nil, 0
}

func BenchmarkFind(b *testing.B) {
	for _, n := range []int{1, 10, 100, 1000, 5000} {
		table := compiled(b, many(n))
		queries := make([]query, min(n, 1000))
		for i := range queries {
			queries[i] = manyQuery(i * n / len(queries))
		}
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			r := new(Request)
			requests := make([]struct {
				host, target []byte
				head         Head
			}, len(queries))
			for i, q := range queries {
				requests[i].host, requests[i].target, requests[i].head = []byte(q.host), []byte(q.target), Head(values(q.fields))
			}
			r.Method = []byte("GET")
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				q := &requests[i%len(requests)]
				r.Host = q.host
				if err := r.SetTarget(q.head, q.target); err != nil {
					b.Fatal(err)
				}
				if table.Find(r) < 0 {
					b.Fatal(i)
				}
			}
		})
	}
}
