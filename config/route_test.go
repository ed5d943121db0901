package config_test

import (
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"kroxy-ev/config"
	"kroxy-ev/logformat"
)

func routes(mode, list string) string {
	return `{"` + mode + `":{"routes":[` + list + `]},` + groupB + `}`
}

// The example of the grammar, without what does not exist yet.
func TestGrammarExample(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("testdata/grammar.jsonc")
	if err != nil {
		t.Fatal(err)
	}
	p := writePair(t)
	text = []byte(strings.NewReplacer("site.pem", p.CertPath, "site.key", p.KeyPath).Replace(string(text)))
	path := filepath.Join(t.TempDir(), "grammar.jsonc")
	write(t, path, text)
	c, warnings, err := config.Load(path)
	if err != nil || len(warnings) > 0 {
		t.Fatal(err, warnings)
	}
	web := c.Servers[0].Routes
	api := web[1]
	want := config.Route{
		Path: "http.routes[1]", Name: "http.routes[1]",
		Match: &config.Match{
			Host: []string{"www.example", "*.shop.example"}, PathPrefix: []string{"/api/"}, Method: []string{"GET", "POST"},
		},
		To: []config.Target{{Group: c.Group("api"), Weight: 1}}, Rewrite: &config.Rewrite{StripPrefix: "/api"},
		RequestHeaders:  config.HeaderEdits{Set: []config.Header{{Name: "X-Request-Id", Value: "$request_id"}}, Remove: []string{"X-Debug"}},
		ResponseHeaders: config.HeaderEdits{Add: []config.Header{{Name: "Cache-Control", Value: "no-store"}}},
		SendTimeout:     time.Minute, ClientBodyTimeout: time.Minute, ProxyReadTimeout: 5 * time.Second, ProxySendTimeout: time.Minute,
	}
	if !reflect.DeepEqual(api, want) {
		t.Errorf("got\n%+v\nwant\n%+v", api, want)
	}
	if r := web[0]; r.Name != "to-https" || *r.Redirect != (config.Redirect{To: "https://$host$request_uri", Status: 308}) || r.To != nil {
		t.Errorf("%+v", r)
	}
	if r := web[2].Respond; r.Status != 200 || r.Body != "User-agent: *\n" || r.Headers[0] != (config.Header{Name: "Content-Type", Value: "text/plain"}) {
		t.Errorf("%+v", r)
	}
	if m := web[3].Match; !reflect.DeepEqual(m.Header, []config.FieldMatch{{Name: "X-Canary", Values: []string{"1"}}}) {
		t.Errorf("%+v", m)
	}
	if to := web[6].To; len(web) != 7 || len(to) != 2 || to[0].Weight != 95 || to[1].Group.Hosts[0].Unix != "/run/app.sock" {
		t.Errorf("%+v", to)
	}
	checkGrammarGroups(t, c)
	if s := c.Servers[1]; s.Mode != config.ModeStream || s.Path != "stream[0]" || s.Routes[0].ReadTimeout != time.Hour || s.Routes[0].To[0].Group.ProxyProtocol != "v2" {
		t.Errorf("%+v", s)
	}
	if r := c.Servers[2].Routes; !reflect.DeepEqual(r[0].Match.SNI, []string{"a.example", "*.b.example"}) || r[1].Match.Client[0].String() != "10.0.0.0/8" {
		t.Errorf("%+v", r)
	}
}

func TestMatch(t *testing.T) {
	t.Parallel()
	pair := writePair(t)
	c, warnings := parse(t, strings.Replace(routes("http", `{"proxy_to":"b","match":{"host":["A.Example.","b.example:80","*.C.example","[::1]:8080","10.0.0.1"],"path":"/a","path_regex":"/[0-9]+",
		"query":{"q":["1","2"],"r":true},"cookie":{"c":false},"header":{"X-A":{"regex":"v[0-9]"}},"scheme":"https","listen_port":[80,81],"client":["::1","10.0.0.1/8","::ffff:192.0.2.1","::ffff:10.9.0.0/112"],"sni":"S.example"}},
		{"proxy_to":"b","match":{}}`), `{"http":{`, `{"http":{"listen":[{"port":80},{"port":81,"tls":true}],"tls_cert_path":"`+pair.CertPath+`","tls_key_path":"`+pair.KeyPath+`",`, 1))
	yes, no := true, false
	want := &config.Match{
		Host: []string{"a.example", "b.example", "*.c.example", "::1", "10.0.0.1"}, Path: []string{"/a"}, PathRegex: []string{"/[0-9]+"},
		Query:  []config.FieldMatch{{Name: "q", Values: []string{"1", "2"}}, {Name: "r", Present: &yes}},
		Cookie: []config.FieldMatch{{Name: "c", Present: &no}}, Header: []config.FieldMatch{{Name: "X-A", Regex: "v[0-9]"}},
		Scheme: []string{"https"}, ListenPort: []uint16{80, 81}, SNI: []string{"s.example"},
		Client: []netip.Prefix{netip.MustParsePrefix("::1/128"), netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("192.0.2.1/32"), netip.MustParsePrefix("10.9.0.0/16")},
	}
	if got := c.Servers[0].Routes[0].Match; !reflect.DeepEqual(got, want) || len(warnings) > 0 || c.Servers[0].Routes[1].Match != nil {
		t.Errorf("got\n%+v\nwant\n%+v\n%v", got, want, warnings)
	}
}

func TestMatchErrors(t *testing.T) {
	t.Parallel()
	match := func(members string) string { return routes("http", `{"proxy_to":"b","match":{`+members+`}}`) }
	checkOutcomes(t, []outcomeCase{
		{match(`"path_regex":["(","/ok"]`), `f:1:59: http.routes[0].match.path_regex[0]: "(" is not a regular expression: missing closing ): ` + "`(`" + `; correct it; the syntax is that of RE2, without lookahead and back references`},
		{match(`"header":{"a":{"regex":"("},"b":{},"c":5,"d d":"x","e":[],"f":{"regex":"x","re":1}}`),
			`f:1:68: http.routes[0].match.header.a.regex: "(" is not a regular expression: missing closing ): ` + "`(`" + `; correct it; the syntax is that of RE2, without lookahead and back references
f:1:77: http.routes[0].match.header.b.regex: it is missing; add "regex": a regular expression such as "v[0-9]+"
f:1:84: http.routes[0].match.header.c: must be a value, not the number 5; write a string, an array of strings, true if it must be present, false if it must not, or { "regex": "..." }
f:1:86: http.routes[0].match.header["d d"]: "d d" is not a header field name; write letters, digits and '-' without a colon or a space, such as "X-Real-IP"
f:1:100: http.routes[0].match.header.e: there is nothing in it; write "a value", or remove it
f:1:120: http.routes[0].match.header.f.re: unknown key "re" has no effect; remove it; the only key here is "regex"`},
		{match(`"header":"x","query":{}`), `f:1:54: http.routes[0].match.header: must be an object, not the string "x"; write an object: { "X-Canary": "1" }
f:1:66: http.routes[0].match.query: there is nothing in it; write an object: { "X-Canary": "1" }, or remove it`},
		{match(`"host":["*","a.*.b","","http://x","*.10.0.0.1","a b"]`),
			`f:1:53: http.routes[0].match.host[0]: "*" means every name: leave the key out for that; write a name such as "a.example", or "*.a.example" for all names below it
f:1:57: http.routes[0].match.host[1]: "a.*.b" has a "*" that is not before the first dot; write a name such as "a.example", or "*.a.example" for all names below it
f:1:65: http.routes[0].match.host[2]: "" is not a name; write a name such as "a.example", or "*.a.example" for all names below it
f:1:68: http.routes[0].match.host[3]: "http://x" is a URL, not a host; write a name such as "a.example", or "*.a.example" for all names below it
f:1:79: http.routes[0].match.host[4]: "*.10.0.0.1" has an address after the "*.": 10.0.0.1; write a name such as "a.example", or "*.a.example" for all names below it
f:1:92: http.routes[0].match.host[5]: "a b" has white space in it; write a name such as "a.example", or "*.a.example" for all names below it`},
		{match(`"path":"a","path_prefix":["/ok","/a?b"],"method":["get","A B"],"scheme":"ws","client":"x","listen_port":"http"`),
			`f:1:52: http.routes[0].match.path: "a" does not begin with a slash, as every path does; write "/a"
f:1:77: http.routes[0].match.path_prefix[1]: "/a?b" has more than a path in it; write the path alone; "query" is for what follows the question mark
f:1:95: http.routes[0].match.method[0]: "get" is not a method that clients send: case matters; write "GET"
f:1:101: http.routes[0].match.method[1]: "A B" is not a method; write one such as "GET"
f:1:117: http.routes[0].match.scheme: unknown scheme "ws"; write "http" or "https"
f:1:131: http.routes[0].match.client: "x" is neither an address nor a network; write it as in ["192.0.2.0/24", "::1"]
f:1:149: http.routes[0].match.listen_port: must be a whole number, not the string "http"; write a port from 1 to 65535`},
		{match(`"hots":"x","path":5,"listen_port":[]`), `f:1:45: http.routes[0].match.hots: unknown key "hots" has no effect; did you mean "host"?
f:1:63: http.routes[0].match.path: must be a string or an array of strings, not the number 5; write a path such as "/api"
f:1:79: http.routes[0].match.listen_port: there is nothing in it; write a port, or remove it`},
		{routes("stream", `{"proxy_to":"b","match":{"host":"x","sni":"a.example"}}`),
			`f:1:47: stream.routes[0].match.host: "host" has no effect: it is a key of "http" only; remove it`},
		{routes("http", `{"proxy_to":"b","match":5}`), `f:1:44: http.routes[0].match: must be an object, not the number 5; write an object: { "path_prefix": "/api" }`},
	})
}

// Paths that people know from other programs and that would match nothing here.
func TestPathsThatNobodyHas(t *testing.T) {
	t.Parallel()
	match := func(members string) string {
		return routes("http", `{"proxy_to":"b","match":{`+members+`}},{"proxy_to":"b"}`)
	}
	const regex = "it matches no path: every path begins with a slash, and the expression must match the whole path; write "
	checkOutcomes(t, []outcomeCase{
		{match(`"path_regex":["^\\.php$","/a","api|img","","(?i)/x","[^a]","(a*/|b)","x*","\\*","x*y"]`), `W f:1:59: http.routes[0].match.path_regex[0]: ` + regex + `".*\\.php"
W f:1:75: http.routes[0].match.path_regex[2]: ` + regex + `".*(?:api|img)"
W f:1:85: http.routes[0].match.path_regex[3]: ` + regex + `".*"
W f:1:114: http.routes[0].match.path_regex[7]: ` + regex + `".*x*"
W f:1:125: http.routes[0].match.path_regex[9]: ` + regex + `".*x*y"`},
		{match(`"path":["/a/*","/a*b"],"path_prefix":"/a.b*"`), `W f:1:53: http.routes[0].match.path[0]: "/a/*" does not match the paths below it: here "*" is an ordinary character; write "path_prefix": "/a/"
W f:1:82: http.routes[0].match.path_prefix: "/a.b*" does not match all paths with that prefix: here "*" is an ordinary character; write "path_regex": "/a\\.b.*"`},
	})
}

// Things with the same name are one in metrics.
func TestNamesTwice(t *testing.T) {
	t.Parallel()
	checkOutcomes(t, []outcomeCase{
		{routes("http", `{"name":"a","match":{"path":"/1"},"proxy_to":"b"},{"name":"a","match":{"path":"/2"},"proxy_to":"b"},{"name":"http.routes[3]","match":{"path":"/3"},"proxy_to":"b"},{"proxy_to":"b"}`),
			`W f:1:78: http.routes[1].name: http.routes[0] is called "a" too: logs and metrics cannot tell them apart; write another name
W f:1:128: http.routes[2].name: http.routes[3] is called "http.routes[3]" too: logs and metrics cannot tell them apart; write another name`},
		{`{"http":[{"name":"a","port":1,"proxy_to":"b"},{"name":"c","port":2,"proxy_to":"b"}],"stream":{"name":"a","port":3,"proxy_to":"b"},` + groupB + `}`,
			`W f:1:102: stream.name: http[0] is called "a" too: logs and metrics cannot tell them apart; write another name`},
		{`{"http":[{"port":1,"routes":[{"name":"a","proxy_to":"b"}]},{"port":2,"routes":[{"name":"a","proxy_to":"b"}]}],` + groupB + `}`, ``},
	})
}

func TestRouteErrors(t *testing.T) {
	t.Parallel()
	route := func(members string) string { return routes("http", `{`+members+`},{"proxy_to":"b"}`) }
	checkOutcomes(t, []outcomeCase{
		{route(``), `f:1:20: http.routes[0]: it has neither "proxy_to" nor "redirect" nor "respond"; add "proxy_to": "b"`},
		{route(`"proxy_to":"b","respond":{},"redirect":{"to":"/x"}`),
			`f:1:36: http.routes[0].respond: a route has only one action, and this one has "proxy_to" too; remove one of the two
f:1:49: http.routes[0].redirect: a route has only one action, and this one has "proxy_to" too; remove one of the two`},
		{route(`"proxy_to":"x"`), `f:1:32: http.routes[0].proxy_to: no group named "x" in servers; did you mean "b"?`},
		{route(`"proxy_to":"http://10.0.0.1"`), `f:1:32: http.routes[0].proxy_to: no group named "http://10.0.0.1" in servers; put the host into a group in servers, and write the group's name`},
		{route(`"proxy_pass":"b"`), `f:1:20: http.routes[0]: it has neither "proxy_to" nor "redirect" nor "respond"; add "proxy_to": "b"
f:1:21: http.routes[0].proxy_pass: unknown key "proxy_pass" has no effect; here it is called "proxy_to"`},
		{route(`"proxy_to":[]`), `f:1:32: http.routes[0].proxy_to: there are no groups in it; write [{ "group": "b" }]`},
		{route(`"proxy_to":[{"group":"b","weight":0}]`), `f:1:32: http.routes[0].proxy_to: all weights are 0, so no group would get anything; give one of them a weight from 1 to 1000`},
		{route(`"proxy_to":[{"group":"b","weight":-1,"name":"x"}]`), `f:1:55: http.routes[0].proxy_to[0].weight: -1 is negative; write a number from 0 to 1000
f:1:58: http.routes[0].proxy_to[0].name: unknown key "name" has no effect here; it belongs in "http", a route or an entry of "hosts"`},
		{route(`"proxy_to":{"group":"b"}`), `f:1:32: http.routes[0].proxy_to: must be a string or an array, not an object; write "b", or put it in brackets: [{ "group": "b" }]`},
		{route(`"proxy_to":["b"]`), `f:1:33: http.routes[0].proxy_to[0]: must be an object, not the string "b"; write { "group": "backend", "weight": 1 }`},
		{route(`"redirect":{"status":308}`), `f:1:32: http.routes[0].redirect.to: it is missing; add "to": a URL or a path such as "https://$host$request_uri"`},
		{route(`"redirect":{"to":"x","status":304}`), `f:1:38: http.routes[0].redirect.to: "x" is neither a URL nor a path; write one such as "https://$host$request_uri"
f:1:51: http.routes[0].redirect.status: must be the status of a redirect, not the number 304; write 301, 302, 303, 307 or 308`},
		{route(`"redirect":{"to":"/x\r\nA: b"}`), `f:1:38: http.routes[0].redirect.to: a control character, which cannot be in a header; remove "\r" from it`},
		{route(`"respond":{"status":99,"headers":{"A":"x\ny","Content-Length":"1"}}`),
			`f:1:41: http.routes[0].respond.status: 99 is outside 200-599; write a status from 200 to 599
f:1:59: http.routes[0].respond.headers.A: a control character in a header value; remove "\n" from it
f:1:66: http.routes[0].respond.headers.Content-Length: "Content-Length" describes one connection or the length of a message, which the proxy decides itself; remove it`},
		{route(`"redirect":{"to":"https://$hots/$status"}`),
			`f:1:47: http.routes[0].redirect.to: unknown variable "$hots"; did you mean "$host"?
f:1:53: http.routes[0].redirect.to: "$status" is not known yet when this is written; the variables are ` + variables(logformat.OnRequest)},
		{route(`"respond":{"status":200,"body":"$$5 $quary"}`), `f:1:57: http.routes[0].respond.body: unknown variable "$quary"; did you mean "$query"?`},
		{route(`"proxy_to":"b","request_headers":{"set":{"X":"$sent_http_x","Content_Length":"1"}},"headers":{"X":"$nope","TE":"x"}`),
			`W f:1:127: http.routes[0].headers.TE: "TE" describes one connection or the length of a message, which the proxy decides itself; remove it
f:1:67: http.routes[0].request_headers.set.X: "$sent_http_x" is not known yet when this is written; the variables are ` + variables(logformat.ToHost) + `
f:1:81: http.routes[0].request_headers.set.Content_Length: "Content_Length" describes one connection or the length of a message, which the proxy decides itself; remove it`},
		{route(`"proxy_to":"b","response_headers":{"add":{"X":"$status$end_reason"},"remove":["transfer_encoding"]}`),
			`f:1:75: http.routes[0].response_headers.add.X: "$end_reason" is not known yet when this is written; the variables are ` + variables(logformat.ToClient) + `
f:1:99: http.routes[0].response_headers.remove[0]: "transfer_encoding" describes one connection or the length of a message, which the proxy decides itself; remove it`},
		{route(`"proxy_to":"b","rewrite":{"strip_prefix":"/$metadata","path":"/$1/$metadata"}`),
			`f:1:87: http.routes[0].rewrite.path: unknown variable "$metadata"; the variables are ` + variables(logformat.OnRequest)},
		{route(`"respond":{"status":204,"body":"x"},"rewrite":{"add_prefix":"/x"}`),
			`W f:1:57: http.routes[0].rewrite: it is ignored with "respond": no request goes to a host; remove it
f:1:52: http.routes[0].respond.body: a response with the status 204 has no content; remove it, or write another status`},
		{route(`"proxy_to":"b","rewrite":{"strip_prefix":"x","path":"/a\nb","strip":1}`),
			`f:1:62: http.routes[0].rewrite.strip_prefix: "x" does not begin with a slash, as every path does; write "/x"
f:1:73: http.routes[0].rewrite.path: a control character, which cannot be in a header; remove "\n" from it
f:1:81: http.routes[0].rewrite.strip: unknown key "strip" has no effect; did you mean "strip_prefix"?`},
		{route(`"proxy_to":"b","request_headers":{"set":{"A":"x\r\ny"},"remove":["a b","TE"],"sets":{}},"response_headers":5`),
			`f:1:66: http.routes[0].request_headers.set.A: a control character in a header value; remove "\r" from it
f:1:86: http.routes[0].request_headers.remove[0]: "a b" is not a header field name; write letters, digits and '-' without a colon or a space, such as "X-Real-IP"
f:1:92: http.routes[0].request_headers.remove[1]: "TE" describes one connection or the length of a message, which the proxy decides itself; remove it
f:1:98: http.routes[0].request_headers.sets: unknown key "sets" has no effect; did you mean "set"?
f:1:128: http.routes[0].response_headers: must be an object, not the number 5; write an object: { "set": { "X-Real-IP": "$client_addr" }, "remove": ["X-Debug"] }`},
		{`{"http":{"proxy_to":"b","routes":[]},` + groupB + `}`, `f:1:10: http.proxy_to: it has no effect together with routes; write it in a route: a last route without a match takes everything else
f:1:34: http.routes: there are no routes in it; write [{ "proxy_to": ... }], or remove it`},
		{`{"http":{"routes":{}},` + groupB + `}`, `f:1:19: http.routes: must be an array, not an object; write [{ "proxy_to": ... }]`},
		{routes("stream", `{"respond":{"status":200}},5`), `f:1:22: stream.routes[0].proxy_to: it is missing; add "proxy_to": "b"
f:1:23: stream.routes[0].respond: "respond" has no effect: it is a key of "http" only; remove it
f:1:49: stream.routes[1]: must be an object, not the number 5; write { "match": ..., "proxy_to": ... }`},
		{`{"http":{"respond":{"status":503}}}`, ``},
		{`{"http":{"redirect":{"to":"https://a.example$request_uri"}}}`, ``},
	})
}

// Redirects that lead to their own route, as far as that is certain.
func TestRedirectLoops(t *testing.T) {
	t.Parallel()
	p := writePair(t)
	file := func(listen, routes string) string {
		return `{"http":{"listen":[` + listen + `],"tls_cert_path":"` + p.CertPath + `","tls_key_path":"` + p.KeyPath + `","routes":[` + routes + `]}}`
	}
	const plain, tls, both = `{"port":80}`, `{"port":443,"tls":true}`, `{"port":80},{"port":443,"tls":true}`
	for _, test := range []struct {
		listen, routes string
		loops          bool
	}{
		{both, `{"redirect":{"to":"https://$host$request_uri"}}`, true},
		{both, `{"match":{"scheme":"http"},"redirect":{"to":"https://$host$request_uri"}}`, false},
		{both, `{"match":{"listen_port":80},"redirect":{"to":"https://$host$request_uri"}}`, false},
		{both, `{"match":{"scheme":["http","https"]},"redirect":{"to":"https://$host$request_uri"}}`, true},
		{plain, `{"redirect":{"to":"https://$host$request_uri"}}`, false},
		{tls, `{"redirect":{"to":"https://$host$request_uri"}}`, true},
		{`{"port":8443,"tls":true}`, `{"redirect":{"to":"https://$host$request_uri"}}`, false},
		{`{"port":8443,"tls":true}`, `{"redirect":{"to":"https://$host:8443$request_uri"}}`, true},
		{tls, `{"redirect":{"to":"https://www.example$request_uri"}}`, true},
		{tls, `{"match":{"host":"example"},"redirect":{"to":"https://www.example$request_uri"}}`, false},
		{tls, `{"match":{"host":"*.example"},"redirect":{"to":"https://www.example$request_uri"}}`, true},
		{tls, `{"match":{"host":"*.example"},"redirect":{"to":"https://example$request_uri"}}`, false},
		{plain, `{"redirect":{"to":"$request_uri"}}`, true},
		{plain, `{"redirect":{"to":"$scheme://$host$request_uri"}}`, true},
		{`{"port":8080}`, `{"redirect":{"to":"$request_uri"}}`, true},
		{`{"port":8080}`, `{"redirect":{"to":"$scheme://$host$request_uri"}}`, false},
		{plain, `{"redirect":{"to":"/new"}}`, true},
		{plain, `{"match":{"path":"/old"},"redirect":{"to":"/new"}}`, false},
		{plain, `{"match":{"path_prefix":"/a"},"redirect":{"to":"/a/b?c"}}`, true},
		{plain, `{"match":{"path_prefix":"/a"},"redirect":{"to":"/ab"}}`, false},
		{plain, `{"match":{"path_regex":"/a+"},"redirect":{"to":"/aa"}}`, true},
		{plain, `{"match":{"path_regex":"/a+"},"redirect":{"to":"/aab"}}`, false},
		{plain, `{"match":{"path":"/new"},"respond":{}},{"redirect":{"to":"/new"}}`, false},
		{plain, `{"match":{"path":"/other"},"respond":{}},{"redirect":{"to":"/new"}}`, true},
		{plain, `{"match":{"path":"/new","query":{"a":true}},"redirect":{"to":"/new"}}`, false},
		{plain, `{"match":{"method":"POST"},"redirect":{"to":"/new","status":303}}`, false},
		{plain, `{"match":{"method":"POST"},"redirect":{"to":"/new","status":307}}`, true},
		{plain, `{"redirect":{"to":"/x$path"}}`, false},
		{both, `{"match":{"path":"/any"},"respond":{}},{"redirect":{"to":"http://$host$request_uri"}}`, true},
		{both, `{"match":{"scheme":"http"},"respond":{}},{"redirect":{"to":"http://$host$request_uri"}}`, false},
		{both, `{"match":{"scheme":"http","cookie":{"x":true}},"respond":{}},{"redirect":{"to":"http://$host$request_uri"}}`, true},
		{plain, `{"redirect":{"to":"https://$http_host$request_uri"}}`, false},
		{plain, `{"redirect":{"to":"http://other.example:99999/"}}`, false},
	} {
		got := outcome(t, file(test.listen, test.routes))
		if loops := strings.Contains(got, " leads to this same route again, forever"); loops != test.loops || !loops && strings.Contains("\n"+got, "\nf:") {
			t.Errorf("%s, %s: %s", test.listen, test.routes, got)
		}
	}
	const want = `f:1:40: http.redirect.to: "$request_uri" leads to this same route again, forever; write another destination, or a "match" that leaves out what it leads to, such as "scheme": "http"`
	if got := outcome(t, `{"http":{"port":81,"redirect":{  "to": "$request_uri"}}}`); got != want {
		t.Errorf("got %s", got)
	}
}

// Redirects that lead from route to route and back are a warning, unless that depends on what nobody knows yet.
func TestRedirectRings(t *testing.T) {
	t.Parallel()
	p := writePair(t)
	const plain, both = `{"port":80}`, `{"port":80},{"port":443,"tls":true}`
	for _, test := range []struct {
		listen, routes string
		ring           string // the routes after the first; "" for none
	}{
		{plain, `{"match":{"path":"/a"},"redirect":{"to":"/b"}},{"match":{"path":"/b"},"redirect":{"to":"/a"}}`, "http.routes[1]"},
		{plain, `{"match":{"path":"/a"},"redirect":{"to":"/b?x=1#y","status":301}},{"match":{"path_prefix":"/b"},"redirect":{"to":"http://$host/a","status":302}}`, "http.routes[1]"},
		{plain, `{"match":{"path":"/a"},"redirect":{"to":"/b"}},{"respond":{}}`, ""},
		{plain, `{"match":{"path":"/a"},"redirect":{"to":"/b"}},{"match":{"path":"/b"},"redirect":{"to":"/c"}},{"match":{"path":"/c"},"redirect":{"to":"/a"}}`,
			"http.routes[1], then to http.routes[2]"},
		// what leads into a ring is not of it
		{plain, `{"match":{"path":"/in"},"redirect":{"to":"/a"}},{"match":{"path":"/a"},"redirect":{"to":"/b"}},{"match":{"path":"/b"},"redirect":{"to":"/a"}}`, "http.routes[2]"},
		{both, `{"match":{"scheme":"http"},"redirect":{"to":"https://$host$request_uri"}},{"match":{"scheme":"https"},"redirect":{"to":"http://$host$request_uri"}}`, "http.routes[1]"},
		{plain, `{"match":{"scheme":"http"},"redirect":{"to":"https://$host$request_uri"}},{"match":{"scheme":"https"},"redirect":{"to":"http://$host$request_uri"}}`, ""},
		{both, `{"match":{"listen_port":80},"redirect":{"to":"https://$host$request_uri"}},{"match":{"path":"/x"},"respond":{}},{"redirect":{"to":"http://$host$request_uri"}}`, "http.routes[2]"},
		{both, `{"match":{"listen_port":80},"redirect":{"to":"https://$host$request_uri"}},{"match":{"cookie":{"x":true}},"respond":{}},{"match":{"scheme":"https"},"redirect":{"to":"http://$host$request_uri"}}`, ""},
		{both, `{"match":{"listen_port":80},"redirect":{"to":"https://$host:8443$request_uri"}},{"redirect":{"to":"http://$host$request_uri"}}`, ""},
		{both, `{"match":{"path_prefix":"/p/","scheme":"http"},"redirect":{"to":"https://$host$request_uri"}},{"match":{"path":"/x"},"respond":{}},{"match":{"scheme":"https"},"redirect":{"to":"http://$host$request_uri"}}`, "http.routes[2]"},
		{both, `{"match":{"listen_port":80},"redirect":{"to":"https://$host:8443$request_uri"}},{"match":{"scheme":"https"},"redirect":{"to":"http://$host$request_uri"}}`, ""},
		// something else may take the request
		{plain, `{"match":{"cookie":{"seen":true}},"respond":{}},{"match":{"path":"/a"},"redirect":{"to":"/b"}},{"match":{"path":"/b"},"redirect":{"to":"/a"}}`, ""},
		{plain, `{"match":{"path":"/b","client":"10.0.0.0/8"},"respond":{}},{"match":{"path":"/a"},"redirect":{"to":"/b"}},{"match":{"path":"/b"},"redirect":{"to":"/a"}}`, ""},
		{plain, `{"match":{"path":"/b","host":"x.example"},"respond":{}},{"match":{"path":"/a"},"redirect":{"to":"/b"}},{"match":{"path":"/b"},"redirect":{"to":"/a"}}`, ""},
		{plain, `{"match":{"path":"/b","method":"POST"},"respond":{}},{"match":{"path":"/a"},"redirect":{"to":"/b"}},{"match":{"path":"/b"},"redirect":{"to":"/a"}}`, "http.routes[2]"},
		{plain, `{"match":{"path":"/a","header":{"X":true}},"redirect":{"to":"/b"}},{"match":{"path":"/b"},"redirect":{"to":"/a"}},{"respond":{}}`, ""},
		{plain, `{"match":{"path":"/a"},"redirect":{"to":"/b"}},{"match":{"path":"/b"},"redirect":{"to":"/a?x=$arg_x"}}`, ""},
		{plain, `{"match":{"path":"/a"},"redirect":{"to":"/c/../b"}},{"match":{"path_prefix":"/c"},"redirect":{"to":"/a"}}`, ""},
		// hosts
		{plain, `{"match":{"host":"a.example"},"redirect":{"to":"http://b.example$request_uri"}},{"match":{"host":"b.example"},"redirect":{"to":"http://a.example$request_uri"}}`, "http.routes[1]"},
		{plain, `{"match":{"host":"a.example"},"redirect":{"to":"http://b.example$request_uri"}},{"match":{"host":"c.example"},"redirect":{"to":"http://a.example$request_uri"}}`, ""},
		{plain, `{"match":{"path":"/a"},"redirect":{"to":"http://elsewhere.example/b"}},{"match":{"path":"/b"},"redirect":{"to":"/a"}}`, ""},
		{plain, `{"match":{"host":"b.example","path":"/a"},"respond":{}},{"match":{"path":"/a"},"redirect":{"to":"/b"}},{"match":{"path":"/b"},"redirect":{"to":"http://b.example/a"}}`, ""},
	} {
		got := outcome(t, `{"http":{"listen":[`+test.listen+`],"tls_cert_path":"`+p.CertPath+`","tls_key_path":"`+p.KeyPath+`","routes":[`+test.routes+`]}}`)
		want := " leads to " + test.ring + ", and from there back to this route, forever; write another destination for one of them"
		if found := strings.Contains(got, want); found != (test.ring != "") || strings.Count(got, "forever") > 1 || !found && strings.Contains(got, "forever") {
			t.Errorf("%s, %s: got %s", test.listen, test.routes, got)
		}
	}
	const want = `http.routes[0].redirect.to: "/b" leads to http.routes[1], and`
	if got := outcome(t, `{"http":{"port":81,"routes":[{"match":{"path":"/a"},"redirect":{"to":"/b"}},{"match":{"path":"/b"},"redirect":{"to":"/a"}}]}}`); !strings.Contains(got, want) ||
		!strings.Contains(got, "f:1:") {
		t.Errorf("got %s", got)
	}
}
