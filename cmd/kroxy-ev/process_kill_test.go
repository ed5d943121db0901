package main_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// keptConn is a connection over which requests are made one after the other.
type keptConn struct {
	worker int
	err    error
	c      interface{ Close() error }
}

func (p *proxy) awaitServing(n int) {
	p.t.Helper()
	eventually(p.t, fmt.Sprintf("%d workers have begun to serve", n), func() bool { return p.stderr.count(`msg="worker serving"`) >= n })
}

func TestKilledWorkers(t *testing.T) {
	p := startHTTP(t, setup{hosts: endpoints(serve(t, "127.0.0.1", versatileHost)), multi: true, settings: settings{"workers_num": 4}})
	p.awaitServing(4)
	l := loadWith(p, 4)
	l.awaitRequests(t, 100)
	before := p.descriptors()
	var held, requests int
	var slowest time.Duration
	n := times(6, 50)
	for i := range n {
		k := killOne(t, p, l, 4+i+1, &slowest)
		requests, held = requests+k.requests, held+k.held
	}
	for _, m := range l.end() {
		t.Errorf("a request failed: %v", m.err)
	}
	var after map[string]int
	eventually(t, "the master has as many files open as before", func() bool {
		after = p.descriptors()
		return fmt.Sprint(before) == fmt.Sprint(after)
	})
	t.Logf("%d kills, %d requests over new connections of which %d were in a killed worker's hands, %d over kept-alive ones; the slowest successor at first death served after %v; the master's files %v, then %v",
		n, l.requests, held, requests, slowest, before, after)
}

// killResult is what was seen while a worker was killed.
type killResult struct {
	requests int // over kept-alive connections
	held     int // connections for one request each that failed because the killed worker had them
}

// killOne kills a worker while requests are made over kept-alive connections. Serving is how many workers will have started in all once its successor serves.
func killOne(t *testing.T, p *proxy, l *load, serving int, slowest *time.Duration) (seen killResult) {
	t.Helper()
	workers := p.workers()
	victim := workers[serving%len(workers)]
	conns := make([]*keptConn, 12)
	quit := make(chan struct{})
	var wg sync.WaitGroup
	var mu sync.Mutex
	for i := range conns {
		c := p.dial()
		k := &keptConn{c: c}
		conns[i] = k
		in := bufio.NewReader(c)
		if err := askName(c, in, ""); err != nil {
			t.Fatalf("over a new connection: %v", err)
		}
		k.worker = owner(t, c, workers)
		wg.Go(func() {
			for k.err == nil {
				select {
				case <-quit:
					return
				case <-time.After(time.Millisecond):
					k.err = askName(c, in, "")
					mu.Lock()
					seen.requests++
					mu.Unlock()
				}
			}
		})
	}
	// Which connections a worker has is certain only while the worker is stopped.
	if err := unix.Kill(victim, unix.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the worker is stopped", func() bool { return stopped(t, victim) })
	inHands := p.clientsOf(victim)
	begun := time.Now()
	if err := unix.Kill(victim, unix.SIGKILL); err != nil {
		t.Fatal(err)
	}
	p.awaitServing(serving)
	if took := time.Since(begun); strings.HasSuffix(p.lastPause(), "=0s") {
		*slowest = max(*slowest, took)
	}
	l.awaitRequests(t, 100)
	close(quit)
	wg.Wait()
	for _, k := range conns {
		_ = k.c.Close()
		if k.err != nil && k.worker != victim {
			t.Errorf("a kept-alive connection of worker %d failed though %d was killed: %v", k.worker, victim, k.err)
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	before := len(l.failures)
	l.failures = slices.DeleteFunc(l.failures, func(m failure) bool { return m.begun.Before(begun) && inHands[m.client] })
	seen.held = before - len(l.failures)
	return seen
}

func (p *proxy) lastPause() string {
	all := regexp.MustCompile(`restart_in=\S+`).FindAllString(p.stderr.String(), -1)
	if len(all) == 0 {
		return ""
	}
	return all[len(all)-1]
}

// awaitCounts waits until the status says this of the proxy's only server: how many clients are active, of how many so far.
func (p *proxy) awaitCounts(pattern string) {
	p.t.Helper()
	eventually(p.t, "the status says "+pattern, func() bool {
		status, out, errs := p.steer("status", "--json")
		var s struct {
			Servers []struct{ Active, Connections int }
		}
		if err := json.Unmarshal([]byte(out), &s); err != nil || status != 0 || len(s.Servers) != 1 {
			p.t.Fatalf("exit status %d: %v: %s%s", status, err, out, errs)
		}
		return regexp.MustCompile("^" + pattern + "$").MatchString(fmt.Sprintf("%d active of %d", s.Servers[0].Active, s.Servers[0].Connections))
	})
}

// What a worker has counted survives it, but its gauges do not: clients of a killed worker no longer count as connected.
func TestKilledWorkerHoldsNothing(t *testing.T) {
	t.Parallel()
	p := start(t, setup{hosts: endpoints(listen(t, "127.0.0.1", echo)), multi: true, settings: settings{"workers_num": 1}})
	p.awaitServing(1)
	for n := range 2 {
		held := p.dial()
		expectEcho(t, held, "hello")
		p.awaitCounts(fmt.Sprintf("1 active of %d", n+1))
		if err := unix.Kill(p.workers()[0], unix.SIGKILL); err != nil {
			t.Fatal(err)
		}
		expectClosed(t, held)
		p.awaitServing(n + 2)
		p.awaitCounts(fmt.Sprintf("0 active of %d", n+1))
	}
}

// All workers know which host has the fewest sessions, and sessions of a killed worker no longer count.
func TestLeastConnAcrossWorkers(t *testing.T) {
	t.Parallel()
	const hosts = 3
	p := start(t, setup{hosts: endpoints(letteredHosts(t, hosts)...), algorithm: "least_conn", multi: true, settings: settings{"workers_num": 4}})
	p.awaitServing(4)
	type session struct {
		worker int
		host   string
		close  func() error
	}
	var open []session
	workers := p.workers()
	counts := func() (n [hosts]int) {
		for _, s := range open {
			n[s.host[0]-'A']++
		}
		return n
	}
	visit := func(n int) {
		t.Helper()
		for range n {
			c, host := p.visit()
			open = append(open, session{owner(t, c, workers), host, c.Close})
		}
		if n := counts(); slices.Max(n[:])-slices.Min(n[:]) > 1 {
			t.Errorf("the hosts have %v sessions, want an even distribution", n)
		}
	}
	visit(41)
	for range times(2, 10) {
		victim, served := open[0].worker, p.stderr.count(`msg="worker serving"`)
		if err := unix.Kill(victim, unix.SIGKILL); err != nil {
			t.Fatal(err)
		}
		p.awaitServing(served + 1)
		workers = p.workers()
		open = slices.DeleteFunc(open, func(s session) bool { return s.worker == victim })
		left := counts()
		missing := 0
		for _, n := range left {
			missing += slices.Max(left[:]) - n
		}
		visit(missing + 5) // the first ones level the counts, the others keep them level
	}
}

// A worker that is stopped is replaced, as is one whose loop hangs.
func TestStoppedWorker(t *testing.T) {
	t.Parallel()
	h := listen(t, "127.0.0.1", echo)
	p := start(t, setup{hosts: endpoints(h), multi: true, settings: settings{"workers_num": 2, "watchdog_timeout": ample}})
	p.awaitServing(2)
	victim := p.workers()[0]
	begun := time.Now()
	if err := unix.Kill(victim, unix.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	p.awaitLog(`msg="worker ended".*pid=` + strconv.Itoa(victim) + `.*no heartbeat for 4s`)
	notBefore(t, begun, ample*700/1000*time.Millisecond)
	p.awaitServing(3)
	for range 8 {
		expectEcho(t, p.dial(), "hello")
	}
}

// When the master is killed, no worker keeps the port.
func TestKilledMaster(t *testing.T) {
	t.Parallel()
	h := listen(t, "127.0.0.1", echo)
	s := setup{hosts: endpoints(h), multi: true, prepare: inProcessGroup(t), settings: settings{"workers_num": 3}}
	p := launchSetup(t, reservePort(t), s)
	p.awaitServing(3)
	workers := p.workers()
	held := p.dial()
	expectEcho(t, held, "hello")
	p.signal(os.Kill)
	eventually(t, "all workers have left", func() bool { return !slices.ContainsFunc(workers, alive) })
	expectClosed(t, held)
	p.awaitRefusal()
}
