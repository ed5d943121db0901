package main_test

import (
	"net/http"
	"path/filepath"
	"regexp"
	"testing"
)

// An ID is our own unless a trusted proxy made it. The log, the host and the client have the same ID.
func TestRequestIDIsPassedOn(t *testing.T) {
	t.Parallel()
	const field, theirs = "X-Request-Id", "theirs"
	ours := regexp.MustCompile(`^[0-9a-f]{32}$`)
	trusted := []string{"127.0.0.1"}
	for name, test := range map[string]struct {
		settings       settings
		sent           string
		trusts         bool // the proxy adopts the ID that was sent
		host, answered bool // whether the host and the client get the ID
	}{
		"by default": {settings{}, "", false, false, false},
		"by default, an untrusted client has one": {settings{}, theirs, false, true, false},
		"by default, a trusted proxy has one":     {settings{"trusted_proxies": trusted}, theirs, true, true, false},
		"request_id":                              {settings{"request_id": true}, "", false, true, true},
		"request_id, an untrusted client has one": {settings{"request_id": true}, theirs, false, true, true},
		"request_id, a trusted proxy has one":     {settings{"request_id": true, "trusted_proxies": trusted}, theirs, true, true, true},
		"request_id, removed for clients":         {settings{"request_id": true, "response_headers": settings{"remove": []string{"x-request-id"}}}, "", false, true, false},
		"without forwarded_headers":               {settings{"forwarded_headers": false}, theirs, true, true, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			file := filepath.Join(t.TempDir(), "access.log")
			told := make(chan []string, 1)
			h := serve(t, "127.0.0.1", func(w http.ResponseWriter, r *http.Request) {
				told <- r.Header[field]
				if test.answered {
					w.Header().Set(field, "the host's")
				}
			})
			test.settings["file_log"], test.settings["format_log"] = file, "<$request_id>"
			p := startHTTP(t, setup{hosts: endpoints(h), settings: test.settings})
			req, err := http.NewRequest(http.MethodGet, p.url("/"), nil)
			if err != nil {
				t.Fatal(err)
			}
			if test.sent != "" {
				req.Header.Set(field, test.sent)
			}
			res, _ := do(t, p.client(), req)
			var logged string
			eventually(t, "the access log has a line", func() bool {
				if l := lines(t, file); len(l) == 1 {
					logged = regexp.MustCompile(`<(.*)>`).FindStringSubmatch(l[0])[1]
				}
				return logged != ""
			})
			id := logged
			if name == "without forwarded_headers" {
				id = theirs // the client's ID passes unchanged, and we do not know it
			} else if !ours.MatchString(id) != test.trusts || test.trusts && id != theirs {
				t.Errorf("the ID is %q, which is wrong", id)
			}
			if got := <-told; test.host != (len(got) == 1) || test.host && got[0] != id {
				t.Errorf("the host got the ID %q, the log %q", got, id)
			}
			if got := res.Header[field]; test.answered != (len(got) == 1) || test.answered && got[0] != id {
				t.Errorf("the client got the ID %q, the log %q", got, id)
			}
		})
	}
}

// The proxy's own responses have the ID too, also where no route matches.
func TestOwnAnswersHaveRequestIDs(t *testing.T) {
	t.Parallel()
	port := reservePort(t)
	p := startFile(t, false, nil, object{"http": object{"port": port, "request_id": true, "routes": []object{
		{"match": object{"path": "/respond"}, "respond": object{"status": 403}},
		{"match": object{"path": "/off"}, "respond": object{"status": 403}, "request_id": false},
	}}})
	p.port = port
	for path, want := range map[string]bool{"/respond": true, "/off": false, "/nowhere": true} {
		if res, _ := p.get(p.client(), path); (len(res.Header.Get("X-Request-Id")) == 32) != want {
			t.Errorf("%s: no ID in %v", path, res.Header)
		}
	}
}
