package main_test

import (
	"io"
	"net"
	"strings"
	"testing"
)

// lettered starts n hosts that send their letter, A for the first, and then echo.
func lettered(t *testing.T, n int) []*host {
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

// leave ends a session in good order and returns when its end has reached the client.
func leave(t *testing.T, c *net.TCPConn) {
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
			p := start(t, setup{hosts: endpoints(lettered(t, 3)...), algorithm: algorithm})
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
	hosts := endpoints(lettered(t, 2)...)
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

func TestLeastConn(t *testing.T) {
	t.Parallel()
	// With one reactor a session that a client saw end is no longer counted when the next client is met.
	p := start(t, setup{hosts: endpoints(lettered(t, 2)...), algorithm: "least_conn", settings: settings{"reactors_num": 1}})
	held := map[string][]*net.TCPConn{}
	for range 6 {
		c, letter := p.visit()
		held[letter] = append(held[letter], c)
	}
	if len(held["A"]) != 3 || len(held["B"]) != 3 {
		t.Fatalf("6 sessions were spread %d to %d", len(held["A"]), len(held["B"]))
	}
	for _, c := range held["A"] {
		leave(t, c)
	}
	for i := range 3 {
		if _, letter := p.visit(); letter != "A" {
			t.Fatalf("visit %d went to host %s, which has 3 sessions, while A has %d", i, letter, i)
		}
	}
}
