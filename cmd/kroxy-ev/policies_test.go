package main_test

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// startPolicies starts a proxy with a TLS and a plain listener, in front of a host that answers with the request it got.
func startPolicies(t *testing.T, more settings, routes ...map[string]any) (p *proxy, secure int, log string) {
	t.Helper()
	type object = map[string]any
	host := serve(t, "127.0.0.1", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Server", "host")
		w.Header().Set("X-Powered-By", "host")
		var lines []string
		for name, values := range r.Header {
			for _, value := range values {
				if strings.HasPrefix(name, "X-") && !strings.HasPrefix(name, "X-Forwarded") {
					lines = append(lines, name+": "+value+"\n")
				}
			}
		}
		slices.Sort(lines)
		body, _ := io.ReadAll(r.Body)
		_, _ = fmt.Fprintf(w, "%s %s %s\n%s%s", r.Method, r.Host, r.RequestURI, strings.Join(lines, ""), body)
	})
	authority := newAuthority(t)
	id := authority.issue("site.test")
	port, secure := reservePort(t), reservePort(t)
	log = filepath.Join(t.TempDir(), "access.log")
	server := object{
		"name": "site", "listen": []object{{"port": port}, {"port": secure, "tls": true}},
		"certificates": []object{{"cert_path": id.cert, "key_path": id.key}},
		"file_log":     log,
		"format_log": object{
			"route": "$route", "server": "$server", "status": "$status", "group": "$group", "path": "$path", "query": "$query",
			"arg": "$arg_a", "cookie": "$cookie_c", "agent": "$http_x_agent", "sent": "$sent_http_x_sent",
		},
		"routes": routes,
	}
	for k, v := range more {
		server[k] = v
	}
	text, err := json.MarshalIndent(object{
		"servers": object{
			"web":  object{"hosts": []endpoint{host.endpoint}},
			"dead": object{"hosts": []endpoint{refusing(t)}},
		},
		"shutdown_timeout": patience.Milliseconds(), "http": server,
	}, "", " ")
	if err != nil {
		t.Fatal(err)
	}
	p = launchOn(t, port, writeConfig(t, t.TempDir(), text), false, nil)
	cleanup(t, p.stop)
	return p, secure, log
}

// heads formats the fields of a response that a test looks at.
func heads(r *http.Response, names ...string) string {
	var b strings.Builder
	for _, name := range names {
		for _, value := range r.Header.Values(name) {
			fmt.Fprintf(&b, "%s: %s\n", name, value)
		}
	}
	return b.String()
}

// Each policy does what its keys say, on one kept-alive connection.
func TestPolicies(t *testing.T) {
	t.Parallel()
	type object = map[string]any
	p, secure, log := startPolicies(t, settings{
		"response_headers": object{"set": object{"X-Frame-Options": "DENY"}},
		"request_headers":  object{"set": object{"X-Request-Id": "$request_id"}},
	},
		object{"name": "to-https", "match": object{"scheme": "http", "path_prefix": "/secure"}, "redirect": object{"to": "https://$host:1$request_uri", "status": 301}},
		object{"match": object{"path": "/robots.txt"}, "respond": object{"status": 200, "body": "User-agent: *\n", "headers": object{"Content-Type": "text/x-robots"}}},
		object{"match": object{"path": "/gone"}, "respond": object{"status": 410}},
		object{"match": object{"path": "/nothing"}, "respond": object{"status": 204}},
		object{"match": object{"path": "/hello"}, "respond": object{"status": 200, "body": "hello $arg_name at $host", "headers": object{"X-Path": "$path"}}},
		object{"name": "api", "match": object{"path_prefix": "/api"}, "proxy_to": "web", "rewrite": object{"strip_prefix": "/api", "add_prefix": "/v2"},
			"request_headers": object{
				"set": object{"X-Route": "$route/$server", "X-Client": "$client_addr $scheme", "X-Asked": "$host$request_uri", "X-Agent": "$http_x_agent|$cookie_c|$arg_a"},
				"add": object{"X-Twice": "2"}, "remove": []string{"X-Debug"},
			},
			"response_headers": object{"set": object{"X-Sent": "$status $upstream_status $group $sent_http_server", "Server": "us"}, "remove": []string{"X-Powered-By"}}},
		object{"match": object{"path_regex": "/u/([0-9]+)/(.*)"}, "proxy_to": "web", "rewrite": object{"path": "/user/$1/$2", "query": "$query&via=$request_method"}},
		object{"match": object{"path_prefix": "/dead"}, "proxy_to": "dead", "response_headers": object{"set": object{"X-Status": "$status"}}},
		object{"match": object{"path_regex": "/old/([a-z]+)/(.*)"}, "redirect": object{"to": "/new/$2?in=$1&$query"}},
		object{"name": "rest", "proxy_to": "web"})

	c := p.dial()
	in := bufio.NewReader(c)
	ask := func(request, method string) (*http.Response, string) {
		t.Helper()
		send(t, c, request)
		res, body := reply(t, in, method)
		if got := res.Header.Values("X-Frame-Options"); !slices.Equal(got, []string{"DENY"}) {
			t.Errorf("%q: the server's own field is %q", request, got)
		}
		if res.Header.Get("Date") == "" {
			t.Errorf("%q: the response has no Date", request)
		}
		return res, body
	}
	check := func(what, got, want string) {
		t.Helper()
		if got != want {
			t.Errorf("%s: got %q, want %q", what, got, want)
		}
	}

	res, body := ask("GET /secure/a%20b?c=d HTTP/1.1\r\nHost: site.test:80\r\n\r\n", "GET")
	check("redirect", heads(res, "Location"), "Location: https://site.test:1/secure/a%20b?c=d\n")
	if res.StatusCode != 301 || !strings.Contains(body, "301 Moved Permanently") {
		t.Errorf("redirect: status %d, body %q", res.StatusCode, body)
	}
	res, body = ask("HEAD /secure HTTP/1.1\r\nHost: site.test\r\n\r\n", "HEAD")
	check("redirect of HEAD", heads(res, "Location")+body, "Location: https://site.test:1/secure\n")

	res, body = ask("GET /robots.txt HTTP/1.1\r\nHost: site.test\r\n\r\n", "GET")
	check("respond", heads(res, "Content-Type", "Content-Length")+body, "Content-Type: text/x-robots\nContent-Length: 14\nUser-agent: *\n")
	res, body = ask("HEAD /robots.txt HTTP/1.1\r\nHost: site.test\r\n\r\n", "HEAD")
	check("respond to HEAD", heads(res, "Content-Type", "Content-Length")+body, "Content-Type: text/x-robots\nContent-Length: 14\n")
	res, body = ask("GET /gone HTTP/1.1\r\nHost: site.test\r\n\r\n", "GET")
	if res.StatusCode != 410 || !strings.Contains(body, "410 Gone") {
		t.Errorf("respond with an error: status %d, body %q", res.StatusCode, body)
	}
	res, body = ask("GET /nothing HTTP/1.1\r\nHost: site.test\r\n\r\n", "GET")
	check("respond without content", heads(res, "Content-Type", "Content-Length")+body+res.Status, "204 No Content")
	res, body = ask("POST /hello?name=%0d%0aX:y HTTP/1.1\r\nHost: [::1]:80\r\nContent-Length: 3\r\n\r\nabc", "POST")
	check("respond to a body", heads(res, "X-Path")+body, "X-Path: /hello\nhello %0d%0aX:y at [::1]")

	// The host gets the rest of the path as the client encoded it, and the edited fields.
	res, body = ask("GET /%61pi/%7euser/x%2Fy//z?a=1&b HTTP/1.1\r\nHost: site.test\r\nX-Debug: 1\r\nx_debug: 2\r\nX-Twice: 1\r\nX-Route: mine\r\n"+
		"X-Agent: me\r\nX-Request-Id: mine\r\nCookie: b=1; c=2\r\n\r\n", "GET")
	line, fields, _ := strings.Cut(body, "\n")
	before, id, ok := strings.Cut(fields, "X-Request-Id: ")
	if id, rest, _ := strings.Cut(id, "\n"); !ok || len(id) != 32 || rest != "X-Route: api/site\nX-Twice: 1\nX-Twice: 2\n" {
		t.Errorf("the request ID is %q, and what follows is %q", id, rest)
	}
	check("strip_prefix", line, "GET site.test /v2/%7euser/x%2Fy//z?a=1&b")
	check("request_headers", before, "X-Agent: me|2|1\nX-Asked: site.test/%61pi/%7euser/x%2Fy//z?a=1&b\nX-Client: 127.0.0.1 http\n")
	check("response_headers", heads(res, "X-Sent", "Server", "X-Powered-By"), "X-Sent: 200 200 web host\nServer: us\n")

	for target, want := range map[string]string{
		"/api":                    "/v2/",
		"/api/x/../y":             "/v2/y",
		"/x/%2e%2E/api/./%41?q=%": "/v2/A?q=%",
		"http://site.test/api/x":  "/v2/x",
		"/u/7/a%2Fb":              "/user/7/a%2Fb?&via=GET",
		"/u/7/a?x=y":              "/user/7/a?x=y&via=GET",
		"/other/%2e/..//x%7E?":    "/other/%2e/..//x%7E?",
	} {
		res, body = ask("GET "+target+" HTTP/1.1\r\nHost: site.test\r\n\r\n", "GET")
		line, _, _ := strings.Cut(body, "\n")
		check(target, line, "GET site.test "+want)
		if strings.HasPrefix(target, "/other") {
			check("no policy", heads(res, "X-Sent", "Server", "X-Powered-By"), "Server: host\nX-Powered-By: host\n")
		}
	}

	res, _ = ask("GET /dead HTTP/1.1\r\nHost: site.test\r\n\r\n", "GET")
	check("error page", res.Status+heads(res, "X-Status"), "502 Bad GatewayX-Status: 502\n")

	// Pipelined: a "respond" between two responses of a host.
	const more = " HTTP/1.1\r\nHost: site.test\r\n\r\n"
	send(t, c, "GET /1"+more+"GET /gone"+more+"HEAD /robots.txt"+more+"GET /2"+more)
	for _, want := range []struct {
		method string
		status int
	}{{"GET", 200}, {"GET", 410}, {"HEAD", 200}, {"GET", 200}} {
		if res, _ := reply(t, in, want.method); res.StatusCode != want.status {
			t.Errorf("pipelined: status %d, want %d", res.StatusCode, want.status)
		}
	}

	res, _ = ask("GET /x/../old/b/c%2F%20d?e HTTP/1.1\r\nHost: site.test\r\n\r\n", "GET")
	check("redirect by groups", heads(res, "Location"), "Location: /new/c%2F%20d?in=b&e\n")

	_ = c.Close()
	all := objects(t, log, 21) // lines of one connection are in order
	expectFields(t, all[0], object{"route": "to-https", "server": "site", "status": 301, "group": nil, "path": "/secure/a%20b", "query": "c=d", "sent": nil})
	expectFields(t, all[2], object{"route": "http.routes[1]", "status": 200, "group": nil})
	expectFields(t, all[7], object{"route": "api", "status": 200, "group": "web", "path": "/%61pi/%7euser/x%2Fy//z", "arg": "1", "cookie": "2", "agent": "me", "sent": "200 200 web host"})
	expectFields(t, all[15], object{"route": "http.routes[7]", "status": 502, "group": "dead", "sent": nil})

	// By TLS the redirect's route does not match.
	s := tls.Client(guard(t, dialPort(t, secure)), &tls.Config{InsecureSkipVerify: true})
	send(t, s, "GET /secure HTTP/1.1\r\nHost: site.test\r\nConnection: close\r\n\r\n")
	if res, body := reply(t, bufio.NewReader(s), "GET"); res.StatusCode != 200 || !strings.HasPrefix(body, "GET site.test /secure\n") {
		t.Errorf("by TLS: status %d, body %q", res.StatusCode, body)
	}
}

// A response where no route matches has the server's own fields, and so have responses of routes without fields of their own. A reload changes them for
// existing connections.
func TestServersFieldsWithoutRoute(t *testing.T) {
	t.Parallel()
	type object = map[string]any
	fields := func(version string) settings {
		return settings{"client_header_timeout": ample, "response_headers": object{"set": object{"X-Server": version + " $status $server [$route] $request_method", "Date": "never"}, "remove": []string{"Content-Type"}}}
	}
	routes := []map[string]any{{"match": object{"path": "/there"}, "respond": object{"status": 204}},
		{"match": object{"path": "/else"}, "respond": object{"status": 200}, "response_headers": object{"set": object{"X-Server": "mine"}}}}
	p, secure, _ := startPolicies(t, fields("1"), routes...)
	for name, test := range map[string]struct{ request, want string }{
		"no route":          {"GET / HTTP/1.1\r\nHost: h\r\n\r\n", "404 Not Found: 1 404 site [] GET"},
		"not well-formed":   {"GET /\x01 HTTP/1.1\r\nHost: h\r\n\r\n", "400 Bad Request: 1 400 site [] GET"},
		"no request at all": {"x\r\n\r\n", "400 Bad Request: 1 400 site []"},
		"no path":           {"GET /%zz HTTP/1.1\r\nHost: h\r\n\r\n", "400 Bad Request: 1 400 site [] GET"},
		"too long":          {"GET /" + strings.Repeat("x", 10_000), "414 Request URI Too Long: 1 414 site [] GET"},
		"late":              {"GET / HTTP/1.1\r\n", "408 Request Timeout: 1 408 site [] GET"},
		"a route":           {"GET /there HTTP/1.1\r\nHost: h\r\n\r\n", "204 No Content: 1 204 site [http.routes[0]] GET"},
		"a route's own":     {"GET /else HTTP/1.1\r\nHost: h\r\n\r\n", "200 OK: mine"},
	} {
		for _, port := range []int{p.port, secure} {
			c := net.Conn(guard(t, dialPort(t, port)))
			if port == secure {
				c = tls.Client(c, &tls.Config{InsecureSkipVerify: true})
			}
			send(t, c, test.request)
			res, _ := reply(t, bufio.NewReader(c), "GET")
			if got := res.Status + ": " + res.Header.Get("X-Server"); got != test.want {
				t.Errorf("%s: got %q, want %q", name, got, test.want)
			}
			if res.Header.Get("Date") != "never" || res.Header.Get("Content-Type") != "" {
				t.Errorf("%s: wrong Date or Content-Type in %v", name, res.Header)
			}
		}
	}

	plain := guard(t, dialPort(t, secure))
	send(t, plain, "GET / HTTP/1.1\r\nHost: h\r\n\r\n")
	if res, _ := reply(t, bufio.NewReader(plain), "GET"); res.StatusCode != 400 || res.Header.Get("X-Server") != "1 400 site [] GET" {
		t.Errorf("plain HTTP to the TLS port: %v", res)
	}

	kept := p.dial()
	in := bufio.NewReader(kept)
	for version := range 3 {
		if version > 0 {
			text, err := os.ReadFile(p.file)
			if err != nil {
				t.Fatal(err)
			}
			p.replace(bytes.ReplaceAll(text, fmt.Appendf(nil, `"%d $status`, version), fmt.Appendf(nil, `"%d $status`, version+1)))
			p.warns("reload", "no route uses this group")
		}
		send(t, kept, "GET / HTTP/1.1\r\nHost: h\r\n\r\n")
		if res, _ := reply(t, in, "GET"); res.Header.Get("X-Server") != fmt.Sprintf("%d 404 site [] GET", version+1) {
			t.Errorf("after %d reloads X-Server is %q", version, res.Header.Get("X-Server"))
		}
	}
}

func dialPort(t *testing.T, port int) net.Conn {
	t.Helper()
	c, err := net.DialTimeout("tcp4", fmt.Sprintf("127.0.0.1:%d", port), patience)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// After a "respond" to a request whose body has not arrived, the connection ends, and no part of the body is taken for a request.
func TestRespondWithUnreadBody(t *testing.T) {
	t.Parallel()
	type object = map[string]any
	p, _, _ := startPolicies(t, settings{"max_body_size": 100},
		object{"match": object{"path": "/no"}, "respond": object{"status": 403, "body": "no"}}, object{"proxy_to": "web"})
	const next = "GET /next HTTP/1.1\r\nHost: site.test\r\n\r\n"
	for name, tc := range map[string]struct {
		request string
		status  int
	}{
		"a length":             {"POST /no HTTP/1.1\r\nHost: site.test\r\nContent-Length: 60\r\n\r\n" + next, 403},
		"chunked":              {"POST /no HTTP/1.1\r\nHost: site.test\r\nTransfer-Encoding: chunked\r\n\r\n40\r\n" + next, 403},
		"a 100":                {"POST /no HTTP/1.1\r\nHost: site.test\r\nContent-Length: 60\r\nExpect: 100-continue\r\n\r\n", 403},
		"malformed":            {"POST /no HTTP/1.1\r\nHost: site.test\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n" + next, 403},
		"too large":            {"POST /no HTTP/1.1\r\nHost: site.test\r\nContent-Length: 101\r\n\r\n" + next, 413},
		"too large, of a host": {"POST /x HTTP/1.1\r\nHost: site.test\r\nContent-Length: 101\r\n\r\n" + next, 413},
		"a long chunk":         {"POST /no HTTP/1.1\r\nHost: site.test\r\nTransfer-Encoding: chunked\r\n\r\n1000\r\n" + next, 403},
	} {
		c := p.dial()
		in := bufio.NewReader(c)
		send(t, c, tc.request)
		res, _ := reply(t, in, "POST")
		if res.StatusCode != tc.status || !res.Close {
			t.Errorf("%s: status %d, Connection: close: %v", name, res.StatusCode, res.Close)
		}
		expectEnd(t, in)
	}
}

// The ID of a request is a trusted proxy's or our own.
func TestRequestIDOfTrusted(t *testing.T) {
	t.Parallel()
	type object = map[string]any
	route := object{"proxy_to": "web", "request_headers": object{"set": object{"X-Request-Id": "$request_id"}}}
	for _, trusted := range []bool{false, true} {
		more := settings{}
		if trusted {
			more["trusted_proxies"] = []string{"127.0.0.0/8"}
		}
		p, _, _ := startPolicies(t, more, route)
		c := p.dial()
		send(t, c, "GET / HTTP/1.1\r\nHost: site.test\r\nX-Request-Id: theirs\r\nx_request_id: too\r\n\r\n")
		_, body := reply(t, bufio.NewReader(c), "GET")
		_, id, _ := strings.Cut(body, "X-Request-Id: ")
		if id = strings.TrimSpace(id); (id == "theirs") != trusted || !trusted && len(id) != 32 {
			t.Errorf("trusted: %v, ID %q", trusted, id)
		}
	}
}
