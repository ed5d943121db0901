package config_test

import (
	"fmt"
	"strings"
	"testing"

	"kroxy-ev/config"
)

// Null removes what outer levels have, and is an error if there is nothing to remove.
func TestNullTakesAway(t *testing.T) {
	t.Parallel()
	const file = `{"headers":{"A":"1"},"request_headers":{"set":{"B":"2"},"add":{"C":"3"},"remove":["D"]},"response_headers":{"add":{"E":"5"}},"rewrite":{"strip_prefix":"/a","add_prefix":"/b"},` +
		`"http":{"routes":[{"proxy_to":"b",%s}]},` + groupB + `}`
	for keys, want := range map[string]string{
		`"name":"r"`:              `{[{A 1 true} {B 2 false}] [{C 3 false}] [D]} {[] [{E 5 false}] []} {/a /b   false}`,
		`"headers":null`:          `{[{B 2 false}] [{C 3 false}] [D]} {[] [{E 5 false}] []} {/a /b   false}`,
		`"request_headers":null`:  `{[{A 1 true}] [] []} {[] [{E 5 false}] []} {/a /b   false}`,
		`"response_headers":null`: `{[{A 1 true} {B 2 false}] [{C 3 false}] [D]} {[] [] []} {/a /b   false}`,
		`"rewrite":{"add_prefix":null},"request_headers":{"set":null,"add":null,"remove":null}`: `{[{A 1 true}] [] []} {[] [{E 5 false}] []} {/a    false}`,
		`"headers":null,"request_headers":null,"response_headers":null,"rewrite":null`:          `{[] [] []} {[] [] []} <nil>`,
	} {
		in := fmt.Sprintf(file, keys)
		c, _ := parse(t, in)
		checkSchema(t, []byte(in), "")
		r := c.Servers[0].Routes[0]
		rewrite := "<nil>"
		if r.Rewrite != nil {
			rewrite = fmt.Sprint(*r.Rewrite)
		}
		if got := fmt.Sprintf("%v %v %s", r.RequestHeaders, r.ResponseHeaders, rewrite); got != want {
			t.Errorf("%s: got\n%s\nwant\n%s", keys, got, want)
		}
	}
	checkOutcomes(t, []outcomeCase{
		{`{"http":{"proxy_to":"b","headers":null,"request_headers":null,"rewrite":null},` + groupB + `}`,
			`f:1:35: http.headers: must be an object, not null; write an object: { "Host": "$host" }
f:1:58: http.request_headers: must be an object, not null; write an object: { "set": { "X-Real-IP": "$client_addr" }, "remove": ["X-Debug"] }
f:1:73: http.rewrite: must be an object, not null; write an object: { "strip_prefix": "/api" }`},
	})
}

// All problems are counted, and the first thousand are listed.
func TestManyProblems(t *testing.T) {
	t.Parallel()
	_, warnings, err := config.Parse("f", []byte(`{"http":{"proxy_to":"b","servers":{"b":{"hosts":[`+strings.Repeat("1,\n", 5000)+`{"host":"h","port":1}]}},"x":{}`+many(`,"y%d":1`, 1500)+`}}`))
	if err == nil || !strings.HasSuffix(err.Error(), "\n5000 errors in f, of which 1000 are shown") || strings.Count(err.Error(), "\n") != 1000 {
		t.Errorf("got %d lines", strings.Count(err.Error(), "\n"))
	}
	if n := len(warnings); n != 1001 || warnings[1000].String() != "f:1:1: (top level): there are 501 more warnings; fix these first" {
		t.Errorf("%d warnings, the last %v", n, warnings[n-1])
	}
}

func many(format string, n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, format, i)
	}
	return b.String()
}
