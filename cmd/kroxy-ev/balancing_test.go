package main_test

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

// letteredHosts starts n hosts that send their letter, A for the first, and then echo.
func letteredHosts(t *testing.T, n int) []*host {
	t.Helper()
	hosts := make([]*host, n)
	for i := range hosts {
		letter := string(rune('A' + i))
		hosts[i] = listen(t, "127.0.0.1", func(c *net.TCPConn) {
			_, _ = io.WriteString(c, letter)
			echo(c)
		})
	}
	return hosts
}

// visit connects and returns the letter of the host that answers.
func (p *proxy) visit() (*net.TCPConn, string) {
	p.t.Helper()
	c := p.dial()
	letter := make([]byte, 1)
	if _, err := io.ReadFull(c, letter); err != nil {
		p.t.Fatal(err)
	}
	return c, string(letter)
}

// endSession ends a session regularly and returns when the end has reached the client.
func endSession(t *testing.T, c *net.TCPConn) {
	t.Helper()
	_ = c.CloseWrite()
	expectAll(t, c, "")
	_ = c.Close()
}

func TestRoundRobin(t *testing.T) {
	t.Parallel()
	for name, algorithm := range map[string]string{"by default": "", "by name": "round_robin"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := start(t, setup{hosts: endpoints(letteredHosts(t, 3)...), algorithm: algorithm})
			var got strings.Builder
			for range 30 {
				c, letter := p.visit()
				got.WriteString(letter)
				_ = c.Close()
			}
			if want := strings.Repeat("ABC", 10); got.String() != want {
				t.Errorf("hosts in the order %s, want %s", got.String(), want)
			}
		})
	}
}

func TestFirst(t *testing.T) {
	t.Parallel()
	hosts := endpoints(letteredHosts(t, 2)...)
	for name, test := range map[string]struct {
		hosts []endpoint
		want  string
	}{
		"all well":      {hosts, "A"},
		"first refuses": {[]endpoint{refusing(t), hosts[1]}, "B"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := start(t, setup{hosts: test.hosts, algorithm: "first"})
			for range 10 {
				if _, letter := p.visit(); letter != test.want {
					t.Fatalf("host %s was used, want %s", letter, test.want)
				}
			}
		})
	}
}

// A host that accepts connections and never answers is recognized by the time that its first client waits, even if that client gives up before a timeout. It
// costs one client, or a few where a busy machine makes the other host look as slow. A client waits longer than the machine may stand still.
func TestLeastTimeKnowsSilence(t *testing.T) {
	t.Parallel()
	modes(t, func(t *testing.T, multi bool) {
		asked, end := make(chan struct{}, 100), make(chan struct{})
		silent := serve(t, "127.0.0.1", func(http.ResponseWriter, *http.Request) {
			asked <- struct{}{}
			<-end
		})
		t.Cleanup(func() { close(end) })
		good := serve(t, "127.0.0.1", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "good") })
		p := startHTTP(t, setup{hosts: endpoints(silent, good), algorithm: "least_time", multi: multi, settings: settings{"workers_num": 2, "reactors_num": 1}})
		left := 0
		for range 40 {
			c := p.dial()
			send(t, c, "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
			answered := make(chan error, 1)
			go func() {
				text, err := io.ReadAll(c)
				if err == nil && !strings.HasSuffix(string(text), "good") {
					err = fmt.Errorf("the answer is %q, want one from the good host", text)
				}
				answered <- err
			}()
			select {
			case err := <-answered:
				if err != nil {
					t.Fatal(err)
				}
			case <-asked:
				left++
				time.Sleep(3 * time.Second)
				reset(c)
				<-answered
			}
		}
		if left < 1 || left > 5 {
			t.Errorf("%d of 40 clients got the silent host, want one", left)
		}
	})
}

func TestLeastConn(t *testing.T) {
	t.Parallel()
	// With one reactor, a session whose end the client has seen is no longer counted when the next client connects.
	p := start(t, setup{hosts: endpoints(letteredHosts(t, 2)...), algorithm: "least_conn", settings: settings{"reactors_num": 1}})
	held := map[string][]*net.TCPConn{}
	for range 6 {
		c, letter := p.visit()
		held[letter] = append(held[letter], c)
	}
	if len(held["A"]) != 3 || len(held["B"]) != 3 {
		t.Fatalf("6 sessions were distributed %d and %d", len(held["A"]), len(held["B"]))
	}
	for _, c := range held["A"] {
		endSession(t, c)
	}
	for i := range 3 {
		if _, letter := p.visit(); letter != "A" {
			t.Fatalf("visit %d went to host %s, which has 3 sessions, while A has %d", i, letter, i)
		}
	}
}
