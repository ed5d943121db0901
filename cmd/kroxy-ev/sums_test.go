package main_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// sumsBy are numbers of requests by server, route, group or host, and by class of status.
type sumsBy map[string]uint64

func (s sumsBy) add(what, class string, n uint64) {
	if n > 0 {
		s[what+" "+class] += n
	}
}

// request counts one request that the access log describes so.
func (s sumsBy) request(server, route, group, host string, status, hostStatus int) {
	s.add("server "+server, class(status), 1)
	if route != "" {
		s.add("route "+server+" "+route, class(status), 1)
	}
	if group != "" {
		s.add("group "+group, class(status), 1)
	}
	if host != "" {
		s.add("host "+group+" "+host, class(hostStatus), 1)
	}
}

// class returns the class of a status, "" if there is none.
func class(status int) string {
	if status == 0 {
		return ""
	}
	return fmt.Sprintf("%dxx", status/100)
}

// diff lists the numbers that differ.
func (s sumsBy) diff(want sumsBy) string {
	var list []string
	for _, k := range slices.Sorted(maps.Keys(want)) {
		if s[k] != want[k] {
			list = append(list, fmt.Sprintf("%s: %d, want %d", k, s[k], want[k]))
		}
	}
	for _, k := range slices.Sorted(maps.Keys(s)) {
		if want[k] == 0 {
			list = append(list, fmt.Sprintf("%s: %d, want none", k, s[k]))
		}
	}
	return strings.Join(list, "; ")
}

// traffic is the part of a status about requests.
type traffic struct {
	Requests uint64
	Codes    map[string]uint64
}

func (s sumsBy) traffic(what string, t traffic) {
	none := t.Requests
	for class, n := range t.Codes {
		s.add(what, class, n)
		none -= n
	}
	s.add(what, "", none)
}

// inStatus returns what "kroxy-ev status --json" has counted.
func (p *proxy) inStatus() sumsBy {
	p.t.Helper()
	var s struct {
		Servers []struct {
			Name string
			traffic
			Routes []struct {
				Name string
				traffic
			}
		}
		Groups []struct {
			Name string
			traffic
			Hosts []struct {
				Host string
				traffic
			}
		}
	}
	status, out, errs := p.steer("status", "--json")
	if err := json.Unmarshal([]byte(out), &s); err != nil || status != 0 {
		p.t.Fatalf("exit status %d: %v: %s%s", status, err, out, errs)
	}
	sums := make(sumsBy)
	for _, v := range s.Servers {
		sums.traffic("server "+v.Name, v.traffic)
		for _, r := range v.Routes {
			sums.traffic("route "+v.Name+" "+r.Name, r.traffic)
		}
	}
	for _, g := range s.Groups {
		sums.traffic("group "+g.Name, g.traffic)
		for _, h := range g.Hosts {
			sums.traffic("host "+g.Name+" "+h.Host, h.traffic)
		}
	}
	return sums
}

// counted matches a metric of a number of requests, and label one of its labels.
var (
	counted = regexp.MustCompile(`^kroxy_(server|route|upstream|host)_requests_total\{(.*)\} (\d+)$`)
	label   = regexp.MustCompile(`(\w+)="([^"]*)"`)
)

// inMetrics returns what /metrics, at a unix socket, has counted. A client that has just connected to a master that is replaced may be cut off, and asks again.
func inMetrics(socket string) (sums sumsBy, err error) {
	for range 3 {
		sums, err = askMetrics(socket)
		if !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) && !errors.Is(err, unix.ECONNRESET) && !errors.Is(err, unix.EPIPE) {
			break
		}
	}
	return sums, err
}

func askMetrics(socket string) (sumsBy, error) {
	c := &http.Client{Timeout: patience, Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", socket)
		},
	}}
	res, err := c.Get("http://localhost/metrics")
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		return nil, err
	}
	if res.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("/metrics: status %d: %s", res.StatusCode, text)
	}
	sums := make(sumsBy)
	for line := range strings.Lines(string(text)) {
		m := counted.FindStringSubmatch(strings.TrimSuffix(line, "\n"))
		if m == nil {
			continue
		}
		is := make(map[string]string)
		for _, l := range label.FindAllStringSubmatch(m[2], -1) {
			is[l[1]] = l[2]
		}
		n, err := strconv.ParseUint(m[3], 10, 64)
		if err != nil {
			return nil, err
		}
		what := map[string]string{
			"server": "server " + is["server"], "route": "route " + is["server"] + " " + is["route"], "upstream": "group " + is["group"], "host": "host " + is["group"] + " " + is["host"],
		}[m[1]]
		sums.add(what, is["code"], n)
	}
	return sums, nil
}

// inLog returns what the lines of an access log add up to.
func inLog(t *testing.T, file string) sumsBy {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	sums := make(sumsBy)
	for line := range strings.Lines(string(text)) {
		var l struct {
			Server, Route, Group string
			Status               int
			Host                 string `json:"upstream_host"`
			HostStatus           int    `json:"upstream_status"`
		}
		if err := json.Unmarshal([]byte(line), &l); err != nil {
			continue // the line is still being written
		}
		sums.request(l.Server, l.Route, l.Group, l.Host, l.Status, l.HostStatus)
	}
	return sums
}

// say sends text over a connection of its own, half-closes, and returns the answer.
func (at netAddr) say(text string) (string, error) {
	c, err := net.DialTimeout(at.network, at.address, patience)
	if err != nil {
		return "", err
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(patience))
	if _, err := io.WriteString(c, text); err != nil {
		return "", err
	}
	_ = c.(*net.TCPConn).CloseWrite()
	answer, err := io.ReadAll(c)
	return string(answer), err
}

// The clients, the status, the metrics and the access log agree on the number of requests for each server, route, group and host and each class of status,
// over reloads and an upgrade under load, and when workers are killed.
func TestSumsAgree(t *testing.T) {
	t.Parallel()
	answers := func(w http.ResponseWriter, r *http.Request) {
		status := http.StatusOK
		_, _ = fmt.Sscan(r.Header.Get("Want"), &status)
		w.WriteHeader(status)
		_, _ = io.WriteString(w, "answer")
	}
	one, two, tcp := serve(t, "127.0.0.1", answers), serve(t, "127.0.0.1", answers), listen(t, "127.0.0.1", echo)
	web, single, raw := reservePort(t), reservePort(t), reservePort(t)
	log, socket := filepath.Join(t.TempDir(), "access.log"), filepath.Join(t.TempDir(), "admin")
	config := func(n int) []byte {
		return fileText(t, object{
			"workers_num": 2, "shutdown_timeout": 20 * patience.Milliseconds(), "file_log": log, "format_log": "json", "admin": object{"listen": []object{{"unix": socket}}}, "client_body_timeout": 20000 + n,
			"servers": object{"a": object{"hosts": endpoints(one)}, "b": object{"hosts": endpoints(two)}, "echo": object{"hosts": endpoints(tcp)}},
			"http": []object{
				{"name": "web", "port": web, "routes": []object{
					{"name": "api", "match": object{"path_prefix": "/a"}, "proxy_to": "a"},
					{"match": object{"path_prefix": "/b"}, "proxy_to": "b"},
					{"name": "moved", "match": object{"path_prefix": "/old"}, "redirect": object{"to": "https://$host/"}},
				}},
				{"name": "single", "port": single, "max_body_size": 1, "proxy_to": "a"},
			},
			"stream": object{"name": "raw", "port": raw, "proxy_to": "echo"},
		})
	}
	p, binary := startUpgradableWith(t, web, config(0))
	serving := 2
	p.awaitServing(serving)

	var mu sync.Mutex
	sent := make(sumsBy)
	hostA, hostB, hostE := fmt.Sprint("127.0.0.1:", one.Port), fmt.Sprint("127.0.0.1:", two.Port), fmt.Sprint("127.0.0.1:", tcp.Port)
	kinds := []struct {
		server             string
		port               int
		request            string
		status, hostStatus int
		route, group, host string
	}{
		{"web", web, "GET /a HTTP/1.1", 200, 200, "api", "a", hostA},
		{"web", web, "GET /a HTTP/1.1", 404, 404, "api", "a", hostA},
		{"web", web, "GET /b HTTP/1.1", 500, 500, "http[0].routes[1]", "b", hostB},
		{"web", web, "GET /b HTTP/1.1", 302, 302, "http[0].routes[1]", "b", hostB},
		{"web", web, "GET /old HTTP/1.1", 308, 0, "moved", "", ""},
		{"web", web, "GET /none HTTP/1.1", 404, 0, "", "", ""},
		{"single", single, "GET / HTTP/1.1", 200, 200, "single", "a", hostA},
		{"single", single, "GET / HTTP/1.1\r\nContent-Length: 2", 413, 0, "single", "", ""}, // refused before it reaches a host
		{"single", single, "what?", 400, 0, "", "", ""},
	}
	visit := func() { // each request over a connection of its own, so that both workers get some; and one session
		for _, k := range kinds {
			request := fmt.Sprintf("%s\r\nHost: a\r\nWant: %d\r\nConnection: close\r\n\r\n", k.request, k.status)
			if answer, err := local(k.port).say(request); err != nil || !strings.HasPrefix(answer, fmt.Sprintf("HTTP/1.1 %d ", k.status)) {
				t.Errorf("%s: %.200q, %v", k.request, answer, err)
				return
			}
			mu.Lock()
			sent.request(k.server, k.route, k.group, k.host, k.status, k.hostStatus)
			mu.Unlock()
		}
		if answer, err := local(raw).say("hello"); err != nil || answer != "hello" {
			t.Errorf("the echo is %q, error %v", answer, err)
			return
		}
		mu.Lock()
		sent.request("raw", "raw", "echo", hostE, 0, 0)
		mu.Unlock()
	}
	visits := func(n int) {
		var clients sync.WaitGroup
		for range 4 {
			clients.Go(func() {
				for range n {
					visit()
				}
			})
		}
		clients.Wait()
	}
	agree := func(after string) {
		t.Helper()
		var status, metrics, lines string
		defer func() {
			if t.Failed() {
				t.Logf("after %s: in the status %s; in the metrics %s; in the log %s", after, status, metrics, lines)
			}
		}()
		eventually(t, "the sums agree after "+after, func() bool {
			lines = inLog(t, log).diff(sent)
			if lines == "" {
				status = p.inStatus().diff(sent)
				now, err := inMetrics(socket)
				if err != nil {
					t.Fatal(err)
				}
				metrics = now.diff(sent)
			}
			return lines == "" && status == "" && metrics == ""
		})
	}
	during := func(what string, do func()) {
		t.Helper()
		stop := make(chan struct{})
		var clients sync.WaitGroup
		for range 2 {
			clients.Go(func() {
				for {
					select {
					case <-stop:
						return
					default:
						visit()
					}
				}
			})
		}
		clients.Go(func() { // a scraper sees no counter fall
			last := make(sumsBy)
			for {
				select {
				case <-stop:
					return
				case <-time.After(50 * time.Millisecond):
				}
				now, err := inMetrics(socket)
				if err != nil {
					t.Errorf("%s: %v", what, err)
					return
				}
				for k, n := range last {
					if now[k] < n {
						t.Errorf("%s: %s fell from %d to %d", what, k, n, now[k])
						return
					}
				}
				last = now
			}
		})
		do()
		close(stop)
		clients.Wait()
		agree(what)
	}

	visits(5)
	during("reloads", func() {
		for i := range times(3, 50) {
			p.replace(config(i + 1))
			p.mustOrder("reload")
		}
	})
	for range times(1, 10) {
		idle := local(web).dial(t) // it is lost with its worker, and counts nowhere
		worker := awaitOwner(t, idle, p.workers())
		if err := unix.Kill(worker, unix.SIGKILL); err != nil {
			t.Fatal(err)
		}
		_ = idle.Close()
		serving++
		p.awaitServing(serving)
		visits(2)
		agree("a worker was killed")
	}
	var pid int
	during("an upgrade", func() {
		install(t, program, binary)
		p.mustOrder("upgrade")
		pid = p.awaitSuccessor(1)
	})
	p.stopSuccessor(pid)
}
