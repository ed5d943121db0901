package main_test

import (
	"errors"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"golang.org/x/sys/unix"
)

// unixHost is an entry of "hosts" with a unix socket.
type unixHost struct {
	Unix string `json:"unix"`
	Name string `json:"name,omitempty"`
}

// withHosts are settings whose group has these hosts.
func withHosts(more settings, hosts ...any) settings {
	all := settings{"servers": map[string]any{"backend": map[string]any{"hosts": hosts, "balancing_algo": "first"}}}
	for k, v := range more {
		all[k] = v
	}
	return all
}

// listenUnix listens on a unix socket until the test ends.
func listenUnix(t *testing.T) (*net.UnixListener, unixHost) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "app.sock")
	ln, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() })
	return ln, unixHost{Unix: path}
}

// fullUnix returns a unix socket whose backlog is full.
func fullUnix(t *testing.T) unixHost {
	t.Helper()
	path := filepath.Join(t.TempDir(), "full.sock")
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(fd) })
	if err := errors.Join(unix.Bind(fd, &unix.SockaddrUnix{Name: path}), unix.Listen(fd, 0)); err != nil {
		t.Fatal(err)
	}
	c, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return unixHost{Unix: path}
}

// A host may be a unix socket. Its connections are reused, also after a reload, long bodies pass both ways, and its name is the configured one, or else
// localhost.
func TestHTTPUnixHost(t *testing.T) {
	t.Parallel()
	ln, at := listenUnix(t)
	var opened atomic.Int64
	srv := &http.Server{
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Seen-Host", r.Host)
			body, _ := io.ReadAll(r.Body) // all of it: net/http closes a connection when it answers early
			_, _ = w.Write(body)
		}),
		ConnState: func(_ net.Conn, s http.ConnState) {
			if s == http.StateNew {
				opened.Add(1)
			}
		},
	}
	go func() { _ = srv.Serve(ln) }()
	t.Cleanup(func() { srv.Close() })
	file := filepath.Join(t.TempDir(), "access.log")
	set := settings{"reactors_num": 1, "file_log": file, "format_log": "$upstream_host $upstream_addr $upstream_tries $status"}
	setup := setup{mode: "http", settings: withHosts(set, at)}
	p := start(t, setup)
	c := p.client()
	put := func(body, host string) {
		t.Helper()
		req, err := http.NewRequest(http.MethodPut, p.url("/"), strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		req.Host = "asked.test"
		if res, got := do(t, c, req); res.StatusCode != 200 || got != body || res.Header.Get("Seen-Host") != host {
			t.Errorf("status %d, %d bytes of %d, Host %q, want %q", res.StatusCode, len(got), len(body), res.Header.Get("Seen-Host"), host)
		}
	}
	put("a", "asked.test")
	put("", "asked.test")
	put(bulk, "asked.test")
	set["proxy_set_host"] = "upstream"
	setup.settings = withHosts(set, at)
	p.rewrite(setup)
	p.mustOrder("reload")
	put("b", "localhost")
	at.Name = "app.test"
	setup.settings = withHosts(set, at)
	p.rewrite(setup)
	p.mustOrder("reload")
	put("c", "app.test")
	if n := opened.Load(); n != 1 {
		t.Errorf("%d connections to the host, want one for all requests", n)
	}
	want := "]: unix:" + at.Unix + " unix:" + at.Unix + " 1 200"
	eventually(t, "the log has all lines", func() bool { return len(lines(t, file)) == 5 })
	for _, line := range lines(t, file) {
		if !strings.HasSuffix(line, want) {
			t.Errorf("logged %q, want %q", line, want)
		}
	}
}

// Streams pass through a unix socket, and each direction ends by itself.
func TestStreamUnixHost(t *testing.T) {
	t.Parallel()
	ln, at := listenUnix(t)
	p := start(t, setup{settings: withHosts(nil, at)})
	for _, s := range []string{"x", bulk} {
		client := p.dial()
		send(t, client, s[:1])
		server, err := ln.AcceptUnix()
		if err != nil {
			t.Fatal(err)
		}
		sent := make(chan error, 2)
		go func() { sent <- errors.Join(write(client, s[1:]), client.CloseWrite()) }()
		expectAll(t, server, s)
		go func() { sent <- errors.Join(write(server, s), server.Close()) }()
		expectAll(t, client, s)
		if err := errors.Join(<-sent, <-sent); err != nil {
			t.Error(err)
		}
	}
}

// A unix socket that is missing or full is skipped, and used once it is available.
func TestUnixHostsThatFail(t *testing.T) {
	t.Parallel()
	for name, at := range map[string]unixHost{"none": {Unix: filepath.Join(t.TempDir(), "none.sock")}, "full": fullUnix(t)} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			good, other := listenUnix(t)
			go func() { _ = http.Serve(good, http.NotFoundHandler()) }()
			p := start(t, setup{mode: "http", settings: withHosts(settings{"reactors_num": 1}, at, other)})
			c := p.client()
			for range 3 {
				if res, _ := p.get(c, "/"); res.StatusCode != 404 {
					t.Errorf("status %d, want the other host's 404", res.StatusCode)
				}
			}
			p.await(p.stderr, `msg="upstream: a host is down and is tried last".*host=unix:`+at.Unix)
			p.rewrite(setup{mode: "http", settings: withHosts(settings{"reactors_num": 1}, at)})
			p.mustOrder("reload")
			if res, _ := p.get(c, "/"); res.StatusCode != 502 {
				t.Errorf("status %d without another host, want 502", res.StatusCode)
			}
		})
	}
}

// The proxy does not connect to a host whose unix socket is its own.
func TestUnixHostIsTheProxyItself(t *testing.T) {
	t.Parallel()
	modes(t, func(t *testing.T, multi bool) {
		own := unixHost{Unix: filepath.Join(t.TempDir(), "own.sock")}
		port := reservePort(t)
		set := withHosts(settings{"listen": []any{map[string]any{"port": port}, own}}, own)
		set["port"] = nil
		p := startOn(t, port, setup{mode: "http", settings: set, multi: multi})
		if res, _ := p.get(p.client(), "/"); res.StatusCode != 502 {
			t.Errorf("status %d, want 502", res.StatusCode)
		}
		p.await(p.stderr, `host=unix:`+own.Unix+` .*its socket is this proxy's own; correct \\"unix\\"`)
	})
}
