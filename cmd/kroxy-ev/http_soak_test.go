package main_test

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// soakPlan is what happens to a request. Everything follows from its id.
type soakPlan struct {
	id         uint64
	method     string
	up, down   []byte // bodies
	chunkedUp  bool
	answer     string // how the host answers: "length", "chunked", "until close", "none", "cut" or "early"
	leave      string // when the client disconnects: "" (it does not), during the "up"load or the "down"load
	pipelined  bool   // with the previous request
	waitFor100 bool
}

func newSoakPlan(id uint64) *soakPlan {
	r := rand.New(rand.NewPCG(id, 17))
	body := func() []byte {
		n := 0
		switch k := r.IntN(20); {
		case k < 8:
			n = r.IntN(300)
		case k < 17:
			n = r.IntN(60_000)
		case k < 19:
			n = r.IntN(600_000)
		}
		from := r.IntN(len(noise) - n)
		return noise[from:][:n]
	}
	s := &soakPlan{id: id, method: []string{"GET", "GET", "HEAD", "POST", "POST", "PUT"}[r.IntN(6)], down: body(), chunkedUp: r.IntN(2) == 0}
	if s.method == "POST" || s.method == "PUT" {
		s.up = body()
		s.waitFor100 = len(s.up) > 0 && r.IntN(5) == 0
	}
	s.answer = []string{"length", "length", "length", "chunked", "chunked", "until close"}[r.IntN(6)]
	switch r.IntN(25) {
	case 0:
		s.answer = "none"
	case 1:
		if s.method != "HEAD" && len(s.down) > 0 { // otherwise the response is complete and its end is no truncation
			s.answer = "cut"
		}
	case 2:
		s.answer = "early"
		s.down = s.down[:min(len(s.down), 2000)] // net/http loses what it has not sent when it closes
	}
	switch r.IntN(25) {
	case 0:
		s.leave = "up"
	case 1:
		s.leave = "down"
	}
	// A truncated response ends the connection: see TestHTTPCutSparesTheAnswerBefore.
	s.pipelined = r.IntN(3) == 0 && s.leave == "" && s.answer != "cut" && len(s.up) < 10_000 && !s.waitFor100
	return s
}

// request returns the whole request, and where its body begins.
func (s *soakPlan) request(r *rand.Rand) (text []byte, head int) {
	b := fmt.Appendf(nil, "%s /%d HTTP/1.1\r\nHost: soak\r\n", s.method, s.id)
	if s.waitFor100 {
		b = append(b, "Expect: 100-continue\r\n"...)
	}
	switch {
	case s.up == nil:
		return append(b, "\r\n"...), len(b) + 2
	case !s.chunkedUp:
		b = fmt.Appendf(b, "Content-Length: %d\r\n\r\n", len(s.up))
		return append(b, s.up...), len(b)
	}
	b = append(b, "Transfer-Encoding: chunked\r\n\r\n"...)
	head = len(b)
	for rest := s.up; len(rest) > 0; {
		n := min(len(rest), 1+r.IntN(20_000))
		b = fmt.Appendf(b, "%x\r\n%s\r\n", n, rest[:n])
		rest = rest[n:]
	}
	return append(b, "0\r\n\r\n"...), head
}

// soakHost answers as the plan says.
func soakHost(failed chan<- error) http.HandlerFunc {
	return func(w http.ResponseWriter, req *http.Request) {
		id, err := strconv.ParseUint(strings.TrimPrefix(req.URL.Path, "/"), 10, 64)
		if err != nil {
			failed <- fmt.Errorf("host: a request for %q", req.URL.Path)
			return
		}
		s := newSoakPlan(id)
		if s.answer != "early" {
			got, err := io.ReadAll(req.Body)
			switch {
			case err != nil && s.leave == "":
				failed <- fmt.Errorf("host: %d: after %d of %d bytes: %w", id, len(got), len(s.up), err)
				return
			case err != nil:
				panic(http.ErrAbortHandler)
			case !bytes.Equal(got, s.up) || req.Method != s.method:
				failed <- fmt.Errorf("host: %d: another body: %d bytes, %08x, want %d, %08x", id, len(got), crc32.ChecksumIEEE(got), len(s.up), crc32.ChecksumIEEE(s.up))
			}
		}
		if s.answer == "early" && s.up != nil {
			w.Header().Set("Connection", "close") // net/http may close then, and must announce it
		}
		w.Header().Set("X-Id", strconv.FormatUint(id, 10))
		switch s.answer {
		case "none":
			panic(http.ErrAbortHandler)
		case "chunked":
			w.(http.Flusher).Flush()
		case "until close":
			w.Header().Set("Connection", "close")
			w.Header().Set("Transfer-Encoding", "identity")
		default:
			w.Header().Set("Content-Length", strconv.Itoa(len(s.down)))
		}
		if s.answer == "cut" {
			_, _ = w.Write(s.down[:len(s.down)/2])
			w.(http.Flusher).Flush()
			panic(http.ErrAbortHandler)
		}
		r := rand.New(rand.NewPCG(id, 18))
		for rest := s.down; len(rest) > 0; {
			n := min(len(rest), 1+r.IntN(100_000))
			if _, err := w.Write(rest[:n]); err != nil {
				return
			}
			rest = rest[n:]
			pauseSometimes(r)
		}
	}
}

// check reads the response to s, and reports whether the connection is kept.
func (s *soakPlan) check(in *bufio.Reader) (bool, error) {
	res, err := http.ReadResponse(in, &http.Request{Method: s.method})
	for err == nil && res.StatusCode == 100 {
		res, err = http.ReadResponse(in, &http.Request{Method: s.method})
	}
	if err != nil {
		if s.answer == "cut" { // before or after its head was passed on
			return false, nil
		}
		return false, fmt.Errorf("no response: %w", err)
	}
	got, err := io.ReadAll(res.Body)
	switch s.answer {
	case "none":
		if res.StatusCode != 502 || err != nil {
			return false, fmt.Errorf("status %d (%w) where the host gave no answer", res.StatusCode, err)
		}
		return !res.Close, nil
	case "cut":
		if err == nil && res.StatusCode == 200 {
			return false, errors.New("an answer that was cut off looks whole")
		}
		return err == nil && !res.Close, nil
	}
	want := s.down
	if s.method == "HEAD" {
		want = nil
	}
	if err != nil || res.StatusCode != 200 || res.Header.Get("X-Id") != strconv.FormatUint(s.id, 10) || !bytes.Equal(got, want) {
		return false, fmt.Errorf("status %d, id %q, %d bytes, %08x, error %w; want %d, %08x", res.StatusCode, res.Header.Get("X-Id"), len(got), crc32.ChecksumIEEE(got), err, len(want), crc32.ChecksumIEEE(want))
	}
	return !res.Close, nil
}

// soakClient makes requests on one connection until the connection ends, and returns how many were answered.
func soakClient(c *net.TCPConn, r *rand.Rand) (n int, err error) {
	in := bufio.NewReaderSize(c, 4096)
	for n < 30 {
		plans := []*soakPlan{newSoakPlan(r.Uint64())}
		for len(plans) < 4 {
			next := newSoakPlan(r.Uint64())
			if !next.pipelined {
				break
			}
			plans = append(plans, next)
		}
		var text []byte
		for _, s := range plans {
			b, head := s.request(r)
			switch s.leave {
			case "up":
				_, _ = c.Write(append(text, b[:head+r.IntN(len(b)-head+1)/2]...))
				reset(c)
				return n, nil
			case "down":
				go func() { _, _ = c.Write(b) }()
				_ = c.SetReadDeadline(time.Now().Add(50 * time.Millisecond)) // fewer bytes than this may arrive
				_, _ = io.CopyN(io.Discard, in, int64(r.IntN(len(s.down)+100)))
				reset(c)
				return n, nil
			}
			text = append(text, b...)
		}
		sent := make(chan struct{})
		go func() {
			defer close(sent)
			for len(text) > 0 {
				k := min(len(text), 1+r.IntN(200_000))
				if _, err := c.Write(text[:k]); err != nil {
					return // the response explains why
				}
				text = text[k:]
			}
		}()
		goesOn := true
		for _, s := range plans {
			if goesOn, err = s.check(in); err != nil {
				err = fmt.Errorf("request %d of a connection, %s /%d of %d bytes, answer %q: %w", n, s.method, s.id, len(s.up), s.answer, err)
			}
			if !goesOn || err != nil {
				break
			}
			n++
		}
		if !goesOn || err != nil {
			_ = c.Close()
		}
		<-sent
		if !goesOn || err != nil {
			return n, err
		}
	}
	return n, nil
}

// Random requests, responses and terminations of both. Each client gets the exact response to its request.
func TestHTTPSoak(t *testing.T) {
	const clients, enough, length, longest = 24, 100, 2500 * time.Millisecond, patience
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	failed := make(chan error, 1<<16)
	h := serve(t, "127.0.0.1", soakHost(failed))
	p := startHTTP(t, setup{hosts: []endpoint{h.endpoint, h.endpoint}, settings: settings{"upstream_keepalive_timeout": 200, "forwarded_headers": false}})
	before := p.descriptors()
	var answered atomic.Int64
	var running sync.WaitGroup
	begin := time.Now()
	goesOn := func() bool { // on a slow machine, until there are enough requests for a conclusion
		took := time.Since(begin)
		return took < length || answered.Load() < enough && took < longest
	}
	for i := range clients {
		r := rand.New(rand.NewPCG(seed, uint64(i)))
		running.Go(func() {
			for goesOn() {
				c, err := net.DialTimeout("tcp4", fmt.Sprintf("127.0.0.1:%d", p.port), patience)
				if err != nil {
					failed <- err
					return
				}
				_ = c.SetDeadline(time.Now().Add(patience))
				n, err := soakClient(c.(*net.TCPConn), r)
				answered.Add(int64(n))
				if err != nil {
					failed <- fmt.Errorf("client %d: %w", i, err)
				}
				_ = c.Close()
			}
		})
	}
	running.Wait()
	t.Logf("%d requests were answered", answered.Load())
	if answered.Load() < enough {
		t.Error("too few requests for a conclusion")
	}
	p.awaitSockets(t, "all sockets of exchanges are closed", func(n int) bool { return n <= before["socket"] })
	after := p.descriptors()
	if after["anon_inode"] != before["anon_inode"] || after["other"] != before["other"] {
		t.Errorf("descriptors %v, there were %v", after, before)
	}
	p.awaitCounts(`0 active of \d+`) // sockets are closed a moment before that counts
	p.stop()
	p.await(p.stderr, `kroxy-ev: stopping.* sessions=0 `)
	for len(failed) > 0 {
		t.Error(<-failed)
	}
}
