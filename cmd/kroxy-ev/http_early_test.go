package main_test

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"fmt"
	"hash/crc32"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// Responses that arrive before the request is complete.

const (
	mega    = 1 << 20
	tooMuch = "HTTP/1.1 413 Too Much\r\nDate: now\r\nContent-Length: 2\r\n"
)

// bodies are the ways to frame a body.
var bodies = map[string]bool{"length": false, "chunked": true}

// postRequest returns the head of a request with a body of n bytes, and the body as sent.
func postRequest(n int, chunked bool) (head string, body []byte) {
	content := bytes.Repeat(noise[:mega], n/mega+1)[:n]
	if !chunked {
		return fmt.Sprintf("%sContent-Length: %d\r\n\r\n", postHead, n), content
	}
	for piece := 60_000; len(content) > 0; content = content[piece:] {
		piece = min(piece, len(content))
		body = fmt.Appendf(body, "%x\r\n%s\r\n", piece, content[:piece])
	}
	return chunkedHead, append(body, "0\r\n\r\n"...)
}

// earlyRefusals are the ways to refuse an upload early.
var earlyRefusals = map[string]struct {
	own  bool // by max_body_size
	host func(c *net.TCPConn)
}{
	"proxy": {true, func(c *net.TCPConn) { _, _ = io.Copy(io.Discard, c) }},
	"host that closes": {false, func(c *net.TCPConn) {
		readHead(c)
		_, _ = io.WriteString(c, tooMuch+"Connection: close\r\n\r\nno")
	}},
	"host that closes without a response": {false, func(c *net.TCPConn) {
		readHead(c)
		_, _ = io.WriteString(c, tooMuch+"\r\nno")
	}},
	"host that lingers": {false, func(c *net.TCPConn) {
		readHead(c)
		_, _ = io.WriteString(c, tooMuch+"Connection: close\r\n\r\nno")
		_ = c.CloseWrite()
		_, _ = io.Copy(io.Discard, c)
	}},
	"host that waits": {false, func(c *net.TCPConn) {
		readHead(c)
		_, _ = io.WriteString(c, tooMuch+"\r\nno")
		_, _ = io.Copy(io.Discard, c)
	}},
}

// readHead reads the head of a request and hardly anything after it.
func readHead(c net.Conn) {
	var seen []byte
	for b := make([]byte, 1); !bytes.HasSuffix(seen, []byte("\r\n\r\n")); seen = append(seen, b[0]) {
		if _, err := c.Read(b); err != nil {
			return
		}
	}
}

// A client whose request is refused early sees the refusal, however much it sends before it reads: raw clients that send 8 MB at once or 100 MB slowly, TLS
// clients, and other programs.
func TestHTTPEarlyRefusalReachesTheClient(t *testing.T) {
	t.Parallel()
	skipUnderRace(t, "all of it happens on one loop")
	ca := newAuthority(t)
	id := ca.issue("127.0.0.1")
	file := filepath.Join(t.TempDir(), "upload")
	if err := os.WriteFile(file, []byte(bulk[:8*mega]), 0o600); err != nil {
		t.Fatal(err)
	}
	for who, refuser := range earlyRefusals {
		s := settings{"send_timeout": 3 * patience.Milliseconds()}
		if refuser.own {
			s["max_body_size"] = 1000
		}
		for framing, chunked := range bodies {
			for by, secure := range map[string]bool{"TCP": false, "TLS": true} {
				t.Run(who+"/raw/"+framing+"/"+by, func(t *testing.T) {
					t.Parallel()
					h := listen(t, "127.0.0.1", refuser.host)
					p := startHTTP(t, tlsSides{client: secure}.setup(endpoints(h), id, ca, s))
					c := halfCloser(p.dial())
					if secure {
						c = p.dialTLS(ca.clientConfig("127.0.0.1"))
					}
					head, body := postRequest(8*mega, chunked)
					send(t, c, head)
					if n, err := c.Write(body); err != nil {
						t.Fatalf("after %d bytes of the body: %v", n, err)
					}
					expectRefusal(t, c)
				})
			}
		}
		t.Run(who+"/slowly", func(t *testing.T) {
			t.Parallel()
			h := listen(t, "127.0.0.1", refuser.host)
			p := startHTTP(t, setup{hosts: endpoints(h), settings: s})
			c := p.dial()
			_ = c.SetDeadline(time.Now().Add(3 * patience))
			head, _ := postRequest(100*mega, false)
			send(t, c, head)
			for range 100 { // longer than 5 s
				if _, err := io.WriteString(c, bulk[:mega]); err != nil {
					t.Fatal(err)
				}
				time.Sleep(55 * time.Millisecond)
			}
			expectRefusal(t, c)
		})
		t.Run(who+"/net/http", func(t *testing.T) {
			t.Parallel()
			h := listen(t, "127.0.0.1", refuser.host)
			p := startHTTP(t, setup{hosts: endpoints(h), settings: s})
			req, err := http.NewRequest(http.MethodPost, p.url("/"), strings.NewReader(bulk[:8*mega]))
			if err != nil {
				t.Fatal(err)
			}
			if res, _ := do(t, p.client(), req); res.StatusCode != 413 {
				t.Errorf("status %d, want 413", res.StatusCode)
			}
		})
		for name, more := range map[string][]string{"100-continue": nil, "at once": {"-H", "Expect:"}, "chunked": {"-H", "Expect:", "-H", "Transfer-Encoding: chunked"}} {
			t.Run(who+"/curl/"+name, func(t *testing.T) {
				t.Parallel()
				curl := need(t, "curl")
				h := listen(t, "127.0.0.1", refuser.host)
				p := startHTTP(t, setup{hosts: endpoints(h), settings: s})
				args := append([]string{"-q", "-sS", "--noproxy", "*", "--max-time", "90", "-T", file, "-o", "/dev/null", "-w", "%{http_code}"}, more...)
				var stderr bytes.Buffer
				cmd := exec.CommandContext(t.Context(), curl, append(args, p.url("/"))...)
				cmd.Stderr = &stderr
				if out, err := cmd.Output(); err != nil || string(out) != "413" {
					t.Errorf("curl: %v, status %q, want 413: %s", err, out, &stderr)
				}
			})
		}
	}
}

// expectRefusal reads a 413 and then the end of the stream.
func expectRefusal(t *testing.T, c net.Conn) {
	t.Helper()
	in := bufio.NewReader(c)
	if res := expectStatus(t, in, 413); !res.Close {
		t.Error("the response has no Connection: close")
	}
	expectEnd(t, in)
}

// A host that answers early and reads on gets the whole request, and the client gets the response before that.
func TestHTTPEarlyAnswerAndTheRest(t *testing.T) {
	t.Parallel()
	skipUnderRace(t, "all of it happens on one loop")
	ca := newAuthority(t)
	id := ca.issue("127.0.0.1")
	for answer, text := range map[string]string{
		"success":      okHead + "Content-Length: 2\r\n\r\nok",
		"refusal":      tooMuch + "\r\nno",
		"last success": okHead + "Connection: close\r\nContent-Length: 2\r\n\r\nok",
		"last refusal": tooMuch + "Connection: close\r\n\r\nno",
		"chunks":       okHead + "Transfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
		"no content":   "HTTP/1.1 204 No\r\nDate: now\r\n\r\n",
	} {
		for framing, chunked := range bodies {
			for by, w := range map[string]tlsSides{"TCP": {}, "TLS": {true, true}} {
				t.Run(answer+"/"+framing+"/"+by, func(t *testing.T) {
					t.Parallel()
					h := listen(t, "127.0.0.1", nil)
					p := startHTTP(t, w.setup(endpoints(h), id, ca, settings{"reactors_num": 1}))
					c := halfCloser(p.dial())
					if w.client {
						c = p.dialTLS(ca.clientConfig("127.0.0.1"))
					}
					head, body := postRequest(8*mega, chunked)
					send(t, c, head+string(body[:10]))
					s := net.Conn(h.accept())
					if w.host {
						s = tls.Server(s, id.config())
					}
					hostIn := bufio.NewReader(s)
					req, err := http.ReadRequest(hostIn)
					if err != nil {
						t.Fatal(err)
					}
					send(t, s, text)
					in := bufio.NewReader(c)
					if res, _ := reply(t, in, http.MethodPost); !res.Close {
						t.Error("the response has no Connection: close")
					}
					expectEnd(t, in)
					sent := make(chan error, 1)
					go func() {
						_, err := c.Write(body[10:])
						sent <- err
					}()
					sum := crc32.NewIEEE()
					n, err := io.Copy(sum, req.Body)
					_, whole := postRequest(8*mega, false)
					if err != nil || n != 8*mega || sum.Sum32() != crc32.ChecksumIEEE(whole) {
						t.Errorf("the host got %d bytes, checksum %08x, error %v", n, sum.Sum32(), err)
					}
					if err := <-sent; err != nil {
						t.Errorf("the client's write failed: %v", err)
					}
					_ = c.Close()
					if strings.HasPrefix(answer, "last") {
						expectEnd(t, hostIn)
						return
					}
					// Both messages were complete: the host's connection is used again.
					again := p.client()
					if w.client {
						again = p.throughTLS(ca.clientConfig("127.0.0.1"))
					}
					got := make(chan string, 1)
					go func() {
						res, err := again.Get(p.url("/"))
						if err != nil {
							got <- err.Error()
							return
						}
						defer res.Body.Close()
						body, _ := io.ReadAll(res.Body)
						got <- string(body)
					}()
					if _, err := http.ReadRequest(hostIn); err != nil {
						t.Fatalf("the next request: %v", err)
					}
					send(t, s, hello)
					if body := <-got; body != "hello" {
						t.Errorf("got %q", body)
					}
				})
			}
		}
	}
}

// If a response and its request are under way at the same time, neither is truncated by the other.
func TestHTTPBothWaysAtOnce(t *testing.T) {
	t.Parallel()
	for framing, chunked := range bodies {
		t.Run(framing, func(t *testing.T) {
			t.Parallel()
			h := listen(t, "127.0.0.1", func(c *net.TCPConn) {
				req, err := http.ReadRequest(bufio.NewReader(c))
				if err != nil {
					return
				}
				_, _ = fmt.Fprintf(c, okHead+"Content-Length: %d\r\n\r\n", 20*mega)
				_, _ = io.Copy(c, req.Body)
			})
			p := startHTTP(t, setup{hosts: endpoints(h)})
			c := p.dial()
			head, body := postRequest(20*mega, chunked)
			sent := make(chan error, 1)
			go func() { sent <- write(c, head+string(body)) }()
			res, err := http.ReadResponse(bufio.NewReader(c), nil)
			if err != nil {
				t.Fatal(err)
			}
			sum := crc32.NewIEEE()
			n, err := io.Copy(sum, res.Body)
			_, whole := postRequest(20*mega, false)
			if err != nil || sum.Sum32() != crc32.ChecksumIEEE(whole) {
				t.Errorf("got %d bytes back, checksum %08x, error %v", n, sum.Sum32(), err)
			}
			if err := <-sent; err != nil {
				t.Error(err)
			}
		})
	}
}

// A client that waits for a 100 and gets a final response may or may not send its body. The proxy does not wait for it, and does not take the body for a
// request.
func TestHTTPFinalInPlaceOfContinue(t *testing.T) {
	t.Parallel()
	const inner = "GET /inner HTTP/1.1\r\nHost: p\r\n\r\n"
	ask := fmt.Sprintf("%sExpect: 100-continue\r\nContent-Length: %d\r\n\r\n", postHead, len(inner))
	for name, body := range map[string]string{"without body": "", "with body": inner} {
		for _, before := range []string{"", "HTTP/1.1 103 Hints\r\n\r\n"} {
			t.Run(name+before, func(t *testing.T) {
				t.Parallel()
				h := startRecorder(t)
				h.begin([]string{early + before + tooMuch + "\r\nno" + halts})
				p := startHTTP(t, setup{hosts: []endpoint{h.endpoint}, settings: settings{"forwarded_headers": false}})
				c := p.dial()
				send(t, c, ask)
				expect(t, c, before+tooMuch+"Connection: close\r\n\r\nno")
				send(t, c, body+getRequest)
				expectEnd(t, c)
				_ = c.Close()
				if got := h.all(); len(got) != 1 || got[0] != ask {
					t.Errorf("the host got %q", got)
				}
			})
		}
	}
}

// Clients that keep sending after their last response delay no other client, and delay a shutdown no longer than shutdown_timeout.
func TestHTTPLingeringClients(t *testing.T) {
	p := startHTTP(t, setup{hosts: endpoints(serve(t, "127.0.0.1", mirror)), settings: settings{"reactors_num": 1, "max_body_size": 1000, "shutdown_timeout": 500}})
	for range 4 {
		c := p.dial()
		send(t, c, postHead+"Content-Length: 1000000000000\r\n\r\n")
		go flood(c)
		expectStatus(t, bufio.NewReader(c), 413)
	}
	c := p.client()
	for range 20 {
		if _, body := p.get(c, "/"); body != "hello" {
			t.Fatalf("got %q", body)
		}
	}
	begin := time.Now()
	p.signal(unix.SIGTERM)
	if status := p.wait(); status != 0 {
		t.Errorf("exit status %d, want 0", status)
	}
	if d := time.Since(begin); d > patience/2 { // the clients send for as long as patience lasts
		t.Errorf("the shutdown took %v with a shutdown_timeout of 500 ms", d)
	}
}

// A client that stays silent after its last response is disconnected soon.
func TestHTTPSilentLingerer(t *testing.T) {
	t.Parallel()
	p := startHTTP(t, setup{hosts: endpoints(serve(t, "127.0.0.1", mirror)), settings: settings{"max_body_size": 1000}})
	idle := p.sockets()
	c := p.dial()
	begin := time.Now() // the silence begins later, but perhaps before the test sees the refusal
	send(t, c, postHead+"Content-Length: 10000\r\n\r\nhello")
	expectRefusal(t, c)
	p.awaitSockets(t, "the connection is closed", func(n int) bool { return n <= idle })
	notBefore(t, begin, 4*time.Second)
	if d := time.Since(begin); d > 20*time.Second {
		t.Errorf("the connection was closed only after %v", d)
	}
}
