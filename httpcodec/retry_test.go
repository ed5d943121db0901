package httpcodec

import (
	"bufio"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"kroxy-ev/config"
	"kroxy-ev/engine/enginetest"
)

// retrying makes requests be retried on up to the given number of further hosts after the failures in on.
func retrying(attempts int, on config.RetryOn) func(*flat) {
	return func(s *flat) {
		s.Group.Retries = attempts
		s.Retry = config.Retry{Attempts: attempts, On: on, Buffer: 100}
	}
}

const (
	busyHead = "HTTP/1.1 503 Busy\r\nDate: t\r\n"
	busy     = busyHead + "Content-Length: 4\r\n\r\nbusy"
	putRoot  = "PUT / HTTP/1.1\r\nHost: p\r\n"
)

// A host that fails a request before the client has received anything is replaced by another, if the request may be repeated
// and was kept.
func TestRetry(t *testing.T) {
	t.Parallel()
	var (
		reset  = config.RetryOn{Reset: true}
		status = config.RetryOn{Status: config.Statuses{{Low: 500, High: 503}}}
		all    = config.RetryOn{Reset: true, Timeout: true, Status: config.Statuses{{Low: 503, High: 503}}}
	)
	quick := func(on config.RetryOn) func(*flat) {
		return func(s *flat) { retrying(1, on)(s); s.ProxyReadTimeout = 2 * time.Second }
	}
	put := func(n int) string {
		return putRoot + "Content-Length: " + strconv.Itoa(n) + "\r\n\r\n" + strings.Repeat("x", n)
	}
	chunked := func(n int) string {
		return putRoot + te + "\r\n" + strings.Repeat("5\r\nabcde\r\n", n) + "0\r\nX-Sum: 1\r\n\r\n"
	}
	const expects = putRoot + "Expect: 100-continue\r\nContent-Length: 2\r\n\r\n"
	for _, tc := range []struct {
		name          string
		set           func(*flat)
		in            string
		first, second string // what the hosts reply
		out           string
		ending        string   // of the client's connection, if it ends
		got           []string // what the hosts received
	}{
		{"a reset", retrying(1, reset), getRoot, resets, hi, hi, "", []string{getRoot, getRoot}},
		{"an end", retrying(1, reset), getRoot, closes, hi, hi, "", []string{getRoot, getRoot}},
		{"an end inside the head", retrying(1, reset), getRoot, "HTTP/1.1 200 OK\r\nX-Left: over" + closes, hi, hi, "", []string{getRoot, getRoot}},
		{"nonsense", retrying(1, reset), getRoot, "HTTP/1.1 2000 OK\r\n\r\n", hi, hi, "", []string{getRoot, getRoot}},
		{"a status", retrying(1, status), getRoot, busy, hi, hi, "", []string{getRoot, getRoot}},
		{"a status, its body cut", retrying(1, status), getRoot, busy[:len(busy)-1], hi, hi, "", []string{getRoot, getRoot}},
		{"silence", quick(all), getRoot, halts, hi, hi, "", []string{getRoot, getRoot}},
		{"silence inside the head", quick(all), getRoot, "HTTP/1.1 200" + halts, hi, hi, "", []string{getRoot, getRoot}},
		{"no attempts", retrying(0, all), getRoot, busy, hi, busy, "", []string{getRoot, ""}},
		{"not after a status", retrying(1, reset), getRoot, busy, hi, busy, "", []string{getRoot, ""}},
		{"not after that status", retrying(1, status), getRoot, strings.Replace(busy, "503", "504", 1), hi, strings.Replace(busy, "503", "504", 1), "", []string{getRoot, ""}},
		{"not after a reset", retrying(1, status), getRoot, resets, hi, page(502, true), "", []string{getRoot, ""}},
		{"not after silence", quick(reset), getRoot, halts, hi, page(504, true), "", []string{getRoot, ""}},
		{"both fail", retrying(5, all), getRoot, resets, closes, page(502, true), "", []string{getRoot, getRoot}},
		{"the last status is told", retrying(5, all), getRoot, resets, busy, busy, "", []string{getRoot, getRoot}},

		{"a post", retrying(1, all), postRoot + "Content-Length: 1\r\n\r\nx", resets, hi, page(502, true), "", []string{postRoot + "Content-Length: 1\r\n\r\nx", ""}},
		{"a post without a body", retrying(1, all), postRoot + "\r\n", busy, hi, busy, "", []string{postRoot + "\r\n", ""}},
		{"a lock", retrying(1, all), "LOCK" + getRoot[3:], resets, hi, page(502, true), "", []string{"LOCK" + getRoot[3:], ""}},
		{"a propfind", retrying(1, all), "PROPFIND" + getRoot[3:], resets, hi, hi, "", []string{"PROPFIND" + getRoot[3:], "PROPFIND" + getRoot[3:]}},
		{"head", retrying(1, all), "HEAD" + getRoot[3:], busyHead + "Content-Length: 4\r\n\r\n", okHead + "Content-Length: 2\r\n\r\n", okHead + "Content-Length: 2\r\n\r\n", "", []string{"HEAD" + getRoot[3:], "HEAD" + getRoot[3:]}},

		{"a body that is held", retrying(1, all), put(100), resets, hi, hi, "", []string{put(100), put(100)}},
		{"a body that is held, a status", retrying(1, all), put(100), busy, hi, hi, "", []string{put(100), put(100)}},
		{"a body that is not held", retrying(1, all), put(20000), resets, hi, page(502, true), "", []string{put(20000), ""}},
		{"a chunked body that is held", retrying(1, all), chunked(5), resets, hi, hi, "", []string{chunked(5), chunked(5)}},
		{"a chunked body that is not held", retrying(1, all), chunked(4000), busy, hi, busy, "", []string{chunked(4000), ""}},
		{"an early status", retrying(1, all), put(50), early + busy, hi, hi, "", []string{"", put(50)}},
		{"before the 100", retrying(1, all), expects, early + resets, early + busy, strings.Replace(busy, "4\r\n\r\n", "4\r\nConnection: close\r\n\r\n", 1), "eof", []string{expects, expects}},

		{"what has begun", retrying(1, all), getRoot, okHead + "Content-Length: 5\r\n\r\nhe" + resets, hi, okHead + "Content-Length: 5\r\n\r\nhe", "reset", []string{getRoot, ""}},
		{"behind a 1xx", retrying(1, all), getRoot, "HTTP/1.1 103 Early\r\n\r\n" + resets, hi, "HTTP/1.1 103 Early\r\n\r\n" + page(502, true), "", []string{getRoot, ""}},
		{"a status behind a 1xx", retrying(1, all), getRoot, "HTTP/1.1 103 Early\r\n\r\n" + busy, hi, "HTTP/1.1 103 Early\r\n\r\n" + busy, "", []string{getRoot, ""}},
	} {
		for _, whole := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s, whole %v", tc.name, whole), func(t *testing.T) {
				t.Parallel()
				hosts := []*recorder{startRecorder(t, tc.first), startRecorder(t, always+tc.second)}
				p := startProxy(t, tc.set, hosts[0].addr, hosts[1].addr)
				c := p.dial()
				if cut := len(tc.in) - 2; !whole && strings.HasPrefix(tc.in, "P") {
					send(c, tc.in[:cut], nil)
					p.settle()
					send(c, tc.in[cut:], nil)
				} else {
					send(c, tc.in, nil)
				}
				if tc.ending == "" {
					readN(t, c, tc.out)
					stillOpen(t, c)
				} else if got, how := readAll(c); got != tc.out || how != tc.ending {
					t.Errorf("got %q, %s; want %q, %s", got, how, tc.out, tc.ending)
				}
				p.stop()
				for i, h := range hosts {
					got := plainChunks(strings.Join(h.seen(min(len(tc.got[i]), 1)), ""))
					if tc.got[i] == "" && !strings.HasPrefix(tc.first, early) || tc.got[i] != "" {
						if want := plainChunks(tc.got[i]); got != want {
							t.Errorf("host %d got %.300q\nwant %.300q", i, got, want)
						}
					}
				}
				counts := p.entry.Settings.only().Group.Balance.Hosts()
				if counts.Active(0) != 0 || counts.Active(1) != 0 {
					t.Errorf("%d and %d leases are held", counts.Active(0), counts.Active(1))
				}
			})
		}
	}
}

// With try_timeout the next host is asked before the first one's time is over; the last host has a limit, too.
func TestTryTimeout(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct{ request, second, want string }{
		{getRoot, always + hi, hi}, {getRoot, always + halts, page(504, true)}, {postRoot + "\r\n", always + hi, page(504, true)},
	} {
		t.Run(tc.request[:4]+tc.second, func(t *testing.T) {
			t.Parallel()
			timed(t, func(t testing.TB, unit time.Duration) {
				hosts := []*recorder{startRecorder(t, halts), startRecorder(t, tc.second)}
				p := startProxy(t, func(s *flat) {
					retrying(1, config.RetryOn{})(s)
					s.Retry.TryTimeout, s.ProxyReadTimeout = 3*unit, 10*time.Minute
				}, hosts[0].addr, hosts[1].addr)
				c := p.dial()
				send(c, tc.request, nil)
				readN(t, c, tc.want)
				stillOpen(t, c)
			})
		})
	}
}

// A request that was tried twice is one line in the access log, which says so and which host served it.
func TestRetryInTheLog(t *testing.T) {
	t.Parallel()
	hosts := []*recorder{startRecorder(t, resets), startRecorder(t, always+hi)}
	l := startLoggedAs(t, "$status $upstream_tries $upstream_status $upstream_host $end_reason", retrying(1, config.RetryOn{Reset: true}), hosts[0].addr, hosts[1].addr)
	c := l.dial()
	send(c, getRoot, nil)
	readN(t, c, hi)
	l.stop()
	if err := l.log.Reopen(); err != nil {
		t.Fatal(err)
	}
	want := "200 2 200 " + hosts[1].addr.String() + " complete\n"
	if got := l.out.String(); !strings.HasSuffix(got, "]: "+want) {
		t.Errorf("logged %q, want %q", got, want)
	}
}

// How the balancer judges a host by its responses: what counts as a failure is reported.
func TestReports(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		reply         string
		served, erred int64
	}{
		"served":                 {hi, 1, 0},
		"a status that counts":   {busy, 0, 1},
		"a status that does not": {strings.Replace(busy, "503", "404", 1), 1, 0},
		"a reset":                {resets, 0, 1},
		"a response that is cut": {okHead + "Content-Length: 5\r\n\r\nhe" + resets, 0, 1},
		"silence":                {halts, 0, 1},
		"nonsense":               {"HTTP/1.1 2000 OK\r\n\r\n", 0, 1},
		"an end":                 {closes, 0, 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := startRecorder(t, tc.reply)
			p := startProxy(t, func(s *flat) {
				if s.Errors = (config.Statuses{{Low: 500, High: 599}}); tc.reply == halts {
					s.ProxyReadTimeout = soon
				}
			}, h.addr)
			c := p.dial()
			send(c, strings.Replace(getRoot, "\r\n\r\n", "\r\nConnection: close\r\n\r\n", 1), nil)
			_, _ = readAll(c)
			p.stop()
			counts := p.entry.Settings.only().Group.Balance.Hosts()
			if counts.Served(0) != tc.served || counts.Erred(0) != tc.erred || counts.Failed(0) != 0 || counts.Active(0) != 0 {
				t.Errorf("%d served, %d erred, %d failed, %d active; want %d and %d", counts.Served(0), counts.Erred(0), counts.Failed(0), counts.Active(0), tc.served, tc.erred)
			}
		})
	}
}

// A POST of which the kernel takes no byte, because the host has reset the kept connection, is sent on another connection.
func TestAPostThatWasNotSent(t *testing.T) {
	t.Parallel()
	die, dead := make(chan struct{}), make(chan struct{})
	var conns atomic.Int32
	p := startProxy(t, nil, enginetest.Accepting(t, enginetest.Loopback, func(c *net.TCPConn) {
		n := conns.Add(1)
		if _, err := http.ReadRequest(bufio.NewReader(c)); err != nil {
			return
		}
		send(c, hi, nil)
		if n == 1 {
			<-die
			_ = c.SetLinger(0)
			_ = c.Close()
			close(dead)
		} else {
			enginetest.Hold(c)
		}
	}))
	c := p.dial()
	send(c, getRoot, nil)
	readN(t, c, hi)
	p.settle()
	held, release := make(chan struct{}), make(chan struct{})
	p.loop.Post(func() { // so that the client's request is the loop's first event
		close(held)
		<-release
	})
	<-held
	send(c, postRoot+"Content-Length: 1\r\n\r\nx", nil)
	close(die)
	<-dead
	close(release)
	readN(t, c, hi)
}
