package main_test

import (
	"bufio"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// mangler is a connection below TLS that lets only a number of bytes out, one of which may be corrupted, and then ends in some way.
type mangler struct {
	*net.TCPConn
	left  int // bytes still to be sent
	flips int // the byte to be corrupted; negative for none
	end   func(*mangler)
}

var errMangled = errors.New("enough was said")

func (m *mangler) Write(p []byte) (int, error) {
	if m.left == 0 {
		return 0, errMangled
	}
	out := append([]byte(nil), p[:min(len(p), m.left)]...)
	if 0 <= m.flips && m.flips < len(out) {
		out[m.flips] ^= byte(1 + rand.IntN(255))
	}
	m.flips -= len(out)
	if _, err := m.TCPConn.Write(out); err != nil {
		return 0, err
	}
	if m.left -= len(out); m.left == 0 {
		m.end(m)
		return len(p), errMangled
	}
	return len(p), nil
}

// cuts are the ways in which a mangled connection ends.
var cuts = []func(*mangler){
	func(m *mangler) { _ = m.Close() },
	func(m *mangler) { reset(m.TCPConn) },
	func(m *mangler) { // half-closed: the other end closes the rest
		_ = m.CloseWrite()
		_, _ = io.Copy(io.Discard, m.TCPConn)
	},
	func(m *mangler) { _, _ = io.Copy(io.Discard, m.TCPConn) }, // it sends nothing more
}

const (
	abuseTimeout = 1200 * time.Millisecond // a good client stays within it even on a busy machine
	abuseSpan    = 2600                    // bytes: more than a client sends in its handshake and first request
)

// mangled returns the nth of many connections, each of which is cut off at another offset and in another way.
func mangled(c *net.TCPConn, n int) *mangler {
	m := &mangler{TCPConn: c, left: 1 + n*7%abuseSpan, flips: -1, end: cuts[rand.IntN(len(cuts))]}
	if n%2 == 0 {
		m.flips = rand.IntN(m.left)
	}
	return m
}

// tryMangled makes the nth mangled connection, which may succeed all the same.
func (p *proxy) tryMangled(n int, a *authority) {
	c, err := net.DialTimeout("tcp4", fmt.Sprintf("127.0.0.1:%d", p.port), patience)
	if err != nil {
		p.t.Errorf("connecting: %v", err)
		return
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(patience))
	config := askingFor(a.clientConfig(""), []string{"ecdsa.test", "rsa.test", "unknown.test"}[n%3])
	config.MaxVersion = []uint16{tls.VersionTLS12, tls.VersionTLS13}[rand.IntN(2)]
	if n%11 == 0 { // no TLS at all
		junk := make([]byte, rand.IntN(abuseSpan))
		copy(junk, noise[rand.IntN(1<<20):])
		if n%2 == 0 && len(junk) > 5 {
			copy(junk, "\x16\x03\x01\x3f\xff") // at least a record header
		}
		_, _ = c.Write(junk)
		cuts[rand.IntN(4)](&mangler{TCPConn: c.(*net.TCPConn)})
		return
	}
	s := tls.Client(mangled(c.(*net.TCPConn), n), config)
	if s.Handshake() != nil {
		return
	}
	for range 20 {
		if _, err := io.WriteString(s, lastRequest); err != nil {
			return
		}
	}
}

// Whatever clients do in their handshakes, nothing but a log line is left of them.
func TestTLSAbuse(t *testing.T) {
	needFiles(t, 4096)
	for _, mode := range []string{"http", "stream"} {
		t.Run(mode, func(t *testing.T) {
			a := newAuthority(t)
			ec, hard := a.issue("ecdsa.test"), a.issueRSA("rsa.test")
			hosts := endpoints(listen(t, "127.0.0.1", echo))
			if mode == "http" {
				hosts = endpoints(serve(t, "127.0.0.1", mirror))
			}
			ms := abuseTimeout.Milliseconds()
			if raceEnabled {
				ms *= 4 // a good client is slow then too
			}
			s := setup{mode: mode, hosts: hosts, settings: ec.serverSettings(settings{
				"certificates":          []settings{{"cert_path": hard.cert, "key_path": hard.key}},
				"tls_handshake_timeout": ms, "upstream_keepalive": 0,
			})}
			if mode == "http" {
				s.settings["client_header_timeout"], s.settings["keepalive_timeout"] = ms, ms
			} else {
				s.settings["read_timeout"] = ms
				delete(s.settings, "upstream_keepalive")
			}
			p := start(t, s)
			good := func() {
				t.Helper()
				for _, name := range []string{"ecdsa.test", "rsa.test"} {
					c := p.dialTLS(a.clientConfig(name))
					send(t, c, lastRequest)
					if mode == "stream" {
						expect(t, c, lastRequest)
					} else if _, body := reply(t, bufio.NewReader(c), http.MethodGet); body != "hello" {
						t.Errorf("a good client got %q", body)
					}
					_ = c.Close()
				}
			}
			idle := p.sockets()
			good() // let the program allocate what it needs once
			p.awaitSockets(t, "the sockets of good clients are closed", func(n int) bool { return n <= idle })
			before := p.descriptors()
			var memory [2]int
			n := times(2000, 10_000) / 2
			if raceEnabled {
				n /= 5
			}
			for half := range memory {
				var abusers sync.WaitGroup
				next := make(chan int)
				for range 64 {
					abusers.Go(func() {
						for i := range next {
							p.tryMangled(i, a)
						}
					})
				}
				for i := range n {
					next <- half*n + i
				}
				close(next)
				abusers.Wait()
				good()
				p.awaitSockets(t, "all sockets are closed", func(n int) bool { return n <= before["socket"] })
				memory[half] = p.status("VmRSS")
			}
			t.Logf("%d handshakes: descriptors %v and %v, memory %d KiB and %d KiB", 2*n, before, p.descriptors(), memory[0], memory[1])
			if grown := memory[1] - memory[0]; !raceEnabled && grown > 3<<10 { // a handshake that is not freed costs 4 KiB
				t.Errorf("%d KiB of memory after the first half, %d KiB after the second", memory[0], memory[1])
			}
			after := p.descriptors()
			for _, kind := range []string{"anon_inode", "other"} {
				if after[kind] != before[kind] {
					t.Errorf("%d descriptors of kind %s, there were %d", after[kind], kind, before[kind])
				}
			}
			p.expectIdle(100 * time.Millisecond)
			good()
		})
	}
}

// Nor is anything left of what hosts do in theirs.
func TestTLSAbuseByHosts(t *testing.T) {
	a := newAuthority(t)
	ec, hard := a.issue("127.0.0.1").config(), a.issueRSA("127.0.0.1").config()
	var met atomic.Int64
	var wellBehaved atomic.Bool
	h := listen(t, "127.0.0.1", func(c *net.TCPConn) {
		n := int(met.Add(1))
		config := ec
		if n%3 == 0 {
			config = hard
		}
		if n%2 == 0 {
			config = only(tls.VersionTLS12, config)
		}
		var under net.Conn = mangled(c, n)
		if wellBehaved.Load() {
			under = c
		}
		s := tls.Server(under, config)
		in := bufio.NewReader(s)
		for {
			if _, err := http.ReadRequest(in); err != nil {
				return
			}
			if _, err := io.WriteString(s, hello); err != nil {
				return
			}
		}
	})
	const ms = 400 // good hosts are retried until they are in time
	p := startHTTP(t, setup{hosts: endpoints(h), settings: settings{
		"connect_timeout": ms, "proxy_read_timeout": ms, "upstream_keepalive": 2,
	}}.toTLS(settings{"proxy_tls_verify": true, "proxy_tls_ca_path": a.path}))
	before := p.descriptors()
	c := p.client()
	statuses := map[int]int{}
	var mu sync.Mutex
	var asking sync.WaitGroup
	for range 64 {
		asking.Go(func() {
			for range times(1000, 10_000) / 64 {
				res, err := c.Get(p.url("/"))
				if err != nil {
					t.Error(err)
					return
				}
				_, err = io.Copy(io.Discard, res.Body)
				_ = res.Body.Close()
				if err != nil {
					res.StatusCode = 0 // the host's response was truncated in its body
				}
				mu.Lock()
				statuses[res.StatusCode]++
				mu.Unlock()
			}
		})
	}
	asking.Wait()
	t.Logf("number of responses by status: %v", statuses)
	for status := range statuses {
		if !slices.Contains([]int{0, 200, 502, 504}, status) {
			t.Errorf("unexpected status %d", status)
		}
	}
	wellBehaved.Store(true)
	eventually(t, "a good host answers", func() bool {
		res, _ := p.get(c, "/")
		return res.StatusCode == 200
	})
	c.CloseIdleConnections()
	p.awaitSockets(t, "the sockets are closed", func(n int) bool { return n <= before["socket"]+2*runtime.NumCPU() }) // idle connections to hosts may stay
	if after := p.descriptors(); after["anon_inode"] != before["anon_inode"] || after["other"] != before["other"] {
		t.Errorf("descriptors %v, there were %v", after, before)
	}
}
