package httpcodec

import (
	"bufio"
	"io"
	"net/http"
	"strconv"
	"strings"
	"testing"

	"kroxy-ev/config"
	"kroxy-ev/httpcodec/route"
)

// tableOf compiles the match of a proxy's only route.
func tableOf(t testing.TB, m config.Match) *route.Table {
	t.Helper()
	table, problems := route.Compile([]config.Route{{Match: &m}})
	if len(problems) > 0 {
		t.Fatalf("%+v", problems)
	}
	return table
}

// A request that no route matches is answered by the proxy. The connection stays open if the start of the next request is known.
func TestUnrouted(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		in   []string
		want string // statuses, plus "close" if the last response has it
	}{
		"no route":     {[]string{"GET /x HTTP/1.1\r\nHost: a\r\n\r\n", getRoot}, "404 200"},
		"with a body":  {[]string{"PUT /x HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc", getRoot}, "404 200"},
		"body to come": {[]string{"PUT /x HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nabc"}, "404 close"},
		"no path":      {[]string{"GET /../ HTTP/1.1\r\nHost: a\r\n\r\n", getRoot}, "400 200"},
		"head":         {[]string{"HEAD /x HTTP/1.1\r\nHost: a\r\n\r\n", getRoot}, "404 200"},
		"asterisk":     {[]string{"OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", getRoot}, "404 200"},
		"no host":      {[]string{"GET /x HTTP/1.0\r\n\r\n"}, "404 close"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := startRecorder(t, always+hi)
			p := startProxy(t, func(s *flat) { s.Table = tableOf(t, config.Match{Path: []string{"/"}}) }, h.addr)
			c := p.dial()
			send(c, strings.Join(tc.in, ""), nil)
			in := bufio.NewReader(c)
			var got []string
			for _, request := range tc.in {
				method, _, _ := strings.Cut(request, " ")
				res, err := http.ReadResponse(in, &http.Request{Method: method})
				if err != nil {
					t.Fatal(err)
				}
				if _, err := io.Copy(io.Discard, res.Body); err != nil {
					t.Fatal(err)
				}
				if got = append(got, strconv.Itoa(res.StatusCode)); res.Close {
					got = append(got, "close")
				}
			}
			if got := strings.Join(got, " "); got != tc.want {
				t.Errorf("%s, want %s", got, tc.want)
			}
			_ = c.Close()
			p.stop()
			if want := strings.Count(tc.want, "200"); int(h.served.Load()) != want {
				t.Errorf("the host got %d requests, want %d", h.served.Load(), want)
			}
		})
	}
}
