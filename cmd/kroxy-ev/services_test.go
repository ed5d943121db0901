package main_test

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/net/dns/dnsmessage"
	"golang.org/x/sys/unix"

	"kroxy-ev/engine/enginetest"
)

// directory is a DNS server whose records the test sets.
type directory struct {
	at string // its address and port

	mu     sync.Mutex
	a      map[string][4]byte // addresses by name
	srv    map[string][]dnsmessage.SRVResource
	silent bool
}

func newDirectory(t *testing.T) *directory {
	d := &directory{a: map[string][4]byte{}, srv: map[string][]dnsmessage.SRVResource{}}
	d.at = enginetest.NameServer(t, enginetest.Loopback, d.answer).String()
	return d
}

func (d *directory) answer(query []byte, _ bool) [][]byte {
	d.mu.Lock()
	defer d.mu.Unlock()
	var m dnsmessage.Message
	if m.Unpack(query) != nil || len(m.Questions) != 1 {
		return nil
	}
	q := m.Questions[0]
	name := strings.ToLower(strings.TrimSuffix(q.Name.String(), "."))
	if d.silent {
		return nil
	}
	m.Response, m.RecursionAvailable, m.Additionals = true, true, nil
	h := dnsmessage.ResourceHeader{Name: q.Name, Class: q.Class} // TTL 0
	addr, named := d.a[name]
	records, offered := d.srv[name]
	switch {
	case named && q.Type == dnsmessage.TypeA:
		m.Answers = append(m.Answers, dnsmessage.Resource{Header: h, Body: &dnsmessage.AResource{A: addr}})
	case offered && q.Type == dnsmessage.TypeSRV:
		for _, r := range records {
			m.Answers = append(m.Answers, dnsmessage.Resource{Header: h, Body: &r})
		}
	case !named && !offered:
		m.RCode = dnsmessage.RCodeNameError
	}
	b, err := m.Pack()
	if err != nil {
		return nil
	}
	return [][]byte{b}
}

// setAddress sets the address of a name.
func (d *directory) setAddress(name string, addr [4]byte) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.a[name] = addr
}

// setService sets the records of a service; without any, there is none.
func (d *directory) setService(service string, records ...dnsmessage.SRVResource) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.srv[service] = records
	if records == nil {
		delete(d.srv, service)
	}
}

func (d *directory) setSilent(silent bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.silent = silent
}

// srvRecord returns a record for a host at 127.0.0.n and gives its target, named by the host's letter, that address.
func (d *directory) srvRecord(e endpoint, priority, weight uint16) dnsmessage.SRVResource {
	var addr [4]byte
	_, _ = fmt.Sscanf(e.Host, "%d.%d.%d.%d", &addr[0], &addr[1], &addr[2], &addr[3])
	name := fmt.Sprintf("host-%d.zone.test", addr[3])
	d.setAddress(name, addr)
	return dnsmessage.SRVResource{Priority: priority, Weight: weight, Port: uint16(e.Port), Target: dnsmessage.MustNewName(name + ".")}
}

const apiService = "_api._tcp.zone.test"

// serviceConfig is a configuration with an HTTP server on port, whose hosts are those of the service.
func (d *directory) serviceConfig(port int, more object) object {
	o := object{
		"workers_num": 2, "reactors_num": 2, "shutdown_timeout": patience.Milliseconds(),
		"resolver": object{"servers": []string{d.at}, "search": []string{}},
		"servers":  object{"api": object{"hosts": []object{{"srv": apiService}}}},
		"http":     []object{{"port": port, "proxy_to": "api"}},
	}
	for k, v := range more {
		o[k] = v
	}
	return o
}

// startWithService starts a proxy with serviceConfig.
func startWithService(t *testing.T, multi bool, d *directory, more object) *proxy {
	t.Helper()
	port := reservePort(t)
	p := startFile(t, multi, nil, d.serviceConfig(port, more))
	p.port = port
	p.awaitHosts()
	return p
}

// awaitHosts waits until the first group has hosts: a start waits no longer than a second for the answers of DNS.
func (p *proxy) awaitHosts() {
	p.t.Helper()
	eventually(p.t, "the hosts are known", func() bool { return len(p.readStatus().Groups[0].Hosts) > 0 })
}

// letter makes a request over a connection of its own and returns the body, or the status of an error.
func (p *proxy) letter() string {
	p.t.Helper()
	c := p.client()
	defer c.CloseIdleConnections()
	res, body := p.get(c, "/")
	if res.StatusCode != http.StatusOK {
		return fmt.Sprint(res.StatusCode)
	}
	return body
}

// distinctAnswers makes n requests and returns the distinct answers, sorted.
func (p *proxy) distinctAnswers(n int) string {
	p.t.Helper()
	var all []string
	for range n {
		all = append(all, p.letter())
	}
	slices.Sort(all)
	return strings.Join(slices.Compact(all), " ")
}

// When the address of a name changes, requests follow, those of clients that never pause included. Idle connections to the old address are not used any more.
// No request fails, and requests in flight end at the old address.
func TestNameMoves(t *testing.T) {
	t.Parallel()
	for _, protocol := range []string{"http/1.1", "h2c"} {
		t.Run(strings.ReplaceAll(protocol, "/", " "), func(t *testing.T) {
			t.Parallel()
			modes(t, func(t *testing.T, multi bool) {
				needAddress(t, "127.0.0.2", "127.0.0.2")
				begun, end := make(chan struct{}), make(chan struct{})
				at := serveBothVersions(t, "", func(w http.ResponseWriter, r *http.Request) {
					if r.URL.Path == "/long" {
						close(begun)
						<-end
					}
					_, _ = io.WriteString(w, r.Context().Value(http.LocalAddrContextKey).(net.Addr).(*net.TCPAddr).IP.String())
				})
				d := newDirectory(t)
				d.setAddress("app.test", [4]byte{127, 0, 0, 1})
				p := startWithService(t, multi, d, object{
					"servers": object{"api": object{"protocol": protocol, "hosts": []object{{"host": "app.test", "port": at.Port}}}},
				})
				client := dialKeepAlive(t, p.port)
				client.expect("127.0.0.1")
				long := make(chan string, 1)
				go func() {
					c := p.client()
					defer c.CloseIdleConnections()
					res, err := c.Get(fmt.Sprintf("http://127.0.0.1:%d/long", p.port))
					if err != nil {
						long <- err.Error()
						return
					}
					defer res.Body.Close()
					b, _ := io.ReadAll(res.Body)
					long <- string(b)
				}()
				<-begun
				d.setAddress("app.test", [4]byte{127, 0, 0, 2})
				eventually(t, "requests go to where the name leads", func() bool {
					send(t, client.c, "GET / HTTP/1.1\r\nHost: a.example\r\n\r\n")
					res, body := reply(t, client.in, "GET")
					if res.StatusCode != http.StatusOK {
						t.Fatalf("status %d", res.StatusCode)
					}
					return body == "127.0.0.2"
				})
				close(end)
				if got := <-long; got != "127.0.0.1" {
					t.Errorf("the request in flight ended with %q", got)
				}
				for range 20 {
					client.expect("127.0.0.2")
				}
			})
		})
	}
}

const servicesChanged = `msg="kroxy-ev: the hosts of a service have changed"`

// The proxy uses the hosts of an SRV answer that have the lowest priority, on their ports. A changed answer is adopted without a reload: clients keep their
// connections, processes go on, and without an answer the last one stays in use.
func TestServiceChanges(t *testing.T) {
	t.Parallel()
	modes(t, func(t *testing.T, multi bool) {
		hosts, d := namedHosts(t, 3), newDirectory(t)
		a, b, c := d.srvRecord(hosts[0].endpoint, 1, 0), d.srvRecord(hosts[1].endpoint, 1, 0), d.srvRecord(hosts[2].endpoint, 9, 0)
		d.setService(apiService, a, b, c)
		p := startWithService(t, multi, d, nil)
		if got := p.distinctAnswers(20); got != "A B" {
			t.Errorf("hosts %s answered, want the two of the lowest priority", got)
		}
		var pids []int
		if multi {
			pids = p.workers()
		}
		client := dialKeepAlive(t, p.port)
		d.setService(apiService, c)
		p.await(p.stderr, servicesChanged+" service="+apiService+" hosts=1 new=0 gone=2")
		client.expect("C")
		if got := p.distinctAnswers(10); got != "C" {
			t.Errorf("hosts %s answered, want the one that is left", got)
		}
		d.setService(apiService)
		p.await(p.stderr, "the hosts of a service cannot be resolved; the known hosts stay.* hosts=1 .*there is no such name")
		if got := p.distinctAnswers(4); got != "C" {
			t.Errorf("hosts %s answered, want the last known one", got)
		}
		d.setService(apiService, a)
		p.await(p.stderr, "the hosts of a service can be resolved again")
		p.await(p.stderr, servicesChanged+" service="+apiService+" hosts=1 new=1 gone=1")
		client.expect("A")
		if multi && !slices.Equal(pids, p.workers()) {
			t.Errorf("workers %v have become %v", pids, p.workers())
		}
		// A reload of the same file changes nothing.
		p.mustOrder("reload")
		client.expect("A")
	})
}

// No request is lost while the hosts of a service change again and again.
func TestServiceChangesUnderLoad(t *testing.T) {
	t.Parallel()
	hosts, d := namedHosts(t, 3), newDirectory(t)
	var records []dnsmessage.SRVResource
	for _, h := range hosts {
		records = append(records, d.srvRecord(h.endpoint, 0, 1))
	}
	d.setService(apiService, records...)
	p := startWithService(t, true, d, nil)
	stop, failed := make(chan struct{}), make(chan string, 64)
	var clients sync.WaitGroup
	for range 3 {
		clients.Go(func() {
			c := &http.Client{Timeout: 2 * patience, Transport: &http.Transport{}}
			defer c.CloseIdleConnections()
			for {
				select {
				case <-stop:
					return
				case <-time.After(time.Millisecond):
				}
				res, err := c.Get(p.url("/"))
				if err != nil {
					failed <- err.Error()
					return
				}
				_ = res.Body.Close()
				if res.StatusCode != http.StatusOK {
					failed <- res.Status
					return
				}
			}
		})
	}
	for i := range 3 {
		d.setService(apiService, records[i])
		eventually(t, "the service has moved", func() bool { return p.stderr.count(servicesChanged) > i })
	}
	close(stop)
	clients.Wait()
	close(failed)
	for what := range failed {
		t.Errorf("a request failed: %s", what)
	}
}

// The counts of a host belong to its address: least_conn knows the sessions from before the change.
func TestServiceChangeKeepsCounts(t *testing.T) {
	t.Parallel()
	modes(t, func(t *testing.T, multi bool) {
		d := newDirectory(t)
		var records []dnsmessage.SRVResource
		for i := range 3 {
			addr := fmt.Sprintf("127.0.0.%d", i+1)
			needAddress(t, addr, addr)
			records = append(records, d.srvRecord(listen(t, addr, answer(string(rune('A'+i)))).endpoint, 0, 0))
		}
		d.setService(apiService, records[:2]...)
		port := reservePort(t)
		o := d.serviceConfig(port, object{"servers": object{"api": object{"balancing_algo": "least_conn", "hosts": []object{{"srv": apiService}}}}})
		delete(o, "http")
		o["stream"] = []object{{"port": port, "proxy_to": "api"}}
		p := startFile(t, multi, nil, o)
		p.port = port
		p.awaitHosts()
		count := map[string]int{}
		for range 6 {
			_, letter := p.visit()
			count[letter]++
		}
		if count["A"] != 3 || count["B"] != 3 {
			t.Fatalf("6 sessions were distributed %v", count)
		}
		d.setService(apiService, records...)
		p.await(p.stderr, servicesChanged+" service="+apiService+" hosts=3 new=1 gone=0")
		for range 3 {
			if _, letter := p.visit(); letter != "C" {
				t.Errorf("a session went to %s, although C has fewer", letter)
			}
		}
		d.setService(apiService, records[0])
		p.await(p.stderr, "hosts=1 new=0 gone=2")
		d.setService(apiService, records...)
		p.await(p.stderr, "hosts=3 new=2 gone=0")
		clear(count)
		for range 3 { // all hosts have three then
			_, letter := p.visit()
			count[letter]++
		}
		if len(count) != 3 {
			t.Errorf("3 sessions were distributed %v, want one for each host", count)
		}
	})
}

// Hosts with the same priority share requests by weight; weight 0 counts as the lowest.
func TestServiceWeights(t *testing.T) {
	t.Parallel()
	hosts, d := namedHosts(t, 3), newDirectory(t)
	d.setService(apiService, d.srvRecord(hosts[0].endpoint, 4, 6), d.srvRecord(hosts[1].endpoint, 4, 3), d.srvRecord(hosts[2].endpoint, 4, 0))
	p := startWithService(t, true, d, nil)
	count := map[string]int{}
	for range 40 {
		count[p.letter()]++
	}
	if count["A"] != 24 || count["B"] != 12 || count["C"] != 4 {
		t.Errorf("40 requests went to %v, want 6, 3 and 1 of 10", count)
	}
}

// Hosts that a service gets later are checked like the first ones, whichever process checks.
func TestServiceHostsAreChecked(t *testing.T) {
	t.Parallel()
	modes(t, func(t *testing.T, multi bool) {
		hosts, d := namedHosts(t, 1), newDirectory(t)
		sick := serve(t, "127.0.0.1", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusTeapot) })
		good := d.srvRecord(hosts[0].endpoint, 5, 0)
		first := d.srvRecord(sick.endpoint, 0, 0)
		d.setService(apiService, good)
		p := startWithService(t, multi, d, object{"servers": object{"api": object{
			"hosts": []object{{"srv": apiService}}, "health_check": object{"interval": 100, "timeout": patience.Milliseconds()},
		}}})
		d.setService(apiService, first, good)
		p.await(p.stderr, servicesChanged+".*hosts=2 new=1 gone=0")
		p.await(p.stderr, fmt.Sprintf(`msg="check: a host is down" .*host=host-1.zone.test:%d `, sick.Port))
		eventually(t, "the host that fails its checks gets no requests", func() bool { return p.distinctAnswers(4) == "A" })
	})
}

// A service without an answer from DNS delays no other clients. Its own clients get an error, and are served once the answer is there.
func TestServiceWithoutAnAnswer(t *testing.T) {
	t.Parallel()
	modes(t, func(t *testing.T, multi bool) {
		hosts, d := namedHosts(t, 2), newDirectory(t)
		d.setSilent(true)
		port, other, raw, named := reservePort(t), reservePort(t), reservePort(t), reservePort(t)
		service := []object{{"srv": apiService}}
		p := startFile(t, multi, nil, d.serviceConfig(port, object{
			"servers": object{
				"api": object{"hosts": service}, "named": object{"hosts": service, "balancing_algo": "host"}, "other": object{"hosts": endpoints(hosts[1])},
			},
			"http":   []object{{"port": port, "proxy_to": "api"}, {"port": other, "proxy_to": "other"}, {"port": named, "proxy_to": "named"}},
			"stream": []object{{"port": raw, "proxy_to": "api"}},
		}))
		p.port = other
		if got := p.letter(); got != "B" {
			t.Errorf("the other server answered %s", got)
		}
		for _, p.port = range []int{named, port} {
			if got := p.letter(); got != "503" {
				t.Errorf("a service without hosts answered %s", got)
			}
		}
		expectEnd(t, local(raw).dial(t))
		d.setService(apiService, d.srvRecord(hosts[0].endpoint, 0, 0))
		d.setSilent(false)
		eventually(t, "the service's host answers", func() bool { return p.letter() == "A" })
	})
}

// Records whose host does not exist, or is the proxy itself, are not used, and the log says so.
func TestServiceThatLeadsNowhere(t *testing.T) {
	t.Parallel()
	hosts, d := namedHosts(t, 1), newDirectory(t)
	port := reservePort(t)
	nowhere := dnsmessage.SRVResource{Target: dnsmessage.MustNewName(".")}
	self := d.srvRecord(endpoint{"127.0.0.1", port}, 0, 0)
	good := d.srvRecord(hosts[0].endpoint, 7, 0)
	d.setService(apiService, nowhere, self, good)
	p := startFile(t, false, nil, d.serviceConfig(port, nil))
	p.port = port
	p.awaitHosts()
	p.await(p.stderr, `level=WARN msg="resolve: a host of a service is not used: its target is \\"\.\\".*service=`+apiService)
	if got := p.distinctAnswers(5); got != "A" {
		t.Errorf("hosts %s answered, want only the one that is not the proxy", got)
	}
	p.await(p.stderr, "upstream: refusing to connect to a host.*the host leads back to this proxy")
	d.setService(apiService, nowhere)
	p.await(p.stderr, "the hosts of a service cannot be resolved; the known hosts stay.*no host offers the service")
	if got := p.distinctAnswers(2); got != "A" {
		t.Errorf("hosts %s answered after the service was withdrawn, want the last known one", got)
	}
	d.setService(apiService, self)
	p.await(p.stderr, servicesChanged+".*hosts=1")
	eventually(t, "the answer is 502, because the only host is the proxy", func() bool { return p.letter() == "502" })
}

// A successor knows the hosts of services even if DNS does not answer, and so does a restarted worker.
func TestUpgradeKeepsServices(t *testing.T) {
	t.Parallel()
	hosts, d := namedHosts(t, 1), newDirectory(t)
	// The target is an address, because a successor has no other way to resolve a name.
	d.setService(apiService, dnsmessage.SRVResource{Port: uint16(hosts[0].Port), Target: dnsmessage.MustNewName("127.0.0.1.")})
	port := reservePort(t)
	p := launchOn(t, port, writeConfig(t, t.TempDir(), fileText(t, d.serviceConfig(port, nil))), true, inProcessGroup(t))
	p.awaitHosts()
	d.setSilent(true)
	old := p.workers()
	_ = unix.Kill(old[0], unix.SIGKILL)
	eventually(t, "there is another worker", func() bool { return p.stderr.count(`msg="worker serving"`) > len(old) })
	if got := p.distinctAnswers(4); got != "A" {
		t.Errorf("with another worker, hosts %s answered", got)
	}
	p.mustOrder("upgrade")
	successor := p.awaitSuccessor(1)
	if got := p.distinctAnswers(4); got != "A" {
		t.Errorf("after an upgrade, hosts %s answered", got)
	}
	p.stopSuccessor(successor)
}

// Names are resolved by the servers of resolv.conf with its search list. A changed resolv.conf is adopted without a reload.
func TestResolver(t *testing.T) {
	t.Parallel()
	modes(t, func(t *testing.T, multi bool) {
		port, _ := serveOnAddresses(t, "127.0.0.1", "127.0.0.2")
		one, two, dead := newDirectory(t), newDirectory(t), newDirectory(t)
		dead.setSilent(true)
		one.setAddress("db.one.test", [4]byte{127, 0, 0, 1})
		two.setAddress("db.two.test", [4]byte{127, 0, 0, 2})
		listen := reservePort(t)
		by := func(search string, servers ...*directory) object {
			var list []string
			for _, d := range servers {
				list = append(list, d.at)
			}
			return object{
				"workers_num": 2, "shutdown_timeout": patience.Milliseconds(),
				"resolver": object{"servers": list, "search": search},
				"servers":  object{"db": object{"hosts": []endpoint{{"db", port}}}},
				"stream":   []object{{"port": listen, "proxy_to": "db"}},
			}
		}
		p := startFile(t, multi, nil, by("one.test", dead, one))
		p.port = listen
		if got := p.countLetters(4); got["A"] != 4 {
			t.Errorf("sessions went to %v, want the address that the second server knows", got)
		}
		one.setAddress("db.one.test", [4]byte{127, 0, 0, 2}) // the TTL is 0
		eventually(t, "the address has changed", func() bool { return p.countLetters(1)["B"] == 1 })
		one.setAddress("db.one.test", [4]byte{127, 0, 0, 1})
		eventually(t, "the address has changed again", func() bool { return p.countLetters(1)["A"] == 1 })
		p.reloadTo(by("two.test", two))
		eventually(t, "the other DNS server is used", func() bool { return p.countLetters(1)["B"] == 1 })
	})
}

// /etc/hosts comes before or after DNS, as nsswitch.conf says.
func TestResolverAndFiles(t *testing.T) {
	t.Parallel()
	for sources, want := range map[string]map[string]string{
		"files dns": {"both.test": "A", "file.test": "A", "dns.test": "B"},
		"dns files": {"both.test": "B", "file.test": "A", "dns.test": "B"},
		"dns":       {"both.test": "B", "file.test": "", "dns.test": "B"},
	} {
		t.Run(sources, func(t *testing.T) {
			t.Parallel()
			port, _ := serveOnAddresses(t, "127.0.0.1", "127.0.0.2")
			d := newDirectory(t)
			d.setAddress("both.test", [4]byte{127, 0, 0, 2})
			d.setAddress("dns.test", [4]byte{127, 0, 0, 2})
			file, order := withFile(t, "/etc/hosts", "127.0.0.1 both.test file.test\n"), withFile(t, "/etc/nsswitch.conf", "hosts: "+sources+"\n")
			ports, servers := map[string]int{}, []object{}
			groups := object{}
			for name := range want {
				ports[name] = reservePort(t)
				groups[name] = object{"hosts": []endpoint{{name, port}}}
				servers = append(servers, object{"port": ports[name], "proxy_to": name})
			}
			startFile(t, false, func(cmd *exec.Cmd) { file(cmd); order(cmd) }, object{
				"shutdown_timeout": patience.Milliseconds(), "resolver": object{"servers": []string{d.at}, "search": []string{}}, "servers": groups, "stream": servers,
			})
			for name, letter := range want {
				c := local(ports[name]).dial(t)
				if letter != "" {
					expect(t, c, letter)
				}
				expectEnd(t, c)
				_ = c.Close()
			}
		})
	}
}
