package main_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

// Requests with both an Upgrade and a body, as "docker exec" and "docker attach" send them.

const (
	execConfig = `{"Detach":false,"Tty":true,"ConsoleSize":[24,80]}`
	execHead   = "POST /v1.47/exec/0123/start HTTP/1.1\r\nHost: docker\r\nUser-Agent: Docker-Client/27.0\r\nContent-Type: application/json\r\n"
	tcpUpgrade = "Connection: Upgrade\r\nUpgrade: tcp\r\n"
	upgraded   = "HTTP/1.1 101 UPGRADED\r\nContent-Type: application/vnd.docker.raw-stream\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n"
)

// execRequests are the ways to send execConfig: the last fields of the head, what the client sends at once, and the rest.
var execRequests = map[string]struct {
	fields, body, rest string
	waits              bool // the client waits for a 100
}{
	"length":               {fmt.Sprintf("Content-Length: %d\r\n", len(execConfig)), execConfig, "", false},
	"length in two parts":  {fmt.Sprintf("Content-Length: %d\r\n", len(execConfig)), execConfig[:9], execConfig[9:], false},
	"chunked":              {"Transfer-Encoding: chunked\r\n", fmt.Sprintf("%x\r\n%s\r\n0\r\n\r\n", len(execConfig), execConfig), "", false},
	"chunked in two parts": {"Transfer-Encoding: chunked\r\n", fmt.Sprintf("%x\r\n%s", len(execConfig), execConfig), "\r\n0\r\n\r\n", false},
	"continue":             {fmt.Sprintf("Expect: 100-continue\r\nContent-Length: %d\r\n", len(execConfig)), "", execConfig, true},
	"no body":              {"Content-Length: 0\r\n", "", "", false},
}

// The proxy relays the whole request with its Upgrade field, and nothing after it before the 101. Then bytes flow both ways, and each direction ends by
// itself.
func TestHTTPUpgradeWithBody(t *testing.T) {
	t.Parallel()
	skipUnderRace(t, "all of it happens on one loop")
	ca := newAuthority(t)
	id := ca.issue("127.0.0.1")
	for by, w := range map[string]tlsSides{"TCP": {}, "TLS": {true, true}} {
		for name, ask := range execRequests {
			t.Run(name+"/"+by, func(t *testing.T) {
				t.Parallel()
				h := listen(t, "127.0.0.1", nil)
				p := startHTTP(t, w.setup(endpoints(h), id, ca, nil))
				idle := p.sockets()
				c := halfCloser(p.dial())
				if w.client {
					c = p.dialTLS(ca.clientConfig("127.0.0.1"))
				}
				send(t, c, execHead+tcpUpgrade+ask.fields+"\r\n"+ask.body)
				var s halfCloser
				if w.host {
					s = h.acceptTLS(id.config())
				} else {
					s = h.accept()
				}
				hostIn, clientIn := bufio.NewReader(s), bufio.NewReader(c)
				req, err := http.ReadRequest(hostIn)
				if err != nil {
					t.Fatal(err)
				}
				if req.Header.Get("Upgrade") != "tcp" || !strings.EqualFold(req.Header.Get("Connection"), "upgrade") || req.Header.Get("Content-Type") != "application/json" {
					t.Errorf("the host got %v", req.Header)
				}
				if ask.waits {
					send(t, s, "HTTP/1.1 100 Continue\r\n\r\n")
					if res, err := http.ReadResponse(clientIn, nil); err != nil || res.StatusCode != 100 {
						t.Fatalf("got %v, %v; want 100", res, err)
					}
				}
				const early = "early bytes of the other protocol"
				send(t, c, ask.rest+early)
				want := execConfig
				if name == "no body" {
					want = ""
				}
				if body, err := io.ReadAll(req.Body); err != nil || string(body) != want {
					t.Fatalf("the host got the body %q, error %v", body, err)
				}
				if !w.host { // a tls.Conn is unusable after its deadline has passed
					_ = s.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
					if b, err := hostIn.ReadByte(); err == nil {
						t.Fatalf("%q arrived before the 101", b)
					}
					_ = s.SetReadDeadline(time.Now().Add(patience))
				}
				send(t, s, upgraded+"prompt")
				expectSwitch(t, clientIn, "prompt")
				expectFrom(t, hostIn, early)
				sent := make(chan error, 1)
				go func() { sent <- write(c, bulk[:4<<20]) }()
				expectFrom(t, hostIn, bulk[:4<<20])
				if err := <-sent; err != nil {
					t.Fatal(err)
				}
				_ = c.CloseWrite()
				expectEnd(t, hostIn)
				go func() {
					_ = write(s, bulk[:4<<20])
					_ = s.CloseWrite()
				}()
				expectFrom(t, clientIn, bulk[:4<<20])
				expectEnd(t, clientIn)
				_, _ = c.Close(), s.Close()
				p.awaitSockets(t, "all sockets are closed", func(n int) bool { return n <= idle })
			})
		}
	}
}

// expectSwitch demands a 101 to tcp, and then behind.
func expectSwitch(t *testing.T, in *bufio.Reader, behind string) {
	t.Helper()
	res, err := http.ReadResponse(in, nil)
	if err != nil || res.StatusCode != 101 || res.Header.Get("Upgrade") != "tcp" || res.Header.Get("Content-Type") != "application/vnd.docker.raw-stream" {
		t.Fatalf("got %v, error %v; want 101", res, err)
	}
	expectFrom(t, in, behind)
}

// expectFrom reads len(s) bytes and demands that they are s.
func expectFrom(t *testing.T, in io.Reader, s string) {
	t.Helper()
	got := make([]byte, len(s))
	if n, err := io.ReadFull(in, got); err != nil || string(got) != s {
		t.Fatalf("read %d bytes (%.40q), error %v; want %.40q", n, got[:n], err, s)
	}
}

// A host may send the 101 before it has the whole request: Docker does so once it has understood the JSON, perhaps before the last chunk. The rest of the
// request still precedes everything else (RFC 9110 section 7.8).
func TestHTTPUpgradeBeforeTheWholeBody(t *testing.T) {
	t.Parallel()
	for name, ask := range map[string]struct{ fields, body, rest string }{
		"length":  {"Content-Length: 10\r\n", "01234", "56789"},
		"chunked": {"Transfer-Encoding: chunked\r\n", "5\r\n01234\r\n", "5\r\n56789\r\n0\r\n\r\n"},
		"nothing": {"Content-Length: 10\r\n", "", "0123456789"},
	} {
		begin := func(t *testing.T, s settings) (p *proxy, c, s2 *net.TCPConn, hostIn *bufio.Reader, body io.Reader) {
			h := listen(t, "127.0.0.1", nil)
			p = startHTTP(t, setup{hosts: endpoints(h), settings: s})
			c = p.dial()
			send(t, c, execHead+tcpUpgrade+ask.fields+"\r\n"+ask.body)
			server := h.accept()
			hostIn = bufio.NewReader(server)
			req, err := http.ReadRequest(hostIn)
			if err != nil {
				t.Fatal(err)
			}
			send(t, server, upgraded+"first")
			return p, c, server, hostIn, req.Body
		}
		t.Run(name+"/goes on", func(t *testing.T) {
			t.Parallel()
			_, c, s, hostIn, body := begin(t, nil)
			in := bufio.NewReader(c)
			expectSwitch(t, in, "first")
			send(t, s, "second") // must not be taken for part of a response
			send(t, c, ask.rest+"third")
			if got, err := io.ReadAll(body); err != nil || string(got) != "0123456789" {
				t.Fatalf("the host got the body %q, error %v", got, err)
			}
			expectFrom(t, hostIn, "third")
			expectFrom(t, in, "second")
			_ = s.CloseWrite()
			expectEnd(t, in)
		})
		t.Run(name+"/client ends", func(t *testing.T) {
			t.Parallel()
			p, c, s, _, _ := begin(t, nil)
			expectSwitch(t, bufio.NewReader(c), "first")
			_ = c.CloseWrite()
			expectReset(t, s)
			expectClosed(t, c)
			p.stop()
		})
		t.Run(name+"/client is silent", func(t *testing.T) {
			t.Parallel()
			p, c, s, _, _ := begin(t, settings{"client_body_timeout": ample})
			expectSwitch(t, bufio.NewReader(c), "first")
			expectReset(t, s)
			expectClosed(t, c)
			p.stop()
		})
		t.Run(name+"/host leaves", func(t *testing.T) {
			t.Parallel()
			p, c, s, _, _ := begin(t, nil)
			expectSwitch(t, bufio.NewReader(c), "first")
			reset(s)
			go func() {
				for write(c, ask.rest) == nil {
					time.Sleep(time.Millisecond)
				}
			}()
			expectClosed(t, c)
			p.stop()
		})
	}
}

// Upgrades that the proxy does not relay, or the host does not agree to.
func TestHTTPUpgradeWithBodyRefused(t *testing.T) {
	t.Parallel()
	const body = "Content-Length: 3\r\n\r\nabc"
	h := startRecorder(t)
	p := startHTTP(t, setup{hosts: []endpoint{h.endpoint}, settings: settings{"forwarded_headers": false}})
	for name, test := range map[string]struct {
		in, host string // host is what reaches the host
		script   string // hello if ""
		status   int
	}{
		"declined":           {postHead + tcpUpgrade + body, postHead + "Content-Length: 3\r\nUpgrade: tcp\r\nConnection: upgrade\r\n\r\nabc", "", 200},
		"h2c":                {postHead + "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n" + body, postHead + body, "", 200},
		"h2c among others":   {postHead + "Connection: Upgrade\r\nUpgrade: h2c, tcp\r\n" + body, postHead + "Content-Length: 3\r\nUpgrade: tcp\r\nConnection: upgrade\r\n\r\nabc", "", 200},
		"without connection": {postHead + "Upgrade: tcp\r\n" + body, postHead + body, "", 200},
		"1.0":                {strings.Replace(postHead, "1.1", "1.0", 1) + tcpUpgrade + body, postHead + body, "", 200},
		"101 for h2c":        {postHead + "Connection: Upgrade\r\nUpgrade: h2c\r\n" + body, postHead + body, "HTTP/1.1 101 S\r\nConnection: upgrade\r\nUpgrade: h2c\r\n\r\n", 502},
		// It is unknown whether the client will still send its body.
		"101 in place of 100": {postHead + tcpUpgrade + "Expect: 100-continue\r\nContent-Length: 3\r\n\r\n",
			postHead + "Expect: 100-continue\r\nContent-Length: 3\r\nUpgrade: tcp\r\nConnection: upgrade\r\n\r\n", early + upgraded, 502},
	} {
		t.Run(name, func(t *testing.T) {
			script := test.script
			if script == "" {
				script = hello
			}
			h.begin([]string{script + halts})
			c := p.dial()
			send(t, c, test.in)
			expectStatus(t, bufio.NewReader(c), test.status)
			_ = c.Close()
			h.hangUp()
			if got := h.all(); len(got) != 1 || got[0] != test.host {
				t.Errorf("the host got %q\nwant %q", got, test.host)
			}
		})
	}
}
