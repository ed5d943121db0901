package main_test

import (
	"bufio"
	"errors"
	"io"
	"net"
	"net/http"
	"testing"

	"golang.org/x/sys/unix"
)

// After the stop signal every response closes its connection: those to requests in flight, and those to clients that are still let in. An idle client that
// then sends a request gets such a response, or the connection ends.
func TestLastResponsesOnStop(t *testing.T) {
	t.Parallel()
	modes(t, func(t *testing.T, multi bool) {
		asked, release := make(chan struct{}), make(chan struct{})
		h := serve(t, "127.0.0.1", func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/slow" {
				asked <- struct{}{}
				<-release
			}
			_, _ = io.WriteString(w, "hello")
		})
		p := startHTTP(t, setup{hosts: endpoints(h), multi: multi, settings: settings{"workers_num": 2, "reactors_num": 2}})
		type client struct {
			net.Conn
			in *bufio.Reader
		}
		ask := func(c client, path string) {
			t.Helper()
			send(t, c, "GET "+path+" HTTP/1.1\r\nHost: a\r\n\r\n")
		}
		last := func(c client) {
			t.Helper()
			res, body := reply(t, c.in, "GET")
			if body != "hello" || !res.Close {
				t.Errorf("the response is %q, with Connection: close: %v; want hello and true", body, res.Close)
			}
			if _, err := c.in.ReadByte(); !errors.Is(err, io.EOF) {
				t.Errorf("after the last response: %v, want EOF", err)
			}
			_ = c.Close()
		}
		const n = 8
		var clients []client
		for range 2 * n {
			c := p.dial()
			clients = append(clients, client{c, bufio.NewReader(c)})
			ask(clients[len(clients)-1], "/")
			if res, _ := reply(t, clients[len(clients)-1].in, "GET"); res.Close {
				t.Error("a response before the signal has Connection: close")
			}
		}
		busy, idle := clients[:n], clients[n:]
		for _, c := range busy {
			ask(c, "/slow")
			<-asked
		}
		p.signal(unix.SIGTERM)
		p.await(p.stderr, `msg="kroxy-ev: stopping"`)
		p.awaitRefusal() // by then each loop and each worker knows
		close(release)
		for _, c := range busy {
			last(c)
		}
		for _, c := range idle {
			_, _ = io.WriteString(c, "GET / HTTP/1.1\r\nHost: a\r\n\r\n")
			if _, err := c.in.Peek(1); err == nil {
				last(c)
			}
		}
		if status := p.wait(); status != 0 {
			t.Errorf("exit status %d", status)
		}
	})
}
