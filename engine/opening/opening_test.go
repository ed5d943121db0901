package opening_test

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	oracle "github.com/pires/go-proxyproto"

	"kroxy-ev/engine"
	"kroxy-ev/engine/enginetest"
	"kroxy-ev/engine/metrics"
	"kroxy-ev/engine/opening"
	"kroxy-ev/engine/proxyproto"
	"kroxy-ev/engine/tlsconn"
)

// codec owns one connection, which is opened and then read to its end.
type codec struct {
	t       *testing.T
	loop    *enginetest.Loop
	client  *net.TCPConn // the other end
	conn    engine.Conn
	peer    opening.Peer
	socket  netip.AddrPort // the client's address
	opening *opening.Opening
	outcome outcome
	opened  int
	over    chan outcome
}

// outcome is the result that a codec gets, and what it reads.
type outcome struct {
	err    error  // of the opening
	client string // "socket" if it is the connection's own, as in:
	local  string
	name   string
	secure bool
	alpn   string
	in     string // the bytes of the stream
	end    error  // how the stream ended
}

// open begins to open a connection by rules. After a test has set dead, it must call nothing on the loop.
func open(t *testing.T, rules opening.Rules) *codec {
	t.Helper()
	return openCounted(t, rules, metrics.NewRow())
}

// openCounted is open with metrics.
func openCounted(t *testing.T, rules opening.Rules, row *metrics.Row) *codec {
	t.Helper()
	c := &codec{t: t, loop: enginetest.Start(t, engine.Options{}), over: make(chan outcome, 2)}
	set := tlsconn.NewHandshaker(c.loop.Loop)
	opener := opening.NewOpener(c.loop.Loop, set, row)
	var fd int32
	c.client, fd = enginetest.Pair(t)
	_ = c.client.SetDeadline(time.Now().Add(enginetest.Patience))
	c.socket = c.client.LocalAddr().(*net.TCPAddr).AddrPort()
	c.peer = opening.Peer{Client: c.socket}
	c.loop.Do(func() {
		if err := c.loop.Loop.Attach(&c.conn, fd, c); err != nil {
			t.Error(err)
			return
		}
		if o := opener.Open(&c.conn, &rules, &c.peer, c); o != nil && c.opened == 0 {
			c.opening = o
		}
	})
	t.Cleanup(func() {
		c.loop.Do(func() {
			if c.opening != nil {
				c.opening.Cancel()
			}
			c.conn.Close()
			set.Close()
		})
	})
	return c
}

func (c *codec) Opened(err error) {
	c.opening = nil
	c.opened++
	said := func(a, socket netip.AddrPort) string {
		if a == socket {
			return "socket"
		}
		return a.String()
	}
	c.outcome = outcome{
		err: err, client: said(c.peer.Client, c.socket), local: said(c.peer.Local(&c.conn), c.client.RemoteAddr().(*net.TCPAddr).AddrPort()),
		name: string(c.peer.Name()), secure: c.peer.Secure(), alpn: c.peer.Protocol(),
	}
	if err != nil {
		c.conn.Reset()
		c.over <- c.outcome
		return
	}
	c.Ready(&c.conn)
}

func (c *codec) Ready(*engine.Conn) {
	for c.conn.Open() && c.conn.Readable() {
		n, err := c.conn.Read(c.loop.Scratch())
		c.outcome.in += string(c.loop.Scratch()[:n])
		if err != nil && !errors.Is(err, unix.EAGAIN) {
			c.outcome.end = err
			c.conn.Close()
			c.over <- c.outcome
		}
	}
}

func (*codec) Expired(*engine.Timer) {}

// await returns the outcome, which must be the only one.
func (c *codec) await() outcome {
	c.t.Helper()
	select {
	case o := <-c.over:
		c.loop.Do(func() {
			if c.opened != 1 {
				c.t.Errorf("the codec was told of the outcome %d times", c.opened)
			}
		})
		return o
	case <-time.After(enginetest.Patience):
		c.t.Fatal("no outcome")
		return outcome{}
	}
}

// settle returns once the loop has processed what was sent.
func (c *codec) settle() {
	for range 3 {
		c.loop.Do(func() {})
	}
}

func (c *codec) send(s string) {
	c.t.Helper()
	if _, err := io.WriteString(c.client, s); err != nil {
		c.t.Fatal(err)
	}
}

// trickle sends s byte by byte, so that the loop sees each byte separately.
func (c *codec) trickle(s string) {
	c.t.Helper()
	for i := range len(s) {
		c.send(s[i : i+1])
		c.settle()
	}
}

var everybody = []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24"), netip.MustParsePrefix("127.0.0.0/8")}

// formatted returns the header as the oracle formats it.
func formatted(t *testing.T, h *oracle.Header) string {
	t.Helper()
	b, err := h.Format()
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func tcp(s string) *net.TCPAddr { return net.TCPAddrFromAddrPort(netip.MustParseAddrPort(s)) }

func headers(t *testing.T) map[string]string {
	t.Helper()
	v4, v6 := [2]*net.TCPAddr{tcp("198.51.100.7:1234"), tcp("203.0.113.1:443")}, [2]*net.TCPAddr{tcp("[2001:db8::1]:5"), tcp("[2001:db8::2]:6")}
	long := oracle.HeaderProxyFromAddrs(2, v4[0], v4[1])
	if err := long.SetTLVs([]oracle.TLV{{Type: oracle.PP2_TYPE_NOOP, Value: make([]byte, 3000)}}); err != nil {
		t.Fatal(err)
	}
	return map[string]string{
		"v1":       formatted(t, oracle.HeaderProxyFromAddrs(1, v4[0], v4[1])),
		"v2":       formatted(t, oracle.HeaderProxyFromAddrs(2, v4[0], v4[1])),
		"v2, long": formatted(t, long),
		"v1, IPv6": formatted(t, oracle.HeaderProxyFromAddrs(1, v6[0], v6[1])),
		"v2, IPv6": formatted(t, oracle.HeaderProxyFromAddrs(2, v6[0], v6[1])),
		"UNKNOWN":  "PROXY UNKNOWN\r\n",
		"LOCAL":    formatted(t, &oracle.Header{Version: 2, Command: oracle.LOCAL, TransportProtocol: oracle.UNSPEC}),
	}
}

// expected returns the outcome for one of headers.
func expected(name string) outcome {
	switch {
	case strings.HasSuffix(name, "IPv6"):
		return outcome{client: "[2001:db8::1]:5", local: "[2001:db8::2]:6"}
	case strings.HasPrefix(name, "v"):
		return outcome{client: "198.51.100.7:1234", local: "203.0.113.1:443"}
	}
	return outcome{client: "socket", local: "socket"}
}

// The codec gets exactly the bytes after the header, however they arrive.
func TestHeaders(t *testing.T) {
	t.Parallel()
	const stream = "GET / HTTP/1.1\r\nHost: a\r\n\r\nPROXY UNKNOWN\r\n"
	for name, header := range headers(t) {
		for how, send := range map[string]func(c *codec){
			"at once":       func(c *codec) { c.send(header + stream) },
			"by itself":     func(c *codec) { c.send(header); c.settle(); c.send(stream) },
			"in two pieces": func(c *codec) { c.send(header[:9]); c.settle(); c.send(header[9:] + stream) },
			"in drops": func(c *codec) {
				c.trickle(header[:min(len(header), 200)])
				c.send(header[min(len(header), 200):] + stream)
			},
		} {
			t.Run(name+" "+how, func(t *testing.T) {
				t.Parallel()
				c := open(t, opening.Rules{Senders: everybody, Timeout: time.Hour})
				send(c)
				_ = c.client.CloseWrite()
				want := expected(name)
				want.in, want.end = stream, io.EOF
				if got := c.await(); got != want {
					t.Errorf("%+v, want %+v", got, want)
				}
			})
		}
	}
}

// A client whose host speaks first sends nothing after its header.
func TestHeaderAlone(t *testing.T) {
	t.Parallel()
	c := open(t, opening.Rules{Senders: everybody, Timeout: time.Hour})
	c.send("PROXY TCP4 198.51.100.7 203.0.113.1 1234 443\r\n")
	for opened := false; !opened; {
		c.loop.Do(func() { opened = c.opened == 1 })
	}
	_ = c.client.CloseWrite()
	if got := c.await(); got.err != nil || got.in != "" {
		t.Errorf("%+v", got)
	}
}

func TestRefused(t *testing.T) {
	t.Parallel()
	tooLong := "PROXY UNKNOWN " + strings.Repeat("x", 200)
	for name, tc := range map[string]struct {
		rules opening.Rules
		do    func(c *codec)
		want  error // if nil, a *proxyproto.Error
	}{
		"a stranger":     {opening.Rules{Senders: everybody[:1]}, func(*codec) {}, opening.ErrStranger},
		"nobody may":     {opening.Rules{Senders: []netip.Prefix{}}, func(*codec) {}, opening.ErrStranger},
		"silent":         {opening.Rules{Senders: everybody}, func(c *codec) { c.client.Close() }, opening.ErrSilent},
		"silent, reset":  {opening.Rules{Senders: everybody}, func(c *codec) { _ = c.client.SetLinger(0); c.client.Close() }, opening.ErrSilent},
		"no header":      {opening.Rules{Senders: everybody}, func(c *codec) { c.send("GET / HTTP/1.1\r\n\r\n") }, nil},
		"a hello":        {opening.Rules{Senders: everybody, PeekName: true}, func(c *codec) { c.send("\x16\x03\x01\x02\x00\x01") }, nil},
		"garbage":        {opening.Rules{Senders: everybody}, func(c *codec) { c.send("\x00") }, nil},
		"too long":       {opening.Rules{Senders: everybody}, func(c *codec) { c.send(tooLong) }, nil},
		"too long, slow": {opening.Rules{Senders: everybody}, func(c *codec) { c.trickle(tooLong[:107]) }, nil},
		"cut":            {opening.Rules{Senders: everybody}, func(c *codec) { c.send("PROXY TCP4 1.2.3.4"); _ = c.client.CloseWrite() }, opening.ErrHeaderCut},
		"cut later":      {opening.Rules{Senders: everybody}, func(c *codec) { c.send("PROXY TCP4 1.2.3.4"); c.settle(); _ = c.client.CloseWrite() }, opening.ErrHeaderCut},
		"never":          {opening.Rules{Senders: everybody, Timeout: 20 * time.Millisecond}, func(*codec) {}, opening.ErrHeaderTimeout},
		"late":           {opening.Rules{Senders: everybody, Timeout: 20 * time.Millisecond}, func(c *codec) { _, _ = io.WriteString(c.client, "PROXY TCP4 1.2.3.4 ") }, opening.ErrHeaderTimeout},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := open(t, tc.rules)
			tc.do(c)
			got := c.await()
			var header *opening.HeaderError
			var malformed *proxyproto.Error
			switch {
			case !errors.As(got.err, &header), tc.want != nil && !errors.Is(got.err, tc.want), tc.want == nil && !errors.As(got.err, &malformed):
				t.Errorf("the error is %v, want %v", got.err, tc.want)
			case got.client != "socket", got.in != "":
				t.Errorf("%+v, want nothing but the error", got)
			case opening.Silent(got.err) != errors.Is(tc.want, opening.ErrSilent):
				t.Errorf("Silent of %v is %v", got.err, opening.Silent(got.err))
			}
		})
	}
}

// identity returns a server with a certificate for an arbitrary name.
func identity(t *testing.T) *tlsconn.Server {
	t.Helper()
	cert, key := enginetest.SelfSigned(t)
	s, err := tlsconn.NewServer(tlsconn.ServerOptions{
		Certificates: []tlsconn.KeyPair{{Cert: cert, Key: key}},
		Protocols:    []string{"h2"}, TicketKeys: [][]byte{make([]byte, tlsconn.TicketKeySize)},
	})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// prefixed is a connection that puts a prefix before its first write.
type prefixed struct {
	net.Conn
	first string
}

func (p *prefixed) Write(b []byte) (int, error) {
	if p.first == "" {
		return p.Conn.Write(b)
	}
	n, err := p.Conn.Write(slices.Concat([]byte(p.first), b))
	n -= len(p.first)
	p.first = ""
	return max(n, 0), err
}

// A handshake, or reading the hello, comes after the header, whether or not the hello arrives together with it.
func TestTLS(t *testing.T) {
	t.Parallel()
	server := identity(t)
	all := headers(t)
	all["none"] = ""
	for name, header := range all {
		for _, together := range []bool{true, false} {
			if header == "" && !together {
				continue
			}
			begin := func(t *testing.T, rules opening.Rules) (*codec, *tls.Conn) {
				if header != "" {
					rules.Senders = everybody
				}
				c := open(t, rules)
				below := &prefixed{c.client, header}
				if !together {
					c.send(header)
					c.settle()
					below.first = ""
				}
				return c, tls.Client(below, &tls.Config{ServerName: "a.test", InsecureSkipVerify: true, NextProtos: []string{"h2", "http/1.1"}})
			}
			kind := name
			if together {
				kind += " with the hello"
			}
			t.Run("handshake, "+kind, func(t *testing.T) {
				t.Parallel()
				c, client := begin(t, opening.Rules{TLS: server, Timeout: time.Hour})
				if _, err := io.WriteString(client, "hello"); err != nil {
					t.Fatal(err)
				}
				_ = client.CloseWrite()
				want := expected(name)
				want.name, want.secure, want.alpn, want.in, want.end = "a.test", true, "h2", "hello", io.EOF
				if got := c.await(); got != want {
					t.Errorf("%+v, want %+v", got, want)
				}
			})
			t.Run("peek, "+kind, func(t *testing.T) {
				t.Parallel()
				c, client := begin(t, opening.Rules{PeekName: true, Timeout: time.Hour})
				go func() { _ = client.Handshake() }() // no reply is expected
				for opened := false; !opened; {
					c.loop.Do(func() { opened = c.opened == 1 })
				}
				_ = c.client.CloseWrite()
				got, want := c.await(), expected(name)
				if !strings.HasPrefix(got.in, "\x16\x03") || !strings.Contains(got.in, "a.test") {
					t.Errorf("the hello is %q", got.in)
				}
				want.name, want.in, want.end = "a.test", got.in, io.EOF
				if got != want {
					t.Errorf("%+v, want %+v", got, want)
				}
			})
		}
	}
}

// A cancelled opening calls no owner, and its struct is reused.
func TestCancel(t *testing.T) {
	t.Parallel()
	server := identity(t)
	for name, rules := range map[string]opening.Rules{
		"header":    {Senders: everybody, Timeout: time.Hour},
		"TLS":       {TLS: server},
		"hello":     {PeekName: true, Timeout: time.Hour},
		"all of it": {Senders: everybody, TLS: server, Timeout: time.Hour},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := open(t, rules)
			if rules.Senders != nil && rules.TLS != nil {
				c.send("PROXY UNKNOWN\r\n\x16\x03")
				c.settle()
			}
			c.loop.Do(func() {
				c.opening.Cancel()
				c.opening = nil
				c.conn.Close()
			})
			c.settle()
			c.loop.Do(func() {
				if c.opened > 0 {
					t.Error("the codec was told of an opening that it had given up")
				}
			})
		})
	}
}
