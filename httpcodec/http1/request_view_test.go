package http1

import (
	"fmt"
	"testing"

	"kroxy-ev/httpcodec/route"
)

// Routes see the same request that hosts receive.
func TestRequestAsRoutesSeeIt(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"GET /a/../b?c=1 HTTP/1.1\r\nHost: A.example:80\r\nX: 1\r\nx: 2\r\n": `A.example "/b" "c=1" [1 2]`,
		"GET http://B.example HTTP/1.1\r\nHost: other\r\n":                   `B.example "/" "" []`,
		"GET http://b?c HTTP/1.1\r\nHost: b\r\n":                             `b "/" "c" []`,
		"GET https://[::1]:8/%7e/ HTTP/1.1\r\nHost: b\r\n":                   `::1 "/~/" "" []`,
		"OPTIONS * HTTP/1.1\r\nHost: b\r\n":                                  `b "*" "" []`,
		"OPTIONS http://b HTTP/1.1\r\nHost: b\r\n":                           `b "*" "" []`,
		"OPTIONS http://b/ HTTP/1.1\r\nHost: b\r\n":                          `b "/" "" []`,
		"GET /a/..%2fb HTTP/1.1\r\nHost: b\r\nConnection: x\r\nX: 1\r\n":     route.ErrAmbiguous.Error(),
		"GET /a HTTP/1.1\r\nHost: b\r\nConnection: x\r\nX: 1\r\n":            `b "/a" "" [1]`,
		"GET / HTTP/1.0\r\n":                                                 ` "/" "" []`,
	} {
		var r Request
		r.Reset()
		if n, err := r.Parse([]byte(in + "\r\n")); n == 0 || err != nil {
			t.Errorf("%q: %d, %v", in, n, err)
			continue
		}
		var seen route.Request
		got := ""
		if err := seen.SetTarget(&r, r.PathAndQuery()); err != nil {
			got = err.Error()
		} else {
			var values []string
			for at := 0; ; {
				v, next := r.NextField("x", at)
				if next == 0 {
					break
				}
				values, at = append(values, string(v)), next
			}
			got = fmt.Sprintf("%s %q %q %v", r.HostName(), seen.Path, seen.Query(), values)
		}
		if got != want {
			t.Errorf("%q: %s, want %s", in, got, want)
		}
	}
}
