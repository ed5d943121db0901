package main_test

import (
	"bufio"
	"cmp"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/pires/go-proxyproto"
	"golang.org/x/net/dns/dnsmessage"
	"golang.org/x/sys/unix"

	"kroxy-ev/engine/enginetest"
)

// machineEnv is set when the test runs in namespaces of its own. Its value is the program to be tested.
const machineEnv = "KROXY_EV_TEST_MACHINE"

// ownMachine runs the test again in a process with network and mount namespaces of its own, where it may use any port, address and file. It returns true in
// that process. Otherwise it waits for that process, passes its failure on, and returns false.
func ownMachine(t *testing.T) bool {
	t.Helper()
	if os.Getenv(machineEnv) != "" {
		return true
	}
	needRoot(t)
	need(t, "ip")
	cmd := exec.Command(os.Args[0], "-test.run=^"+regexp.QuoteMeta(t.Name())+"$", "-test.count=1", "-test.v", "-test.timeout=5m")
	cmd.Env = append(os.Environ(), machineEnv+"="+program, "GORACE="+os.Getenv("GORACE")+" atexit_sleep_ms=20")
	cmd.SysProcAttr = &syscall.SysProcAttr{Unshareflags: unix.CLONE_NEWNET | unix.CLONE_NEWNS, Pdeathsig: unix.SIGKILL}
	out, err := cmd.CombinedOutput()
	switch {
	case cmd.Process == nil:
		t.Skipf("namespaces cannot be made here: %v", err)
	case err != nil:
		t.Errorf("in namespaces of its own: %v\n%s", err, out)
	case !strings.Contains(string(out), "--- PASS: "+t.Name()):
		t.Errorf("the process in namespaces of its own did not run the test:\n%s", out)
	}
	return false
}

// setUpMachine gives these namespaces addresses, host names and empty directories.
func setUpMachine(t *testing.T) {
	t.Helper()
	hosts := writeConfig(t, t.TempDir(), []byte("127.0.0.1 localhost\n10.0.0.11 db1\n10.0.0.12 db2\n"))
	resolv := writeConfig(t, t.TempDir(), []byte("nameserver 127.0.0.1\noptions timeout:10 attempts:2\n"))
	for _, command := range []string{
		"ip link set lo up",
		"ip addr add 192.0.2.7/32 dev lo",
		"ip addr add 10.1.2.3/32 dev lo",
		"mount -t tmpfs none /run",
		"ip netns add hosts",
		"ip link add near type veth peer name far netns hosts",
		"ip link set near up",
		"ip addr add 10.0.0.99/24 dev near",
		"ip -n hosts link set far up",
		"mount -t tmpfs none /var/log",
		"mkdir /var/log/kroxy-ev",
		"mount --bind " + hosts + " /etc/hosts",
		"mount --bind " + resolv + " /etc/resolv.conf",
	} {
		words := strings.Fields(command)
		if out, err := exec.Command(words[0], words[1:]...).CombinedOutput(); err != nil {
			t.Fatalf("%s: %v\n%s", command, err, out)
		}
	}
	for _, host := range []string{"1", "2", "9", "11", "12", "21", "22", "31", "32"} {
		if out, err := exec.Command("ip", "-n", "hosts", "addr", "add", "10.0.0."+host+"/24", "dev", "far").CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
	}
}

// listenThere listens in the hosts' network namespace, so that the proxy may use the same ports.
func listenThere(t *testing.T, address string) net.Listener {
	t.Helper()
	var ln net.Listener
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends with the goroutine, so its namespace is not reused
		done <- func() error {
			ns, err := os.Open("/run/netns/hosts")
			if err != nil {
				return err
			}
			defer ns.Close()
			if err := unix.Setns(int(ns.Fd()), unix.CLONE_NEWNET); err != nil {
				return err
			}
			ln, err = net.Listen("tcp", address)
			return err
		}()
	}()
	if err := <-done; err != nil {
		t.Fatalf("listening at %s: %v", address, err)
	}
	return ln
}

// caller sends requests through the proxy to the hosts of grammar.jsonc.
type caller struct {
	from   string // the client in the PROXY header
	host   string
	method string // "" is GET
	target string
	header http.Header
}

// ask sends a request by TLS, as a proxy in front of the tested one would.
func (c caller) ask(t *testing.T, a *authority) (*http.Response, string) {
	t.Helper()
	client := &http.Client{
		Transport: &http.Transport{
			DisableKeepAlives: true,
			DialTLSContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
				d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(10, 1, 2, 3)}}
				conn, err := d.DialContext(ctx, "tcp", "10.0.0.99:443")
				if err != nil {
					return nil, err
				}
				from := &net.TCPAddr{IP: net.ParseIP(cmp.Or(c.from, "198.51.100.7")), Port: 1234}
				if _, err := proxyproto.HeaderProxyFromAddrs(2, from, conn.RemoteAddr()).WriteTo(conn); err != nil {
					return nil, err
				}
				return tls.Client(conn, a.clientConfig("www.example")), nil
			},
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	req, err := http.NewRequest(cmp.Or(c.method, http.MethodGet), "https://"+cmp.Or(c.host, "www.example")+c.target, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header = c.header
	res, err := client.Do(req)
	if err != nil {
		t.Fatalf("%+v: %v", c, err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatalf("%+v: %v", c, err)
	}
	return res, string(body)
}

// site serves HTTP; the first word of its bodies is its name.
func (m *machine) site(name string, ln net.Listener) {
	m.t.Helper()
	s := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/healthz":
			m.note(name, 1)
		case "/hangs":
			<-r.Context().Done()
			return
		}
		_, _ = fmt.Fprintf(w, "%s %s %s id=%q debug=%q", name, r.Method, r.RequestURI, r.Header.Get("X-Request-Id"), r.Header.Get("X-Debug"))
	})}
	go func() { _ = s.Serve(ln) }()
	m.t.Cleanup(func() { _ = s.Close() })
}

// machine has all hosts of grammar.jsonc, in the test's own namespaces.
type machine struct {
	t      *testing.T
	mu     sync.Mutex
	checks map[string]int // by site
}

func (m *machine) note(site string, n int) int {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.checks[site] += n
	return m.checks[site]
}

// speaker sends its name to each client and then echoes. With header, it demands a PROXY header first.
func (m *machine) speaker(name, address string, header bool) net.Listener {
	m.t.Helper()
	ln := listenThere(m.t, address)
	if header {
		ln = &proxyproto.Listener{Listener: ln} // demands a header
	}
	go func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				from, _, _ := net.SplitHostPort(c.RemoteAddr().String())
				_, _ = fmt.Fprintf(c, "%s %s\n", name, from)
				_, _ = io.Copy(c, c)
			}()
		}
	}()
	m.t.Cleanup(func() { _ = ln.Close() })
	return ln
}

// greetingFrom connects from an address, sends say, and returns the first line of the host's answer, or an error if there is none.
func greetingFrom(t *testing.T, from, to, say string) (string, error) {
	t.Helper()
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}, Timeout: patience}
	c, err := d.Dial("tcp", to)
	if err != nil { // a refused client may be reset before Dial returns
		return "", err
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(patience))
	if _, err := io.WriteString(c, say); err != nil {
		return "", err
	}
	line, err := bufio.NewReader(c).ReadString('\n')
	return strings.TrimSuffix(line, "\n"), err
}

// helloFor returns a TLS ClientHello with the server name.
func helloFor(t *testing.T, name string) string {
	t.Helper()
	near, far := net.Pipe()
	defer far.Close()
	go func() {
		_ = tls.Client(near, &tls.Config{ServerName: name}).Handshake()
		_ = near.Close()
	}()
	_ = far.SetDeadline(time.Now().Add(patience))
	b := make([]byte, 64<<10)
	n, err := far.Read(b)
	if err != nil {
		t.Fatal(err)
	}
	return string(b[:n])
}

// Everything that a configuration may contain works with real clients and hosts: see config/testdata/grammar.jsonc.
func TestEverything(t *testing.T) {
	t.Parallel()
	if !ownMachine(t) {
		return
	}
	setUpMachine(t)
	a := newAuthority(t)
	id := a.issue("www.example", "*.shop.example")
	dir := filepath.Dir(id.cert)
	text, err := os.ReadFile("../../config/testdata/grammar.jsonc")
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "grammar.jsonc")
	for name, from := range map[string]string{"site.pem": id.cert, "site.key": id.key} {
		if err := os.Rename(from, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	// A check that is late because the machine stands still does not fail: the first result alone decides, and would take a good host out.
	patient := strings.NewReplacer(`"interval": 2000, "timeout": 500`, `"interval": 2000, "timeout": 30000`, `"interval": 1000`, `"interval": 1000, "timeout": 30000`)
	if err := os.WriteFile(file, []byte(patient.Replace(string(text))), 0o644); err != nil {
		t.Fatal(err)
	}

	m := &machine{t: t, checks: make(map[string]int)}
	m.site("web1", listenThere(t, "10.0.0.1:8080"))
	m.site("web2", listenThere(t, "10.0.0.2:8080"))
	m.site("web9", listenThere(t, "10.0.0.9:8080"))
	m.site("api1", listenThere(t, "10.0.0.31:9000"))
	m.site("api2", listenThere(t, "10.0.0.32:9000"))
	app, err := net.Listen("unix", "/run/app.sock")
	if err != nil {
		t.Fatal(err)
	}
	m.site("app", app)
	db1 := m.speaker("db1", "10.0.0.11:5432", true)
	m.speaker("db2", "10.0.0.12:5432", true)
	m.speaker("web-tls", "10.0.0.21:8443", false)
	m.speaker("internal", "10.0.0.22:8443", false)
	enginetest.NameServer(t, "127.0.0.1:53", serviceRecords)

	p := launch(t, func(cmd *exec.Cmd) { cmd.Dir = dir }, "--config", file, "--multiprocess")
	logged := func(pattern string) bool {
		b, _ := os.ReadFile("/var/log/kroxy-ev/error.log")
		return regexp.MustCompile(pattern).Match(b)
	}
	eventually(t, "the proxy serves", func() bool { return logged(`msg="kroxy-ev: serving".*servers=3`) })

	hung := make(chan int, 1)
	go func() {
		res, _ := caller{target: "/api/hangs"}.ask(t, a)
		hung <- res.StatusCode
	}()
	t.Run("redirect", func(t *testing.T) {
		for _, network := range []string{"tcp 127.0.0.1:80", "unix /run/kroxy.sock"} {
			at := strings.Fields(network)
			c, err := net.Dial(at[0], at[1])
			if err != nil {
				t.Fatal(err)
			}
			send(t, c, "GET /a/b?c=d HTTP/1.1\r\nHost: www.example\r\nConnection: close\r\n\r\n")
			res, _ := reply(t, bufio.NewReader(c), http.MethodGet)
			if to := res.Header.Get("Location"); res.StatusCode != http.StatusPermanentRedirect || to != "https://www.example/a/b?c=d" {
				t.Errorf("%s: status %d, Location %q", network, res.StatusCode, to)
			}
			_ = c.Close()
		}
	})
	t.Run("untrusted clients", func(t *testing.T) {
		for from, say := range map[string]string{"192.0.2.7": proxyHeader(t, 1), "10.1.2.3": "GET / HTTP/1.1\r\n\r\n"} {
			if line, err := greetingFrom(t, from, "10.0.0.99:443", say); err == nil {
				t.Errorf("the untrusted client %s got the answer %q", from, line)
			}
		}
	})
	t.Run("routes", func(t *testing.T) {
		canary, debug := http.Header{"X-Canary": {"1"}}, http.Header{"X-Debug": {"yes"}, "X-Tenant": {"acme"}}
		for _, tc := range []struct {
			caller
			status int
			body   string // a regular expression
		}{
			{caller{target: "/api/users?x=%2F", header: debug}, 200, `^api[12] GET /users\?x=%2F id="[0-9a-zA-Z-]+" debug=""$`},
			{caller{host: "a.b.shop.example", target: "/api/users", method: http.MethodPost, header: debug}, 200, `^api[12] POST /users `},
			{caller{host: "shop.example", target: "/api/users", header: canary}, 200, `^app GET /api/users `},
			{caller{target: "/api/users", method: http.MethodDelete, header: canary}, 200, `^app DELETE /api/users `},
			{caller{target: "/apis", header: canary}, 200, `^app GET /apis `},
			{caller{target: "/robots.txt"}, 200, "^User-agent: \\*\n$"},
			{caller{target: "/admin/x", from: "192.0.2.8"}, 200, `^app GET /admin/x `},
			{caller{target: "/admin/x"}, 403, ``},
			{caller{target: "/admins", header: canary}, 200, `^app GET /admins `},
			{caller{target: "/a/../admin"}, 403, ``},
			{caller{target: "/../admin"}, 400, ``},
		} {
			res, body := tc.ask(t, a)
			if res.StatusCode != tc.status || !regexp.MustCompile(tc.body).MatchString(body) {
				t.Errorf("%+v: status %d, body %q, want %d and %s", tc.caller, res.StatusCode, body, tc.status, tc.body)
			}
			if api := strings.HasPrefix(body, "api"); api != (res.Header.Get("Cache-Control") == "no-store") {
				t.Errorf("%+v: wrong Cache-Control in %v", tc.caller, res.Header)
			}
		}
		if res, _ := (caller{target: "/robots.txt"}).ask(t, a); res.Header.Get("Content-Type") != "text/plain" {
			t.Errorf("robots.txt: wrong Content-Type in %v", res.Header)
		}
	})
	t.Run("hash", func(t *testing.T) {
		seen := map[string]string{}
		for i := range 60 {
			tenant := fmt.Sprint("tenant ", i%20)
			_, body := caller{target: "/api/", header: http.Header{"X-Tenant": {tenant}}}.ask(t, a)
			host, _, _ := strings.Cut(body, " ")
			if before := seen[tenant]; before != "" && before != host {
				t.Errorf("tenant %s got host %s and then %s", tenant, before, host)
			}
			seen[tenant] = host
		}
		if n := len(values(seen)); n != 2 {
			t.Errorf("20 tenants got %d hosts, want 2", n)
		}
	})
	t.Run("weights and sticky clients", func(t *testing.T) {
		count := map[string]int{}
		for range 100 {
			res, body := caller{target: "/"}.ask(t, a)
			name, _, _ := strings.Cut(body, " ")
			count[name]++
			var cookie *http.Cookie
			for _, c := range res.Cookies() {
				if c.Name == "kroxy" {
					cookie = c
				}
			}
			switch {
			case name == "app" && cookie != nil:
				t.Errorf("a group without sticky sessions set %v", cookie)
			case name != "app" && (cookie == nil || !cookie.HttpOnly || !cookie.Secure):
				t.Errorf("a group with sticky sessions set %v", cookie)
			case name != "app" && count[name] < 4:
				for range 3 {
					_, again := caller{target: "/", header: http.Header{"Cookie": {"a=b; kroxy=" + cookie.Value}}}.ask(t, a)
					if !strings.HasPrefix(again, name+" ") && !strings.HasPrefix(again, "app ") {
						t.Errorf("a client with the cookie of %s got %q", name, again)
					}
				}
			}
		}
		// Each worker has its own rotation, and the client's other requests shift it.
		if count["app"] > 12 || count["web1"] == 0 || count["web2"] == 0 || count["web9"] > 0 {
			t.Errorf("100 requests went to %v", count)
		}
	})
	t.Run("checks", func(t *testing.T) {
		for _, name := range []string{"web1", "web2", "web9"} {
			eventually(t, name+" is checked", func() bool { return m.note(name, 0) > 0 })
		}
	})
	t.Run("databases", func(t *testing.T) {
		for range 4 {
			if line, err := greetingFrom(t, "192.0.2.7", "10.0.0.99:5432", ""); line != "db1 192.0.2.7" {
				t.Errorf("the answer is %q, error %v; want db1", line, err)
			}
		}
		_ = db1.Close()
		for range 8 {
			if line, err := greetingFrom(t, "192.0.2.7", "10.0.0.99:5432", ""); line != "db2 192.0.2.7" {
				t.Errorf("without db1 the answer is %q, error %v; want db2", line, err)
			}
		}
	})
	t.Run("names in hellos", func(t *testing.T) {
		for _, tc := range []struct{ from, name, want string }{
			{"192.0.2.7", "a.example", "web-tls"},
			{"192.0.2.7", "x.y.b.example", "web-tls"},
			{"10.1.2.3", "b.example", "internal"},
			{"192.0.2.7", "b.example", ""},
		} {
			line, _ := greetingFrom(t, tc.from, "10.0.0.99:8443", helloFor(t, tc.name))
			if got, _, _ := strings.Cut(line, " "); got != tc.want {
				t.Errorf("%+v: the answer is %q", tc, line)
			}
		}
	})
	if status := <-hung; status != http.StatusGatewayTimeout {
		t.Errorf("a host that hangs: status %d, want 504", status)
	}
	p.stop()
}

// values returns the distinct values of m.
func values(m map[string]string) map[string]bool {
	set := make(map[string]bool)
	for _, v := range m {
		set[v] = true
	}
	return set
}

// serviceRecords answers queries for the names of grammar.jsonc that are not in /etc/hosts.
func serviceRecords(query []byte, _ bool) [][]byte {
	var m dnsmessage.Message
	if m.Unpack(query) != nil || len(m.Questions) != 1 {
		return nil
	}
	q := m.Questions[0]
	m.Response, m.Additionals = true, nil
	answer := func(body dnsmessage.ResourceBody) {
		m.Answers = append(m.Answers, dnsmessage.Resource{Header: dnsmessage.ResourceHeader{Name: q.Name, Class: q.Class, TTL: 60}, Body: body})
	}
	switch name := q.Name.String(); {
	case name == "_api._tcp.example." && q.Type == dnsmessage.TypeSRV:
		for _, target := range []string{"api1.example.", "api2.example."} {
			answer(&dnsmessage.SRVResource{Priority: 10, Weight: 1, Port: 9000, Target: dnsmessage.MustNewName(target)})
		}
	case q.Type == dnsmessage.TypeA && name == "api1.example.":
		answer(&dnsmessage.AResource{A: [4]byte{10, 0, 0, 31}})
	case q.Type == dnsmessage.TypeA && name == "api2.example.":
		answer(&dnsmessage.AResource{A: [4]byte{10, 0, 0, 32}})
	case name != "_api._tcp.example." && name != "api1.example." && name != "api2.example.":
		m.RCode = dnsmessage.RCodeNameError
	}
	b, err := m.Pack()
	if err != nil {
		return nil
	}
	return [][]byte{b}
}
