package httpcodec

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"kroxy-ev/engine/accesslog"
	"kroxy-ev/engine/enginetest"
	"kroxy-ev/httpcodec/http1/http1test"
	"kroxy-ev/logformat"
)

// logged is a proxy whose access log is kept.
type logged struct {
	*proxy
	log *accesslog.Log
	out bytes.Buffer
}

const everyVariable = `$client_addr $bytes_sent_upstream $bytes_sent_downstream $processing_time $request_method $request_uri $status "$http_user_agent"`

func startLogged(t testing.TB, change func(*flat), hosts ...netip.AddrPort) *logged {
	t.Helper()
	return startLoggedAs(t, everyVariable, change, hosts...)
}

func startLoggedAs(t testing.TB, line string, change func(*flat), hosts ...netip.AddrPort) *logged {
	t.Helper()
	return rig{}.startLogged(t, line, change, hosts...)
}

func (g rig) startLogged(t testing.TB, line string, change func(*flat), hosts ...netip.AddrPort) *logged {
	t.Helper()
	format, err := logformat.Compile(line, logformat.HTTP)
	if err != nil {
		t.Fatal(err)
	}
	l := &logged{}
	l.log = accesslog.New("test", &l.out, accesslog.Options{FlushInterval: time.Hour})
	t.Cleanup(func() { _ = l.log.Close(time.Second) })
	g.access = l.log.NewBuffer(format)
	l.proxy = g.start(t, change, hosts...)
	return l
}

var logLine = regexp.MustCompile(`^\[\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\]: (.*) (\d+)ms (.*)$`)

// lines stops the proxy and returns the log without times; the times are returned separately.
func (l *logged) lines(t testing.TB) (all []string, took []time.Duration) {
	t.Helper()
	l.stop()
	if err := l.log.Reopen(); err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(l.out.String()) {
		m := logLine.FindStringSubmatch(strings.TrimSuffix(line, "\n"))
		if m == nil {
			t.Fatalf("a line of the access log: %q", line)
		}
		ms, _ := strconv.Atoi(m[2])
		all, took = append(all, m[1]+" "+m[3]), append(took, time.Duration(ms)*time.Millisecond)
	}
	if n := l.server.Stats().Exchanges.Load(); n != int64(len(all)) {
		t.Errorf("%d exchanges counted, %d logged", n, len(all))
	}
	return all, took
}

func TestAccessLog(t *testing.T) {
	t.Parallel()
	const agent = "User-Agent: curl/8 (x)\r\n"
	get := "GET /a?b=c HTTP/1.1\r\nHost: p\r\n" + agent + "\r\n"
	early103 := "HTTP/1.1 103 Early\r\nLink: a\r\n\r\n"
	n := func(s string) string { return strconv.Itoa(len(s)) }
	line := func(up, down, rest string) string { return "127.0.0.1 " + n(up) + " " + n(down) + " " + rest }
	fails := page(502, true)
	for _, tc := range []struct {
		name    string
		set     func(*flat)
		in      string
		half    bool
		replies []string
		out     string // exactly
		ending  string // empty if the connection stays open
		want    []string
	}{
		{name: "get", in: get, replies: []string{hi}, out: hi, want: []string{line(get, hi, `GET /a?b=c 200 "curl/8 (x)"`)}},
		{name: "no user agent", in: getRoot, replies: []string{hi}, out: hi, want: []string{line(getRoot, hi, `GET / 200 "-"`)}},
		{name: "head", in: "HEAD" + get[3:], replies: []string{okHead + "Content-Length: 5\r\n\r\n"}, out: okHead + "Content-Length: 5\r\n\r\n",
			want: []string{line("HEAD"+get[3:], okHead+"Content-Length: 5\r\n\r\n", `HEAD /a?b=c 200 "curl/8 (x)"`)}},
		{name: "chunked both ways", in: postRoot + te + "\r\n3;ext\r\nabc\r\n0\r\n\r\n", replies: []string{okHead + te + "\r\n2\r\nhi\r\n0\r\n\r\n"}, out: okHead + te + "\r\n2\r\nhi\r\n0\r\n\r\n",
			want: []string{line(postRoot+te+"\r\n3\r\nabc\r\n0\r\n\r\n", okHead+te+"\r\n2\r\nhi\r\n0\r\n\r\n", `POST / 200 "-"`)}},
		{name: "pipelined", in: get + postRoot + "Content-Length: 2\r\n\r\nab" + getRoot, replies: []string{hi, "HTTP/1.1 204 No\r\nDate: t\r\n\r\n", hi}, out: hi + "HTTP/1.1 204 No\r\nDate: t\r\n\r\n" + hi,
			want: []string{line(get, hi, `GET /a?b=c 200 "curl/8 (x)"`), line(postRoot+"Content-Length: 2\r\n\r\nab", "HTTP/1.1 204 No\r\nDate: t\r\n\r\n", `POST / 204 "-"`), line(getRoot, hi, `GET / 200 "-"`)}},
		{name: "own reply", in: ping, out: pingBack, want: []string{line("", pingBack, `OPTIONS * 200 "-"`)}},
		{name: "absolute form is logged as it came", in: "GET http://p/x HTTP/1.1\r\nHost: p\r\n\r\n", replies: []string{hi}, out: hi, want: []string{line("GET /x HTTP/1.1\r\nHost: p\r\n\r\n", hi, `GET http://p/x 200 "-"`)}},
		{name: "1xx before", in: get, replies: []string{early103 + early103 + hi}, out: early103 + early103 + hi, want: []string{line(get, early103+early103+hi, `GET /a?b=c 200 "curl/8 (x)"`)}},
		{name: "1xx and then none", in: getRoot, replies: []string{early103 + closes}, out: early103 + fails, want: []string{line(getRoot, early103+fails, `GET / 502 "-"`)}},
		{name: "failed line", in: "GET /a#b HTTP/1.1\r\nHost: p\r\n" + agent + "\r\n", out: page(400, false), ending: "eof", want: []string{line("", page(400, false), `GET /a#b 400 "-"`)}},
		{name: "failed line, forged", in: "GET /a\" 200 \"x HTTP/1.1\r\nX: y\r\n\r\n", out: page(400, false), ending: "eof", want: []string{line("", page(400, false), `GET /a\x22\x20200\x20\x22x 400 "-"`)}},
		{name: "no line", in: "\x16\x03\x01\x00\xf1\x01\n", out: page(400, false), ending: "eof", want: []string{line("", page(400, false), `- \x16\x03\x01\x00\xF1\x01 400 "-"`)}},
		{name: "long line", in: "GET /" + strings.Repeat("a", 9000) + " HTTP/1.1\r\n\r\n", out: page(414, false), ending: "eof", want: []string{line("", page(414, false), `GET /`+strings.Repeat("a", maxLoggedLine-5)+` 414 "-"`)}},
		{name: "failed field", in: "GET /a HTTP/1.1\r\n" + agent + "Host : p\r\n\r\n", out: page(400, false), ending: "eof", want: []string{line("", page(400, false), `GET /a 400 "curl/8 (x)"`)}},
		{name: "failed behind a request", in: getRoot + "\x01" + getRoot, replies: []string{hi}, out: hi + page(400, false), ending: "eof",
			want: []string{line(getRoot, hi, `GET / 200 "-"`), line("", page(400, false), `\x01GET / 400 "-"`)}},
		{name: "no host", set: func(s *flat) { s.Group = byName(t, s.Group, "q") }, in: get, out: page(421, true), want: []string{line("", page(421, true), `GET /a?b=c 421 "curl/8 (x)"`)}},
		{name: "nonsense from the host", in: get + getRoot, replies: []string{"nonsense\r\n\r\n", hi}, out: fails + hi, want: []string{line(get, fails, `GET /a?b=c 502 "curl/8 (x)"`), line(getRoot, hi, `GET / 200 "-"`)}},
		{name: "host ends inside a body", in: getRoot, replies: []string{okHead + "Content-Length: 5\r\n\r\nabc" + closes}, out: okHead + "Content-Length: 5\r\n\r\nabc", ending: "cut",
			want: []string{line(getRoot, okHead+"Content-Length: 5\r\n\r\nabc", `GET / 200 "-"`)}},
		{name: "client ends inside its body", in: postRoot + "Content-Length: 5\r\n\r\nabc", half: true, ending: "reset", want: []string{line(postRoot+"Content-Length: 5\r\n\r\nabc", "", `POST / 499 "-"`)}},
		{name: "client ends inside a head", in: getRoot[:20], half: true, ending: "eof", want: []string{line("", "", `GET / 499 "-"`)}},
		{name: "client ends inside a request line", in: getRoot[:8], half: true, ending: "eof", want: []string{line("", "", `GET /\x20HT 499 "-"`)}},
		{name: "client ends after an empty line", in: "\r\n", half: true, ending: "eof"},
		{name: "client ends at once", half: true, ending: "eof"},
		{name: "body too large", set: limit(2), in: postRoot + "Content-Length: 3\r\n\r\nabc", out: page(413, false), ending: "eof", want: []string{line("", page(413, false), `POST / 413 "-"`)}},
		{name: "malformed chunk at once", in: postRoot + te + "\r\nzz\r\n", out: page(400, false), ending: "eof", want: []string{line("", page(400, false), `POST / 400 "-"`)}},
		{name: "repeated", in: getRoot + getRoot, replies: []string{hi, closes, hi}, out: hi + hi, want: []string{line(getRoot, hi, `GET / 200 "-"`), line(getRoot+getRoot, hi, `GET / 200 "-"`)}},
		{name: "slow head", set: func(s *flat) { s.Server.ClientHeaderTimeout = 2 * time.Second }, in: "GET /a HTTP/1.1\r\n" + agent + "X", out: page(408, false), ending: "eof",
			want: []string{line("", page(408, false), `GET /a 408 "curl/8 (x)"`)}},
		{name: "silent host", set: func(s *flat) { s.ProxyReadTimeout = 50 * time.Millisecond }, in: getRoot, replies: []string{halts}, out: page(504, true), want: []string{line(getRoot, page(504, true), `GET / 504 "-"`)}},
		{name: "two agents", in: "GET / HTTP/1.1\r\nHost: p\r\nuser-agent: a\r\nUser-Agent: b\r\n\r\n", replies: []string{hi}, out: hi,
			want: []string{line("GET / HTTP/1.1\r\nHost: p\r\nuser-agent: a\r\nUser-Agent: b\r\n\r\n", hi, `GET / 200 "a"`)}},
		{name: "set agent", set: func(s *flat) { s.Policies.Request = http1test.Headers(t, "User-Agent", "ours") }, in: get, replies: []string{hi}, out: hi,
			want: []string{line("GET /a?b=c HTTP/1.1\r\nHost: p\r\nUser-Agent: ours\r\n\r\n", hi, `GET /a?b=c 200 "curl/8 (x)"`)}},
		{name: "injection", in: "GET /\"\\ HTTP/1.1\r\nHost: p\r\nUser-Agent: a\"\t\xff\\x0a\r\n\r\n", replies: []string{hi}, out: hi,
			want: []string{line("GET /\"\\ HTTP/1.1\r\nHost: p\r\nUser-Agent: a\"\t\xff\\x0a\r\n\r\n", hi, `GET /\x22\x5C 200 "a\x22\x09\xFF\x5Cx0a"`)}},
		{name: "injection refused", in: "GET / HTTP/1.1\r\nHost: p\r\nUser-Agent: a\x1b[31m\nb\x00\r\n\r\n", out: page(400, false), ending: "eof", want: []string{line("", page(400, false), `GET / 400 "-"`)}},
		{name: "agent of one request is not the next one's", in: get + getRoot + "GE\x01\r\n\r\n", replies: []string{hi, hi}, out: hi + hi + page(400, false), ending: "eof",
			want: []string{line(get, hi, `GET /a?b=c 200 "curl/8 (x)"`), line(getRoot, hi, `GET / 200 "-"`), line("", page(400, false), `- GE\x01 400 "-"`)}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			h := startRecorder(t, tc.replies...)
			l := startLogged(t, tc.set, h.addr)
			c := l.dial()
			send(c, tc.in, nil)
			if tc.half {
				_ = c.CloseWrite()
			}
			if tc.ending != "" {
				got, how := readAll(c)
				if tc.ending == "cut" && (how == "reset" || how == "eof") {
					how = tc.ending // Content-Length shows the end
				}
				if got != tc.out || how != tc.ending {
					t.Errorf("got %q, %s\nwant %q, %s", got, how, tc.out, tc.ending)
				}
			} else {
				readN(t, c, tc.out)
			}
			c.Close()
			awaitActive(t, l.proxy, 0)
			got, _ := l.lines(t)
			if !slices.Equal(got, tc.want) {
				t.Errorf("logged %q\nwant %q", got, tc.want)
			}
			if tc.name != "set agent" && tc.name != "client ends inside its body" { // in these cases the host's connection is reset
				var up, seen int
				for _, line := range got {
					k, _ := strconv.Atoi(strings.Fields(line)[1])
					up += k
				}
				for _, s := range h.seen(min(up, 1)) { // the host may accept the connection later than the proxy gives it up
					seen += len(s)
				}
				if up != seen {
					t.Errorf("%d bytes logged as sent to the host, which has got %d", up, seen)
				}
			}
		})
	}
}

func TestAccessLogOfUnreachableHosts(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		hosts []netip.AddrPort
		want  string
	}{
		{[]netip.AddrPort{enginetest.Refusing(t, enginetest.Loopback)}, pageLater(502)},
		{nil, pageLater(503)},
	} {
		l := startLogged(t, nil, tc.hosts...)
		c := l.dial()
		send(c, getRoot, nil)
		readN(t, c, tc.want)
		got, _ := l.lines(t)
		if want := fmt.Sprintf(`127.0.0.1 0 %d GET / %s "-"`, len(tc.want), tc.want[9:12]); !slices.Equal(got, []string{want}) {
			t.Errorf("logged %q, want %q", got, want)
		}
	}
}

// A client that leaves while it waits has received no status, which is logged as 499.
func TestAccessLogOfClientsThatLeave(t *testing.T) {
	t.Parallel()
	asked := make(chan struct{}, 1)
	l := startLogged(t, nil, enginetest.Accepting(t, enginetest.Loopback, func(c *net.TCPConn) {
		_, _ = io.ReadFull(c, make([]byte, len(getRoot)))
		asked <- struct{}{}
		enginetest.Hold(c)
	}))
	c := l.dial()
	send(c, getRoot, nil)
	<-asked
	_ = c.SetLinger(0)
	c.Close()
	awaitActive(t, l.proxy, 0)
	if got, _ := l.lines(t); !slices.Equal(got, []string{fmt.Sprintf(`127.0.0.1 %d 0 GET / 499 "-"`, len(getRoot))}) {
		t.Errorf("logged %q", got)
	}
}

// A tunnel is one line, with the bytes and the time of the request and the tunnel together.
func TestAccessLogOfTunnels(t *testing.T) {
	t.Parallel()
	for _, abort := range []bool{false, true} {
		got := make(chan string, 1)
		ask := askSwitch[:len(askSwitch)-2] + "User-Agent: ws\r\n\r\n"
		up := "GET /w HTTP/1.1\r\nHost: p\r\nUser-Agent: ws\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n"
		l := startLogged(t, nil, enginetest.Accepting(t, enginetest.Loopback, func(c *net.TCPConn) {
			b := make([]byte, len(up))
			_, _ = io.ReadFull(c, b)
			time.Sleep(soon)
			send(c, switched+"behind", nil)
			rest := make([]byte, len("earlylater"))
			_, _ = io.ReadFull(c, rest)
			send(c, "answer", nil)
			got <- string(b) + string(rest)
			enginetest.Hold(c)
		}))
		c := l.dial()
		send(c, ask+"early", nil)
		readN(t, c, switched+"behind")
		send(c, "later", nil)
		readN(t, c, "answer")
		if s := <-got; s != up+"earlylater" {
			t.Errorf("the host got %q", s)
		}
		if n := l.server.Stats().Exchanges.Load(); n != 0 {
			t.Errorf("%d exchanges counted while the tunnel is open", n)
		}
		time.Sleep(soon)
		if !abort {
			_ = c.CloseWrite()
			_, _ = readAll(c)
			awaitActive(t, l.proxy, 0)
		}
		lines, took := l.lines(t)
		want := fmt.Sprintf(`127.0.0.1 %d %d GET /w 101 "ws"`, len(up+"earlylater"), len(switched+"behindanswer"))
		if !slices.Equal(lines, []string{want}) {
			t.Errorf("abort %v: logged %q, want %q", abort, lines, want)
		} else if took[0] < 2*soon-20*time.Millisecond || took[0] > enginetest.Patience {
			t.Errorf("abort %v: it took %v", abort, took[0])
		}
	}
}

// An exchange's time is from the first byte of its request to the last byte of its response, without the client's idle time.
func TestProcessingTime(t *testing.T) {
	t.Parallel()
	var l *logged
	h := startRecorder(t, hi, hi, hi)
	l = startLogged(t, nil, h.addr)
	c := l.dial()
	send(c, getRoot, nil)
	readN(t, c, hi)
	time.Sleep(3 * soon)
	began := time.Now()
	send(c, getRoot, nil)
	readN(t, c, hi)
	l.settle() // the exchange is logged, which may be after its response has arrived
	quick := time.Since(began)
	send(c, getRoot[:5], nil)
	l.settle()
	time.Sleep(2 * soon)
	send(c, getRoot[5:], nil)
	readN(t, c, hi)
	_, took := l.lines(t)
	if len(took) != 3 || took[1] > quick+10*time.Millisecond || took[2] < 2*soon-20*time.Millisecond {
		t.Errorf("took %v; the second %v at most, the third %v at least", took, quick, 2*soon)
	}
}
