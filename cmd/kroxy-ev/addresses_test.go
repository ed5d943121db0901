package main_test

import (
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/net/dns/dnsmessage"

	"kroxy-ev/engine/enginetest"
)

// serveOnAddresses starts a host on each of the addresses, all on the same port. Each answers with its letter, A for the first. End closes one of them.
func serveOnAddresses(t *testing.T, addrs ...string) (port int, end func(i int)) {
	t.Helper()
	for range 50 {
		var all []net.Listener
		for _, addr := range addrs {
			needAddress(t, addr, addr)
			ln, err := net.Listen("tcp", net.JoinHostPort(addr, fmt.Sprint(port)))
			if err != nil {
				break
			}
			all, port = append(all, ln), ln.Addr().(*net.TCPAddr).Port
		}
		if len(all) < len(addrs) { // the port is in use on one of the addresses
			for _, ln := range all {
				_ = ln.Close()
			}
			port = 0
			continue
		}
		for i, ln := range all {
			t.Cleanup(func() { _ = ln.Close() })
			go func() {
				for {
					c, err := ln.Accept()
					if err != nil {
						return
					}
					go func() {
						defer c.Close()
						_, _ = io.WriteString(c, string(rune('A'+i)))
					}()
				}
			}()
		}
		return port, func(i int) { _ = promptListener{all[i].(*net.TCPListener)}.Close() }
	}
	t.Fatal("found no port that is free on all addresses")
	return 0, nil
}

// countLetters connects n times and counts the answers by letter.
func (p *proxy) countLetters(n int) map[string]int {
	p.t.Helper()
	count := map[string]int{}
	for range n {
		c, letter := p.visit()
		_ = c.Close()
		count[letter]++
	}
	return count
}

// Connections to a name use all its addresses in turn. An address that fails is skipped, but for an occasional probe.
func TestAllAddressesOfAName(t *testing.T) {
	t.Parallel()
	a, b, c := ownAddress(t), ownAddress(t), ownAddress(t)
	port, end := serveOnAddresses(t, a, b, c)
	// Nothing listens on the IPv6 address, as on a machine without IPv6.
	prepare := withFile(t, "/etc/hosts", fmt.Sprintf("%s a.test\n%s a.test\n%s a.test\n::1 a.test\n", a, b, c))
	p := start(t, setup{hosts: []endpoint{{"a.test", port}}, prepare: prepare})
	begin := time.Now()
	// The connection that finds the IPv6 address unreachable goes on to another address, and so do later probes of that address.
	if got := p.countLetters(300); got["A"] < 90 || got["B"] < 90 || got["C"] < 90 || got["A"]+got["B"]+got["C"] != 300 {
		t.Errorf("300 connections went to %v, want at least 90 to each of A, B and C", got)
	}
	end(1)
	if got := p.countLetters(300); got["A"] < 140 || got["C"] < 140 || got["A"]+got["C"] != 300 {
		t.Errorf("300 connections went to %v, with B closed", got)
	}
	// Probes are a second or more apart.
	took := time.Since(begin)
	p.stop()
	failures := countLines(p.stderr.String(), "an address of a host cannot be reached, but another can")
	if most := 2 * (int(took.Seconds()) + 2); failures < 2 || failures > most {
		t.Errorf("%d connections failed, want 2 to %d", failures, most)
	}
}

// dnsZone is what a DNS server knows.
type dnsZone struct {
	mu    sync.Mutex
	addrs [][4]byte
	ttl   uint32
	dead  bool
	asked int // queries for IPv4 addresses
}

func (z *dnsZone) set(ttl uint32, addrs ...[4]byte) {
	z.mu.Lock()
	defer z.mu.Unlock()
	z.ttl, z.addrs = ttl, addrs
}

func (z *dnsZone) fail(dead bool) {
	z.mu.Lock()
	defer z.mu.Unlock()
	z.dead = dead
}

func (z *dnsZone) count() int {
	z.mu.Lock()
	defer z.mu.Unlock()
	return z.asked
}

func (z *dnsZone) answer(query []byte, _ bool) [][]byte {
	z.mu.Lock()
	defer z.mu.Unlock()
	var m dnsmessage.Message
	if m.Unpack(query) != nil || len(m.Questions) != 1 {
		return nil
	}
	q := m.Questions[0]
	m.Response, m.Additionals = true, nil
	switch {
	case z.dead:
		m.RCode = dnsmessage.RCodeServerFailure
	case strings.HasSuffix(q.Name.String(), ".zone.test."):
		if q.Type != dnsmessage.TypeA {
			break
		}
		z.asked++
		for _, addr := range z.addrs {
			m.Answers = append(m.Answers, dnsmessage.Resource{
				Header: dnsmessage.ResourceHeader{Name: q.Name, Class: q.Class, TTL: z.ttl},
				Body:   &dnsmessage.AResource{A: addr},
			})
		}
	default:
		m.RCode = dnsmessage.RCodeNameError
	}
	b, err := m.Pack()
	if err != nil {
		return nil
	}
	return [][]byte{b}
}

// A DNS answer is used for its TTL, and for longer while DNS does not answer.
func TestTTLOfAName(t *testing.T) {
	t.Parallel()
	modes(t, func(t *testing.T, multi bool) {
		port, _ := serveOnAddresses(t, "127.0.0.1", "127.0.0.2")
		first, second := [4]byte{127, 0, 0, 1}, [4]byte{127, 0, 0, 2}
		z := &dnsZone{}
		z.set(1, first)
		at := ownAddress(t) // resolv.conf cannot name a port
		enginetest.NameServer(t, at+":53", z.answer)
		prepare := withFile(t, "/etc/resolv.conf", "nameserver "+at+"\noptions timeout:10 attempts:2\n")
		p := start(t, setup{hosts: []endpoint{{"a.zone.test", port}}, prepare: prepare, multi: multi})
		goes := func(to string) bool { return p.countLetters(1)[to] == 1 }
		if !goes("A") {
			t.Fatal("the first connection did not go to the first address")
		}
		change := func(to string, addrs ...[4]byte) {
			t.Helper()
			z.set(1, addrs...)
			eventually(t, "connections go to "+to, func() bool { return goes(to) })
		}
		change("B", second)
		z.fail(true)
		p.await(p.stderr, "a host's name cannot be resolved")
		if got := p.countLetters(20); got["B"] != 20 {
			t.Errorf("without an answer, 20 connections went to %v", got)
		}
		z.fail(false)
		change("A", first)

		// The last answer with a short TTL expires and is replaced; this one, with a long TTL, is kept.
		z.set(300, second)
		eventually(t, "connections go to B", func() bool { return goes("B") })
		asked := z.count()
		z.set(1, first)
		for begin := time.Now(); time.Since(begin) < 3*time.Second; time.Sleep(100 * time.Millisecond) {
			if !goes("B") {
				t.Fatal("an answer was not used for its TTL")
			}
		}
		if n := z.count() - asked; n > 0 {
			t.Errorf("%d lookups within the TTL", n)
		}
	})
}
