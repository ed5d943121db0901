package main_test

import (
	"cmp"
	"fmt"
	"net"
	"slices"
	"testing"

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

// No host has more sessions at once than it may have, over all workers; and a worker that is killed takes no place with it.
func TestMaxConnsOverWorkers(t *testing.T) {
	t.Parallel()
	const most = 3
	p := start(t, setup{multi: true, settings: group(hostsWith(lettered(t, 2), settings{}, settings{}), settings{"max_conns": most})})
	workers := p.workers()
	// fill begins sessions until all places are taken, and one more.
	fill := func() (held []net.Conn) {
		t.Helper()
		got := map[string]int{}
		for range 2*most + 1 {
			c := p.dial()
			letter := make([]byte, 1)
			if n, _ := c.Read(letter); n == 0 {
				continue
			}
			got[string(letter)]++
			held = append(held, c)
		}
		if got["A"] > most || got["B"] > most {
			t.Fatalf("of %d sessions hosts got %v", 2*most+1, got)
		}
		return held
	}
	// refill waits until there are as many places as ever.
	refill := func(held []net.Conn) []net.Conn {
		t.Helper()
		eventually(t, "no place is lost", func() bool {
			for _, c := range held {
				_ = c.Close()
			}
			held = fill()
			return len(held) == 2*most
		})
		return held
	}
	held := fill()
	if len(held) != 2*most {
		t.Fatalf("there is room for %d sessions, want %d", len(held), 2*most)
	}
	held = refill(held)
	victim := slices.MaxFunc(workers, func(a, b int) int { return cmp.Compare(len(p.clientsOf(a)), len(p.clientsOf(b))) })
	if err := unix.Kill(victim, unix.SIGKILL); err != nil {
		t.Fatal(err)
	}
	p.await(p.stderr, `msg="worker ended"`)
	refill(held)
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
