package main_test

import (
	"bufio"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// fileText returns a configuration as JSON.
func fileText(t *testing.T, o object) []byte {
	t.Helper()
	text, err := json.MarshalIndent(o, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// startFile starts a proxy with a whole configuration, to which nothing is added.
func startFile(t *testing.T, multi bool, prepare func(*exec.Cmd), o object) *proxy {
	t.Helper()
	p := launchOn(t, 0, writeConfig(t, t.TempDir(), fileText(t, o)), multi, prepare)
	p.stopAtEnd()
	return p
}

// reloadTo reloads the proxy with another configuration.
func (p *proxy) reloadTo(o object) {
	p.t.Helper()
	p.replace(fileText(p.t, o))
	if status, out := p.order("reload"); status != 0 { // it may succeed with warnings
		p.t.Fatalf("reload: exit status %d: %s", status, out)
	}
}

// echoOnce demands that an echo host answers on a port.
func echoOnce(t *testing.T, port int) {
	t.Helper()
	c := local(port).dial(t)
	expectEcho(t, c, "once")
	_ = c.Close()
}

// keepAliveClient is a client's connection for several requests.
type keepAliveClient struct {
	t  *testing.T
	c  net.Conn
	in *bufio.Reader
}

func dialKeepAlive(t *testing.T, port int) *keepAliveClient {
	t.Helper()
	c := lasting(local(port).dial(t))
	return &keepAliveClient{t, c, bufio.NewReader(c)}
}

// expect makes a request and demands the answer of this host.
func (k *keepAliveClient) expect(name string) {
	k.t.Helper()
	send(k.t, k.c, "GET / HTTP/1.1\r\nHost: a.example\r\n\r\n")
	if _, body := reply(k.t, k.in, "GET"); body != name {
		k.t.Errorf("the answer is %q, want %q", body, name)
	}
}

// multiServerConfig is a configuration with these servers, the groups a and b with a host each, and the TCP group echo.
func multiServerConfig(hosts []*httpHost, echoes *host, http, stream []object) object {
	group := func(e []endpoint) object { return object{"hosts": e} }
	o := object{
		"workers_num": 2, "reactors_num": 2, "shutdown_timeout": patience.Milliseconds(),
		"servers": object{"a": group(endpoints(hosts[0])), "b": group(endpoints(hosts[1])), "echo": group(endpoints(echoes))},
	}
	if http != nil {
		o["http"] = http
	}
	if stream != nil {
		o["stream"] = stream
	}
	return o
}

// Several servers of both modes in one file. Each has its own listeners, group and log; a reload adds, removes and changes them one by one.
func TestServers(t *testing.T) {
	t.Parallel()
	modes(t, func(t *testing.T, multi bool) {
		hosts, tcp := namedHosts(t, 2), listen(t, "127.0.0.1", echo)
		one, two, other, raw, more := reservePort(t), reservePort(t), reservePort(t), reservePort(t), reservePort(t)
		dir := t.TempDir()
		first, second := filepath.Join(dir, "first.log"), filepath.Join(dir, "second.log")
		log := func(word, file string, server object) object {
			server["file_log"], server["format_log"] = file, word+" $end_reason"
			return server
		}
		a := log("one", first, object{"listen": []listenEntry{{"port": one}, {"port": two}}, "proxy_to": "a"})
		b := log("other", first, object{"port": other, "proxy_to": "b"})
		s := log("raw", second, object{"port": raw, "proxy_to": "echo"})
		p := startFile(t, multi, nil, multiServerConfig(hosts, tcp, []object{a, b}, []object{s}))

		ones, twos, others := dialKeepAlive(t, one), dialKeepAlive(t, two), dialKeepAlive(t, other)
		held := lasting(local(raw).dial(t))
		for range 4 {
			ones.expect("A")
			twos.expect("A")
			others.expect("B")
			dialKeepAlive(t, other).expect("B")
			expectEcho(t, held, "held")
			echoOnce(t, raw)
		}

		// The second server is removed, another one takes its place in the list, on another port, and the first one gets another group.
		a["proxy_to"] = "b"
		c := log("more", second, object{"port": more, "proxy_to": "a"})
		p.reloadTo(multiServerConfig(hosts, tcp, []object{a, c}, []object{s}))
		ones.expect("B")
		twos.expect("B")
		dialKeepAlive(t, more).expect("A")
		expectEcho(t, held, "held")
		expectEnd(t, others.in)
		local(other).awaitRefusal(t)

		// A port moves to another server, which has another position in the list and another group.
		p.reloadTo(multiServerConfig(hosts, tcp, []object{log("moved", first, object{"port": two, "proxy_to": "a"}), log("one", first, object{"port": one, "proxy_to": "b"})}, []object{s}))
		ones.expect("B")
		twos.expect("A")
		expectEcho(t, held, "held")

		// All servers of one mode are removed. Their existing sessions go on.
		p.reloadTo(multiServerConfig(hosts, tcp, []object{log("moved", first, object{"port": two, "proxy_to": "a"})}, nil))
		twos.expect("A")
		expectEnd(t, ones.in)
		expectEcho(t, held, "held")
		local(raw).awaitRefusal(t)
		_ = held.Close()
		p.stop()
		for file, words := range map[string][]string{first: {"one complete", "other complete", "moved complete"}, second: {"raw complete", "more complete"}} {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			for _, w := range words {
				if !strings.Contains(string(text), w) {
					t.Errorf("%s has no line %q:\n%s", filepath.Base(file), w, text)
				}
			}
			for line := range strings.Lines(string(text)) {
				if !strings.HasSuffix(line, " complete\n") {
					t.Errorf("%s has a line of another kind: %s", filepath.Base(file), line)
				}
			}
		}
	})
}

// A session whose server was removed is logged when it ends, although nothing else writes to that log any more.
func TestLogOfAServerThatIsGone(t *testing.T) {
	t.Parallel()
	modes(t, func(t *testing.T, multi bool) {
		hosts, tcp := namedHosts(t, 2), listen(t, "127.0.0.1", echo)
		web, raw, file := reservePort(t), reservePort(t), filepath.Join(t.TempDir(), "access.log")
		a := object{"port": web, "proxy_to": "a"}
		p := startFile(t, multi, nil, multiServerConfig(hosts, tcp, []object{a}, []object{{"port": raw, "proxy_to": "echo", "file_log": file, "format_log": "raw $bytes_sent_upstream $end_reason"}}))
		held := lasting(local(raw).dial(t))
		expectEcho(t, held, "before")
		for range 2 {
			p.reloadTo(multiServerConfig(hosts, tcp, []object{a}, nil))
		}
		expectEcho(t, held, "behind")
		_ = held.Close()
		eventually(t, "the session is logged", func() bool {
			text, err := os.ReadFile(file)
			return err == nil && strings.HasSuffix(string(text), ": raw 12 complete\n")
		})
		dialKeepAlive(t, web).expect("A")
	})
}

// An upgrade passes servers, their listeners and their groups on.
func TestUpgradeOfServers(t *testing.T) {
	t.Parallel()
	hosts, tcp := namedHosts(t, 2), listen(t, "127.0.0.1", echo)
	one, other, raw := reservePort(t), reservePort(t), reservePort(t)
	o := multiServerConfig(hosts, tcp, []object{{"port": one, "proxy_to": "a"}, {"port": other, "proxy_to": "b"}}, []object{{"port": raw, "proxy_to": "echo"}})
	p := launchOn(t, 0, writeConfig(t, t.TempDir(), fileText(t, o)), true, inProcessGroup(t))
	held := lasting(local(raw).dial(t))
	expectEcho(t, held, "held")
	p.mustOrder("upgrade")
	for range 4 {
		dialKeepAlive(t, one).expect("A")
		dialKeepAlive(t, other).expect("B")
		echoOnce(t, raw)
	}
	expectEcho(t, held, "held")
	_ = held.Close()
	p.stopSuccessor(p.awaitSuccessor(1))
}

// The successor of a killed worker serves all servers.
func TestServersAfterAWorkerDied(t *testing.T) {
	t.Parallel()
	hosts, tcp := namedHosts(t, 2), listen(t, "127.0.0.1", echo)
	one, raw := reservePort(t), reservePort(t)
	o := multiServerConfig(hosts, tcp, []object{{"port": one, "proxy_to": "a"}}, []object{{"port": raw, "proxy_to": "echo"}})
	p := startFile(t, true, nil, o)
	old := p.workers()
	for _, pid := range old {
		_ = unix.Kill(pid, unix.SIGKILL)
	}
	eventually(t, "there are other workers", func() bool {
		now := p.workers()
		return len(now) == len(old) && fmt.Sprint(now) != fmt.Sprint(old) && p.stderr.count(`msg="worker serving"`) >= 2*len(old)
	})
	for range 4 {
		dialKeepAlive(t, one).expect("A")
		echoOnce(t, raw)
	}
}

// Each server has certificates of its own, and no server accepts tickets of another.
func TestCertificatesOfServers(t *testing.T) {
	t.Parallel()
	modes(t, func(t *testing.T, multi bool) {
		hosts, tcp := namedHosts(t, 2), listen(t, "127.0.0.1", echo)
		ca := newAuthority(t)
		first, second := ca.issue("first.test"), ca.issue("second.test")
		one, other, plain, raw := reservePort(t), reservePort(t), reservePort(t), reservePort(t)
		secure := func(id *identity, server object) object {
			for k, v := range id.serverSettings(nil) {
				server[k] = v
			}
			return server
		}
		a := secure(first, object{"listen": []listenEntry{{"port": one}, {"port": plain, "tls": false}}, "proxy_to": "a"})
		b := secure(second, object{"port": other, "proxy_to": "b"})
		s := secure(second, object{"port": raw, "proxy_to": "echo"})
		p := startFile(t, multi, nil, multiServerConfig(hosts, tcp, []object{a, b}, []object{s}))
		dialKeepAlive(t, plain).expect("A")
		ask := func(port int, name, answer string) {
			t.Helper()
			c := tls.Client(local(port).dial(t), ca.clientConfig(name))
			if err := c.Handshake(); err != nil {
				t.Errorf("port %d: %v", port, err)
				return
			}
			(&keepAliveClient{t, c, bufio.NewReader(c)}).expect(answer)
		}
		ask(one, "first.test", "A")
		ask(other, "second.test", "B")
		c := tls.Client(local(raw).dial(t), ca.clientConfig("second.test"))
		expectEcho(t, c, "hello")
		strange := tls.Client(local(other).dial(t), ca.clientConfig("first.test"))
		if err := strange.Handshake(); err == nil {
			t.Error("a server shows another one's certificate")
		}
		// The servers exchange their ports.
		a["port"], a["listen"] = other, nil
		delete(a, "listen")
		b["port"] = one
		p.reloadTo(multiServerConfig(hosts, tcp, []object{a, b}, []object{s}))
		ask(one, "second.test", "B")
		ask(other, "first.test", "A")
	})
}

// A route distributes its requests over its groups by weight. Limits of a route apply to that route only.
func TestTargetsAndBoundsOfRoutes(t *testing.T) {
	t.Parallel()
	hosts, tcp, port := namedHosts(t, 2), listen(t, "127.0.0.1", echo), reservePort(t)
	p := startFile(t, false, nil, object{
		"reactors_num": 1, "servers": multiServerConfig(hosts, tcp, nil, nil)["servers"],
		"http": object{"port": port, "max_body_size": 10, "routes": []object{
			{"match": object{"path_prefix": "/large"}, "proxy_to": "a", "max_body_size": 1000},
			{"proxy_to": []object{{"group": "a", "weight": 3}, {"group": "b", "weight": 1}}},
		}},
	})
	p.port = port
	c := p.client()
	had := map[string]int{}
	for range 40 {
		_, body := p.get(c, "/")
		had[body]++
	}
	if had["A"] != 30 || had["B"] != 10 {
		t.Errorf("of 40 requests the groups got %v, want 30 and 10", had)
	}
	for path, want := range map[string]int{"/large": 200, "/": 413} {
		res, err := c.Post(p.url(path), "text/plain", strings.NewReader(strings.Repeat("x", 100)))
		if err != nil {
			t.Fatal(err)
		}
		_ = res.Body.Close()
		if res.StatusCode != want {
			t.Errorf("a body of 100 bytes to %s gets %d, want %d", path, res.StatusCode, want)
		}
	}
}

// Thousands of routes are reloaded under load. No request fails, and a kept-alive client only gets its new route.
func TestReloadOfManyRoutesUnderLoad(t *testing.T) {
	skipUnderRace(t, "it is about time")
	modes(t, func(t *testing.T, multi bool) {
		hosts, tcp, port := namedHosts(t, 2), listen(t, "127.0.0.1", echo), reservePort(t)
		config := func(group string) object {
			var routes []object
			for i := range 5000 {
				routes = append(routes, object{"match": object{"host": fmt.Sprintf("www%d.example", i), "path_prefix": "/a"}, "proxy_to": "b"})
			}
			o := multiServerConfig(hosts, tcp, []object{{"port": port, "routes": append(routes, object{"proxy_to": group})}}, nil)
			delete(o["servers"].(object), "echo")
			return o
		}
		p := startFile(t, multi, nil, config("a"))
		kept := dialKeepAlive(t, port)
		kept.expect("A")
		l := loadOn(t, 2, local(port))
		for _, group := range []string{"b", "a", "b"} {
			l.awaitRequests(t, 20)
			began := time.Now()
			p.reloadTo(config(group))
			t.Logf("a reload took %v", time.Since(began))
			kept.expect(strings.ToUpper(group))
		}
		l.endWithoutFailures(t)
	})
}
