package main_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// hostsWith returns entries for hosts; the nth host has the nth keys.
func hostsWith(hosts []*host, keys ...settings) []any {
	list := make([]any, len(hosts))
	for i, h := range hosts {
		entry := settings{"host": h.Host, "port": h.Port}
		for k, v := range keys[i] {
			entry[k] = v
		}
		list[i] = entry
	}
	return list
}

// group returns a setup's settings for a group with these hosts and keys, and with three workers if the setup has workers.
func group(hosts []any, keys settings) settings {
	g := settings{"hosts": hosts}
	for k, v := range keys {
		g[k] = v
	}
	return settings{"servers": settings{"backend": g}, "workers_num": 3}
}

// Weights hold exactly over all workers.
func TestWeights(t *testing.T) {
	t.Parallel()
	modes(t, func(t *testing.T, multi bool) {
		p := start(t, setup{multi: multi, settings: group(hostsWith(letteredHosts(t, 3), settings{"weight": 3}, settings{}, settings{"weight": 0}), nil)})
		got := map[string]int{}
		for range 40 {
			c, letter := p.visit()
			got[letter]++
			_ = c.Close()
		}
		if got["A"] != 30 || got["B"] != 10 {
			t.Errorf("40 sessions with weights 3, 1, 0 were distributed %v", got)
		}
	})
}

// A backup serves while the other hosts cannot.
func TestBackup(t *testing.T) {
	t.Parallel()
	hosts := letteredHosts(t, 3)
	p := start(t, setup{settings: group(hostsWith(hosts, settings{"backup": true}, settings{}, settings{}), nil)})
	for range 6 {
		if _, letter := p.visit(); letter == "A" {
			t.Error("the backup was used while other hosts serve")
		}
	}
	p.rewrite(setup{settings: group(append(hostsWith(hosts[:1], settings{"backup": true}), refusing(t)), nil)})
	p.mustOrder("reload")
	for range 3 {
		if _, letter := p.visit(); letter != "A" {
			t.Errorf("host %s was used while only the backup serves", letter)
		}
	}
}

// Over all workers, no host has more concurrent sessions than max_conns and no more clients wait than the queue allows. Workers that are killed while clients
// connect, wait and are refused give their places back.
func TestMaxConnsOverWorkers(t *testing.T) {
	t.Parallel()
	// All workers are killed at once, several times. The pause before a restart grows with each death, so killing them one by one would take half an hour.
	workers, generations := times(3, 20), times(2, 10)
	most, places := workers, workers
	s := setup{multi: true, settings: group(hostsWith(letteredHosts(t, 2), settings{}, settings{}),
		settings{"max_conns": most, "queue": settings{"size": places, "timeout": 2 * patience.Milliseconds()}})}
	s.settings["workers_num"], s.settings["reactors_num"] = workers, 1
	p := start(t, s)
	for n := range generations {
		p.awaitServing((n + 1) * workers)
		p.expectCapacity(2*most, places)
		var served atomic.Int64
		stop := make(chan struct{})
		var clients sync.WaitGroup
		for range 2*most + places + workers {
			clients.Go(func() { p.runShortSessions(stop, &served) })
		}
		goal := int64(10 * most)
		eventually(t, "clients are served", func() bool { return served.Load() > goal })
		for _, pid := range p.workers() {
			if err := unix.Kill(pid, unix.SIGKILL); err != nil {
				t.Fatal(err)
			}
		}
		close(stop)
		clients.Wait()
	}
	p.awaitServing((generations + 1) * workers)
	p.expectCapacity(2*most, places)
	t.Logf("%d workers were killed", generations*workers)
}

// runShortSessions runs one short session after another until stop is closed.
func (p *proxy) runShortSessions(stop <-chan struct{}, served *atomic.Int64) {
	for {
		select {
		case <-stop:
			return
		case <-time.After(rand.N(20 * time.Millisecond)):
		}
		c, err := net.DialTimeout("tcp4", fmt.Sprintf("127.0.0.1:%d", p.port), patience)
		if err != nil {
			p.t.Error(err)
			return
		}
		_ = c.SetDeadline(time.Now().Add(patience))
		if n, _ := c.Read(make([]byte, 1)); n > 0 {
			served.Add(1)
			time.Sleep(rand.N(20 * time.Millisecond))
		}
		_ = c.Close()
	}
}

// expectCapacity demands that exactly this many sessions are possible at once, half of them at either host, and that exactly this many clients may wait.
func (p *proxy) expectCapacity(sessions, places int) {
	p.t.Helper()
	eventually(p.t, "the expected number of sessions and places is free", func() bool {
		var held []net.Conn
		heard := make(chan string, sessions+places+1)
		come := func(n int) {
			for range n {
				c := p.dial()
				held = append(held, c)
				go func() {
					letter := make([]byte, 1)
					n, err := c.Read(letter)
					if errors.Is(err, os.ErrDeadlineExceeded) {
						p.t.Error("a client got nothing")
					}
					heard <- string(letter[:n])
				}()
			}
		}
		leave := func(n int) {
			for _, c := range held[:n] {
				_ = c.Close()
			}
			held = held[n:]
		}
		defer func() { leave(len(held)) }()
		come(sessions)
		got := map[string]int{}
		early := time.After(time.Second)
		for range sessions {
			select {
			case letter := <-heard:
				got[letter]++
			case <-early: // some clients still wait for places
				return false
			}
		}
		if got[""] > 0 {
			return false
		}
		if got["A"] > sessions/2 || got["B"] > sessions/2 {
			p.t.Fatalf("%d sessions were distributed %v", sessions, got)
		}
		come(places + 1)
		if letter := <-heard; letter != "" {
			p.t.Errorf("a client that had to wait got host %s", letter)
		}
		refused := 0
		for range places { // these clients get places when others leave
			leave(1)
			if <-heard == "" {
				refused++
			}
		}
		return refused == 0
	})
}

// A drained host keeps its sessions and gets no new ones. The log says when the last one has ended, also if that session began under an earlier
// configuration.
func TestDrainedHost(t *testing.T) {
	t.Parallel()
	modes(t, func(t *testing.T, multi bool) {
		hosts := letteredHosts(t, 2)
		s := setup{multi: multi, settings: group(hostsWith(hosts, settings{}, settings{}), nil)}
		p := start(t, s)
		var held []*net.TCPConn
		for range 4 {
			c, letter := p.visit()
			if letter == "A" {
				held = append(held, c)
			}
		}
		s.settings = group(hostsWith(hosts, settings{"drain": true}, settings{}), nil)
		p.rewrite(s)
		p.mustOrder("reload")
		for range 4 {
			if _, letter := p.visit(); letter != "B" {
				t.Errorf("host %s got a new session", letter)
			}
		}
		for i, c := range held {
			expectEcho(t, c, "still there")
			if p.stderr.count("a drained host has no clients left") > 0 {
				t.Errorf("the log said that no clients were left while %d sessions were", len(held)-i)
			}
			endSession(t, c)
		}
		p.await(p.stderr, fmt.Sprintf(`msg="upstream: a drained host has no clients left".* group=backend host=127.0.0.1:%d`, hosts[0].Port))
	})
}

// A host that fails its clients is skipped by all workers, also after a reload and an upgrade.
func TestEjectionIsKnownToAll(t *testing.T) {
	t.Parallel()
	bad := listen(t, "127.0.0.1", func(c *net.TCPConn) {
		_, _ = c.Read(make([]byte, 1)) // the connection is accepted, so the failure is not one of connecting
		reset(c)
	})
	s := setup{multi: true, prepare: inProcessGroup(t), settings: group(hostsWith([]*host{bad, letteredHosts(t, 1)[0]}, settings{}, settings{}),
		settings{"passive_check": settings{"failures": 3, "eject": "10m"}})}
	p := start(t, s)
	visits := func(n int) (failed int) {
		for range n {
			c := p.dial()
			send(t, c, "?")
			if n, _ := c.Read(make([]byte, 1)); n == 0 {
				failed++
			}
			_ = c.Close()
		}
		return failed
	}
	// A session may begin before all workers know that the previous one failed.
	if n := visits(30); n < 3 || n > 6 {
		t.Errorf("%d of the first sessions failed, want 3", n)
	}
	p.await(p.stderr, `msg="upstream: a host fails its clients and is tried last \(passive_check\)".* reason="?.+ failed=3 `)
	p.mustOrder("reload")
	if n := visits(10); n > 0 {
		t.Errorf("after a reload %d sessions failed, want 0", n)
	}
	p.mustOrder("upgrade")
	successor := p.awaitSuccessor(1)
	if n := visits(10); n > 0 {
		t.Errorf("after an upgrade %d sessions failed, want 0", n)
	}
	p.stopSuccessor(successor)
}
