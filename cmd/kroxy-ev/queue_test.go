package main_test

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// queueOf is a configuration with a group that serves one client at a time while size clients may wait, on so many loops.
func queueOf(size, loops int, hosts ...settings) settings {
	s := groupOf("round_robin", settings{"max_conns": 1, "queue": settings{"size": size, "timeout": patience.Milliseconds()}}, hosts...)
	s["workers_num"], s["reactors_num"] = loops, loops
	return s
}

// hostEntry returns the entry of a host.
func hostEntry(e endpoint) settings { return settings{"host": e.Host, "port": e.Port} }

// dialAndSend connects a client and sends word. The proxy, or a worker that is being killed, may have ended the connection already; what the test expects
// next tells.
func (p *proxy) dialAndSend(word string) *net.TCPConn {
	p.t.Helper()
	c := p.dial()
	_ = write(c, word)
	return c
}

// Clients of a full group are served in the order of their arrival. Those beyond the queue are disconnected at once, and those that leave give up their
// place.
func TestQueueOfStreams(t *testing.T) {
	t.Parallel()
	h := listen(t, "127.0.0.1", nil)
	p := start(t, setup{settings: queueOf(3, 1, hostEntry(h.endpoint))})
	clients := []*net.TCPConn{p.dialAndSend("0")}
	serving := h.accept()
	expect(t, serving, "0")
	for i := 1; i <= 3; i++ {
		clients = append(clients, p.dialAndSend(strconv.Itoa(i)))
	}
	expectClosed(t, p.dialAndSend("4"))
	p.await(p.stderr, `msg="stream: session closed" reason="every host is full" .*the queue is full`)
	reset(clients[2])
	for i, c := range clients {
		if i == 2 {
			continue
		}
		if i > 0 {
			serving = h.accept()
			expect(t, serving, strconv.Itoa(i))
		}
		if len(h.conns) > 0 {
			t.Errorf("the host has another client besides %d", i)
		}
		_ = c.Close()
		_ = serving.Close()
	}
}

// A killed worker's clients give their places back, in the queue and at hosts.
func TestKilledWorkerGivesPlacesBack(t *testing.T) {
	t.Parallel()
	h := listen(t, "127.0.0.1", echo)
	p := start(t, setup{settings: queueOf(1, 2, hostEntry(h.endpoint)), multi: true})
	first := p.dialAndSend("a")
	expect(t, first, "a")
	// gets reports whether a client gets a byte soon, and whether the connection then still exists.
	gets := func(c net.Conn) (something, there bool) {
		_ = c.SetReadDeadline(time.Now().Add(500 * time.Millisecond))
		n, err := c.Read(make([]byte, 1))
		return n > 0, errors.Is(err, os.ErrDeadlineExceeded)
	}
	workers := p.workers()
	holder := awaitOwner(t, first, workers)
	var other int
	eventually(t, "a client of another worker than the first one's waits, and no other may", func() bool {
		waits := p.dialAndSend("b")
		if _, there := gets(waits); there { // otherwise the client before it had still its place in the queue
			if other = owner(t, waits, workers); other != 0 && other != holder {
				more := p.dialAndSend("c")
				if _, there := gets(more); !there {
					if _, there := gets(waits); there {
						return true
					}
				}
				reset(more)
			}
		}
		reset(waits)
		return false
	})
	if err := unix.Kill(other, unix.SIGKILL); err != nil {
		t.Fatal(err)
	}
	eventually(t, "a place in the queue is free", func() bool {
		c := p.dialAndSend("d")
		_, there := gets(c)
		reset(c)
		return there
	})
	if err := unix.Kill(holder, unix.SIGKILL); err != nil {
		t.Fatal(err)
	}
	eventually(t, "a place at the host is free", func() bool {
		c := p.dialAndSend("e")
		something, _ := gets(c)
		reset(c)
		return something
	})
}

// hostProcess is the environment variable that turns the test's program into a host that can be killed. Its value is the host's address.
const hostProcess = "KROXY_EV_TEST_HOST"

// beHost echoes at addr until the process is killed.
func beHost(addr string) error {
	ln, err := net.Listen("tcp", addr)
	if err != nil {
		return err
	}
	fmt.Println("listening")
	for {
		c, err := ln.Accept()
		if err != nil {
			return err
		}
		go func() {
			echo(c.(*net.TCPConn))
			_ = c.Close()
		}()
	}
}

// A killed host fails the sessions that were connected to it, and no others.
func TestKilledStreamHost(t *testing.T) {
	t.Parallel()
	modes(t, func(t *testing.T, multi bool) {
		stays, goes := listen(t, "127.0.0.1", echo), endpoint{"127.0.0.1", reservePort(t)}
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), hostProcess+"="+net.JoinHostPort(goes.Host, strconv.Itoa(goes.Port)))
		said := newTranscript()
		cmd.Stdout = said
		cmd.SysProcAttr = &unix.SysProcAttr{Pdeathsig: unix.SIGKILL}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			_ = cmd.Process.Kill()
			_ = cmd.Wait()
		})
		eventually(t, "the host listens", func() bool { return strings.Contains(said.String(), "listening") })
		p := start(t, setup{hosts: []endpoint{stays.endpoint, goes}, multi: multi, settings: settings{"workers_num": 2, "reactors_num": 2}})
		const clients = 8
		var all, failed atomic.Int64
		stop := make(chan struct{})
		var load sync.WaitGroup
		for range clients {
			load.Go(func() {
				for {
					select {
					case <-stop:
						return
					default:
					}
					if p.tryEcho("word") != nil {
						failed.Add(1)
					}
					all.Add(1)
				}
			})
		}
		passes := func() {
			goal := all.Load() + 100
			eventually(t, "further sessions were made", func() bool { return all.Load() >= goal })
		}
		passes()
		if n := failed.Load(); n > 0 {
			t.Errorf("%d sessions failed while both hosts were up", n)
		}
		if err := cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		p.await(p.stderr, `msg="upstream: a host is down and is tried last" .*host=`+net.JoinHostPort(goes.Host, strconv.Itoa(goes.Port)))
		passes()
		close(stop)
		load.Wait()
		// The host may have accepted a session while it was being killed.
		if n := failed.Load(); n > 2*clients {
			t.Errorf("%d of %d sessions failed, with %d clients", n, all.Load(), clients)
		}
	})
}

// tryEcho runs a session in which the host echoes word.
func (p *proxy) tryEcho(word string) error {
	c, err := p.tryDial()
	if err != nil {
		return err
	}
	defer c.Close()
	if _, err := c.Write([]byte(word)); err != nil {
		return err
	}
	b := make([]byte, len(word))
	for n := 0; n < len(b); {
		m, err := c.Read(b[n:])
		if err != nil {
			return err
		}
		n += m
	}
	return nil
}

// A host that accepts sessions and resets them is soon ejected, and gets none for a while.
func TestStreamHostThatResets(t *testing.T) {
	t.Parallel()
	good := listen(t, "127.0.0.1", echo)
	bad := listen(t, "127.0.0.1", func(c *net.TCPConn) {
		_, _ = c.Read(make([]byte, 4))
		_ = c.SetLinger(0)
	})
	p := start(t, setup{settings: groupOf("round_robin", settings{
		"passive_check": settings{"failures": 3, "window": patience.Milliseconds(), "eject": 2 * patience.Milliseconds()},
	}, hostEntry(bad.endpoint), hostEntry(good.endpoint))})
	failed := 0
	for range 40 {
		if p.tryEcho("word") != nil {
			failed++
		}
	}
	// A client may see its reset and connect again on another loop before the failure counts.
	if failed < 3 || failed > 6 {
		t.Errorf("%d sessions failed, want 3 or a few more", failed)
	}
	p.await(p.stderr, `msg="upstream: a host fails its clients and is tried last \(passive_check\)" group=backend host=`+
		net.JoinHostPort(bad.Host, strconv.Itoa(bad.Port))+` reason="host connection failed" failed=\d for=1m0s`)
}
