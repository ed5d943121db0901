package main_test

import (
	"fmt"
	"net"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// hostsWith are entries for hosts, each with these keys.
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

// group is a setup's settings for a group that has these hosts and keys, with several workers if there are any.
func group(hosts []any, keys settings) settings {
	g := settings{"hosts": hosts}
	for k, v := range keys {
		g[k] = v
	}
	return settings{"servers": settings{"backend": g}, "workers_num": 3}
}

// Weights hold exactly, over all workers.
func TestWeights(t *testing.T) {
	t.Parallel()
	modes(t, func(t *testing.T, multi bool) {
		p := start(t, setup{multi: multi, settings: group(hostsWith(lettered(t, 3), settings{"weight": 3}, settings{}, settings{"weight": 0}), nil)})
		got := map[string]int{}
		for range 40 {
			c, letter := p.visit()
			got[letter]++
			_ = c.Close()
		}
		if got["A"] != 30 || got["B"] != 10 {
			t.Errorf("40 sessions with weights 3, 1, 0 were spread %v", got)
		}
	})
}

// A backup serves while the others cannot.
func TestBackup(t *testing.T) {
	t.Parallel()
	hosts := lettered(t, 3)
	p := start(t, setup{settings: group(hostsWith(hosts, settings{"backup": true}, settings{}, settings{}), nil)})
	for range 6 {
		if _, letter := p.visit(); letter == "A" {
			t.Error("the backup was used while others serve")
		}
	}
	p.rewrite(setup{settings: group(append(hostsWith(hosts[:1], settings{"backup": true}), refusing(t)), nil)})
	p.mustOrder("reload")
	for range 3 {
		if _, letter := p.visit(); letter != "A" {
			t.Errorf("host %s was used when only the backup serves", letter)
		}
	}
}

// No host has more sessions at once than it may have, and no more clients wait than may, over all workers; and a worker that is
// killed takes no place with it.
func TestMaxConnsOverWorkers(t *testing.T) {
	t.Parallel()
	const most, places = 3, 2
	p := start(t, setup{multi: true, settings: group(hostsWith(lettered(t, 2), settings{}, settings{}),
		settings{"max_conns": most, "queue": settings{"size": places, "timeout": patience.Milliseconds()}})})
	// fill begins as many sessions as there may be, and then has as many clients come as may wait, and one more. It returns false if not
	// all places are free yet.
	fill := func() bool {
		t.Helper()
		var held []net.Conn
		first := make(chan string)
		come := func() {
			c := p.dial()
			held = append(held, c)
			go func() {
				letter := make([]byte, 1)
				n, _ := c.Read(letter)
				first <- string(letter[:n])
			}()
		}
		leave := func(n int) {
			for _, c := range held[:n] {
				_ = c.Close()
			}
			held = held[n:]
		}
		for range 2 * most {
			come()
		}
		got := map[string]int{}
		early := time.After(time.Second)
		for range 2 * most {
			select {
			case letter := <-first:
				got[letter]++
			case <-early: // some wait, for places that are not free yet
				waiting := len(held) - got["A"] - got["B"] - got[""]
				leave(len(held))
				for range waiting {
					<-first
				}
				return false
			}
		}
		if got["A"] > most || got["B"] > most {
			t.Fatalf("of %d sessions hosts got %v", 2*most, got)
		}
		for range places + 1 {
			come()
		}
		refused := 0
		if letter := <-first; letter != "" {
			t.Errorf("a client who had to wait got host %s", letter)
		} else {
			refused++
		}
		for range places { // they get places when others leave
			leave(1)
			if letter := <-first; letter == "" {
				refused++
			}
		}
		leave(len(held))
		return refused == 1 && got[""] == 0
	}
	eventually(t, "all places are there", fill)
	for n := range times(2, 200) {
		workers := p.workers()
		c, _ := p.visit()
		if err := unix.Kill(awaitOwner(t, c, workers), unix.SIGKILL); err != nil {
			t.Fatal(err)
		}
		expectClosed(t, c)
		eventually(t, "the worker has a successor", func() bool { return p.stderr.count(`msg="worker serving"`) >= 3+n+1 })
		eventually(t, "no place is lost", fill)
	}
}

// A drained host keeps its sessions and gets no new ones; that the last has ended is said in the log, by the configuration before's.
func TestDrainedHost(t *testing.T) {
	t.Parallel()
	modes(t, func(t *testing.T, multi bool) {
		hosts := lettered(t, 2)
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
				t.Errorf("said while %d sessions were left", len(held)-i)
			}
			leave(t, c)
		}
		p.await(p.stderr, fmt.Sprintf(`msg="upstream: a drained host has no clients left".* group=backend host=127.0.0.1:%d`, hosts[0].Port))
	})
}

// A host that fails its clients is left out by all workers, after a reload and an upgrade too.
func TestEjectionIsKnownToAll(t *testing.T) {
	t.Parallel()
	bad := listen(t, "127.0.0.1", func(c *net.TCPConn) {
		_, _ = c.Read(make([]byte, 1)) // so the connection stands, and it is not for want of one that it fails
		reset(c)
	})
	s := setup{multi: true, prepare: dynasty(t), settings: group(hostsWith([]*host{bad, lettered(t, 1)[0]}, settings{}, settings{}),
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
	// A session may begin before the end of the one before is known to all.
	if n := visits(30); n < 3 || n > 6 {
		t.Errorf("%d of the first sessions failed, want 3", n)
	}
	p.await(p.stderr, `msg="upstream: a host fails its clients and is tried last \(passive_check\)".* reason="?.+ failed=3 `)
	p.mustOrder("reload")
	if n := visits(10); n > 0 {
		t.Errorf("after a reload %d sessions failed", n)
	}
	p.mustOrder("upgrade")
	successor := p.reign(1)
	if n := visits(10); n > 0 {
		t.Errorf("after an upgrade %d sessions failed", n)
	}
	p.endGently(successor)
}
