package main_test

import (
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"sync/atomic"
	"testing"
)

// killableHost is a host of net/http that can be killed, and started again at its address, which no other test uses.
type killableHost struct {
	endpoint
	t       *testing.T
	seen    atomic.Int64 // number of requests
	handler http.HandlerFunc
	server  *http.Server // nil while it is not running
	ln      promptListener
}

func startKillable(t *testing.T, handler http.HandlerFunc) *killableHost {
	t.Helper()
	m := &killableHost{t: t, endpoint: endpoint{Host: ownAddress(t)}, handler: handler}
	for range 100 { // another program may listen on the port on all addresses
		// By default the kernel assigns no ports below 32768 itself, so this one stays free until the host starts again.
		m.Port = 10_000 + rand.N(20_000)
		if ln, err := net.Listen("tcp4", m.address()); err == nil {
			_ = promptListener{ln.(*net.TCPListener)}.Close()
			break
		}
	}
	m.start()
	t.Cleanup(m.kill)
	return m
}

// killableHosts starts n hosts. Each answers with its letter, A for the first, the method, and the length of the request's body.
func killableHosts(t *testing.T, n int) []*killableHost {
	t.Helper()
	var all []*killableHost
	for i := range n {
		letter := string(rune('A' + i))
		all = append(all, startKillable(t, func(w http.ResponseWriter, r *http.Request) {
			body, err := io.ReadAll(r.Body)
			if err != nil {
				return
			}
			_, _ = fmt.Fprintf(w, "%s %s %d", letter, r.Method, len(body))
		}))
	}
	return all
}

// start starts the host.
func (m *killableHost) start() {
	m.t.Helper()
	ln, err := net.Listen("tcp4", m.address())
	if err != nil {
		m.t.Fatal(err)
	}
	m.server = &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		m.seen.Add(1)
		m.handler(w, r)
	})}
	m.ln = promptListener{ln.(*net.TCPListener)}
	go func(s *http.Server, ln net.Listener) { _ = s.Serve(ln) }(m.server, m.ln)
}

// kill stops the host and closes all its sockets, as the kernel does for a killed process.
func (m *killableHost) kill() {
	if m.server != nil {
		_ = m.ln.Close() // the server does not know the listener before Serve runs
		_ = m.server.Close()
		m.server = nil
	}
}

func (m *killableHost) address() string { return fmt.Sprintf("%s:%d", m.Host, m.Port) }

// resetting is a handler that resets the connection, like a process that crashes on the request.
func resetting(w http.ResponseWriter, r *http.Request) {
	_, _ = io.Copy(io.Discard, r.Body)
	c, _, err := w.(http.Hijacker).Hijack()
	if err == nil {
		_ = c.(*net.TCPConn).SetLinger(0)
		_ = c.Close()
	}
}

func statusHandler(status int) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		w.WriteHeader(status)
	}
}
