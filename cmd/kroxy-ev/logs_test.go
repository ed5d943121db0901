package main_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// entries parses the complete lines of a JSON file, all of which must be objects.
func entries(t *testing.T, file string) (list []map[string]any) {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if !strings.HasSuffix(line, "\n") {
			break // the line is still being written
		}
		var o map[string]any
		if err := json.Unmarshal([]byte(line), &o); err != nil {
			t.Errorf("%v: %q", err, line)
			continue
		}
		list = append(list, o)
	}
	return list
}

// An error log in JSON, and a reload that switches back to text.
func TestErrorLogInJSON(t *testing.T) {
	t.Parallel()
	modes(t, func(t *testing.T, multi bool) {
		file := filepath.Join(t.TempDir(), "error.log")
		s := setup{hosts: []endpoint{refusing(t)}, multi: multi, settings: settings{"error_log": file, "error_log_format": "json"}}
		p := launchSetup(t, reservePort(t), s)
		find := func(msg string) (found map[string]any) {
			t.Helper()
			eventually(t, msg, func() bool {
				for _, e := range entries(t, file) {
					if e["msg"] == msg {
						found = e
					}
				}
				return found != nil
			})
			return found
		}
		find("kroxy-ev: serving")
		expectClosed(t, p.dial())
		e := find("stream: session closed")
		at, err := time.Parse(time.RFC3339Nano, fmt.Sprint(e["time"]))
		if err != nil || time.Since(at).Abs() > time.Hour || e["level"] != "ERROR" || e["client"] != "127.0.0.1" || e["error"] == "" || e["sent_upstream"] != 0.0 {
			t.Errorf("the log entry is %v, error %v", e, err)
		}
		delete(s.settings, "error_log_format")
		p.rewrite(s)
		p.mustOrder("reload")
		awaitInFile(t, file, `level=INFO msg="kroxy-ev: reloaded"`)
		p.stop()
	})
}

// The route that was taken decides whether a request is logged.
func TestLogConditions(t *testing.T) {
	t.Parallel()
	host := serve(t, "127.0.0.1", func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/slow":
			time.Sleep(30 * time.Millisecond)
		case "/missing":
			w.WriteHeader(http.StatusNotFound)
		case "/broken":
			w.WriteHeader(http.StatusBadGateway)
		}
	})
	file := filepath.Join(t.TempDir(), "access.log")
	on := func(prefix string, logIf any) object {
		o := object{"match": object{"path_prefix": prefix}, "rewrite": object{"strip_prefix": prefix}, "proxy_to": "b"}
		if logIf != nil {
			o["log_if"] = logIf
		}
		return o
	}
	port := reservePort(t)
	p := startFile(t, false, nil, object{
		"servers": object{"b": object{"hosts": []endpoint{host.endpoint}}},
		"log_if":  object{"status": []any{"500-599"}}, "file_log": file, "format_log": "$request_uri",
		"http": object{"port": port, "routes": []object{
			on("/errors", nil), on("/all", true), on("/none", false), on("/slow", object{"slower_than": "20ms", "status": nil}),
			on("/any", object{"status": 404, "slower_than": 20}), on("/half", object{"sample": 1}),
			{"match": object{"path": "/last"}, "respond": object{"status": 200}, "log_if": true},
		}},
	})
	p.port = port
	c := p.client()
	for _, prefix := range []string{"/errors", "/all", "/none", "/slow", "/any", "/half"} {
		for _, path := range []string{"/ok", "/slow", "/missing", "/broken"} {
			p.get(c, prefix+path)
		}
	}
	p.get(c, "/nowhere") // logged by the server's conditions, which do not include 404
	p.get(c, "/last")
	must := []string{
		"/errors/broken", "/all/ok", "/all/slow", "/all/missing", "/all/broken", "/slow/slow", "/any/slow", "/any/missing",
		"/half/ok", "/half/slow", "/half/missing", "/half/broken", "/last",
	}
	mayBeSlow := func(uri string) bool { // on a busy machine any request may be slow
		return strings.HasPrefix(uri, "/slow/") || strings.HasPrefix(uri, "/any/")
	}
	var got []string
	eventually(t, "the log has the last request's line", func() bool {
		got = got[:0]
		for _, line := range lines(t, file) {
			got = append(got, line[strings.Index(line, "]: ")+3:])
		}
		return slices.Contains(got, "/last")
	})
	for _, uri := range must {
		if !slices.Contains(got, uri) {
			t.Errorf("the log has no line for %s", uri)
		}
	}
	for _, uri := range got {
		if !slices.Contains(must, uri) && !mayBeSlow(uri) {
			t.Errorf("the log has a line for %s", uri)
		}
	}
}

// Conditions of session logs: only failed sessions are logged.
func TestLogConditionsOfSessions(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "access.log")
	good, bad := reservePort(t), reservePort(t)
	h := listen(t, "127.0.0.1", answer("goodbye"))
	p := startFile(t, false, nil, object{
		"servers": object{"good": object{"hosts": endpoints(h)}, "bad": object{"hosts": []endpoint{refusing(t)}}},
		"log_if":  object{"failed": true}, "file_log": file, "format_log": "$group $end_reason",
		"stream": []object{{"port": good, "proxy_to": "good"}, {"port": bad, "proxy_to": "bad"}},
	})
	for _, port := range []int{good, bad, good} {
		p.port = port
		if port == good {
			p.runSession()
		} else {
			expectClosed(t, p.dial())
		}
	}
	p.stop()
	if got := lines(t, file); len(got) != 1 || !strings.HasSuffix(got[0], "bad unreachable") {
		t.Errorf("the log has %q, want one line of the failed session", got)
	}
}
