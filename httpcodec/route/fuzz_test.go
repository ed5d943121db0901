package route

import (
	"net/netip"
	"testing"

	"kroxy-ev/config"
)

// draw makes choices from a fuzzer's bytes.
type draw []byte

func (d *draw) below(n int) int {
	if len(*d) == 0 {
		return 0
	}
	b := (*d)[0]
	*d = (*d)[1:]
	return int(b) % n
}

func one[T any](d *draw, of ...T) T { return of[d.below(len(of))] }

// some returns up to two of texts, often none.
func some[T any](d *draw, of ...T) (chosen []T) {
	for range max(0, d.below(5)-2) {
		chosen = append(chosen, one(d, of...))
	}
	return chosen
}

func (d *draw) fields() (m []config.FieldMatch) {
	for range max(0, d.below(6)-4) {
		f := config.FieldMatch{Name: one(d, "a", "b", "C")}
		switch d.below(4) {
		case 0:
			f.Present = yes()
		case 1:
			f.Present = no()
		case 2:
			f.Regex = one(d, "[0-9]", "1|x", "1.*")
		default:
			f.Values = []string{one(d, "1", "x", ""), one(d, "1", "x", "22")}
		}
		m = append(m, f)
	}
	return m
}

func (d *draw) match() *config.Match {
	if d.below(12) == 0 {
		return nil
	}
	paths := []string{"/", "/a", "/a/", "/a/b", "/a/b/", "/b", "/ab", "/a%2Fb", "/a/b/c", "/."}
	m := &config.Match{
		Host:       some(d, "a", "b.a", "*.a", "*.b.a", "C.b.A", "*.c.b.a", "*.c", "a.a"),
		Path:       some(d, paths[:9]...),
		PathPrefix: some(d, paths[:9]...),
	}
	if d.below(4) == 0 {
		m.PathRegex = some(d, "/a/.*", "/[ab]", "/a/b/?", "^/a/b.*$", "/(a|b)/?.*", ".*b", "/a|/b/.*")
	}
	if d.below(2) == 0 {
		return m
	}
	m.SNI = some(d, "a", "*.a", "b.a", "*.b.a")
	m.Method = some(d, "GET", "PUT")
	m.Scheme = some(d, "http", "https")
	m.ListenPort = some[uint16](d, 80, 443)
	m.Client = some(d, netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("10.1.0.0/16"), netip.MustParsePrefix("::/0"))
	m.Header, m.Query, m.Cookie = d.fields(), d.fields(), d.fields()
	return m
}

func (d *draw) query() *query {
	q := &query{
		host:   one(d, "", "a", "b.a", "A.b.a.", "c.b.a", "x.c.b.a", "x.y.a", "c", "x.c", ".a", "a.a", "x..a"),
		target: one(d, "/", "/a", "/a/", "/a/b", "/a/b/", "/a/b/c", "/ab", "/b", "/b/x", "/a%2fb", "/%61/./b", "//a//b/", "/x/../a", "*", "/a/x/y/z", "/c"),
		method: one(d, "GET", "PUT", "get"),
		sni:    one(d, "", "a", "x.a", "b.A", "x.b.a"),
		client: one(d, "10.1.2.3", "10.2.3.4", "192.0.2.1", "::1"),
		tls:    d.below(2) == 0,
		port:   one[uint16](d, 80, 443, 0),
	}
	if d.below(2) == 0 {
		q.target += "?" + one(d, "a=1", "b=x&a", "C=22&C=1", "%61=%31", "c=1")
	}
	for range d.below(4) {
		q.fields = append(q.fields, one(d, [2]string{"a", "1"}, [2]string{"a", "x"}, [2]string{"c", "22"}, [2]string{"b", ""}, [2]string{"cookie", "a=1; b=x"}, [2]string{"cookie", "C=22"}, [2]string{"cookie", "a=x"}))
	}
	return q
}

// A table finds the same route as trying one route after another, and never one that is reported as unreachable.
func FuzzFind(f *testing.F) {
	for _, seed := range []string{"", "0123456789abcdefghijklmnopqrstuvwxyz", "\x05\x01\x04\x03\x02\x01\x09\x08\x07\x06\x05\x04\x03\x02\x01\xff\xfe\xfd\xfc\xfb\xfa\xf9\xf8"} {
		f.Add([]byte(seed), []byte(seed))
	}
	f.Fuzz(func(t *testing.T, forRoutes, forQueries []byte) {
		d := draw(forRoutes)
		var routes []config.Route
		for len(routes) < 12 && (len(d) > 0 || len(routes) == 0) {
			routes = append(routes, config.Route{Match: d.match()})
		}
		table := compiled(t, routes)
		shadowed := make(map[int]int)
		_, shadows, _ := Check(routes)
		for _, s := range shadows {
			shadowed[s.Route] = s.By
		}
		r := new(Request)
		d = forQueries
		for range 1 + len(forQueries)/8 {
			q := d.query()
			if !q.set(r) {
				t.Fatalf("%+v", q)
			}
			got, want := table.Find(r), slowFind(routes, q)
			if got != want {
				t.Fatalf("%+v took %d, want %d of %s", q, got, want, show(routes))
			}
			if by, unreachable := shadowed[got]; unreachable {
				t.Fatalf("%+v took %d, which %d was said to cover: %s", q, got, by, show(routes))
			}
			if table.TakesAll() && got != 0 {
				t.Fatalf("%+v took %d, but the first route takes all: %s", q, got, show(routes))
			}
		}
	})
}
