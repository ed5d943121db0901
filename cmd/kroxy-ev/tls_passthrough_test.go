package main_test

import (
	"crypto/tls"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"
)

// passThroughSetup are two TLS hosts, each with a certificate of its own, and a proxy that passes their clients through by name.
type passThroughSetup struct {
	a     *authority
	p     *proxy
	hosts map[string]*host // without handlers
	is    map[string]*identity
}

func startPassThrough(t *testing.T, more settings) *passThroughSetup {
	t.Helper()
	k := &passThroughSetup{a: newAuthority(t), hosts: map[string]*host{}, is: map[string]*identity{}}
	s := setup{prepare: withNames(t, "alpha.test", "beta.test"), algorithm: "sni", settings: more}
	for _, name := range []string{"alpha.test", "beta.test"} {
		h := listen(t, "127.0.0.1", nil)
		k.hosts[name], k.is[name] = h, k.a.issue(name)
		s.hosts = append(s.hosts, withName(h.endpoint, name))
	}
	k.p = start(t, s)
	return k
}

// connect connects a client to the host whose name it sends, by TLS through the proxy. The client's first bytes go through write if it is not nil.
func (k *passThroughSetup) connect(t *testing.T, config *tls.Config, write func(c net.Conn, p []byte) error) (client, server *tls.Conn) {
	t.Helper()
	tcp := k.p.dial()
	var under net.Conn = tcp
	if write != nil {
		under = &alteredHello{Conn: tcp, write: write}
	}
	client = tls.Client(under, config)
	failed := make(chan error, 1)
	go func() { failed <- client.Handshake() }()
	server = k.hosts[config.ServerName].acceptTLS(k.is[config.ServerName].config())
	if err := <-failed; err != nil {
		t.Fatalf("a handshake through kroxy-ev: %v", err)
	}
	return client, server
}

// alteredHello is a connection whose first write, the ClientHello, is sent by another function.
type alteredHello struct {
	net.Conn
	write func(c net.Conn, p []byte) error
	done  bool
}

func (c *alteredHello) Write(p []byte) (int, error) {
	if c.done {
		return c.Conn.Write(p)
	}
	c.done = true
	return len(p), c.write(c.Conn, p)
}

// recut splits a ClientHello in one record into records of up to size bytes.
func recut(p []byte, size int) (out []byte) {
	for rest := p[5:]; len(rest) > 0; {
		n := min(size, len(rest))
		out = append(out, p[0], p[1], p[2])
		out = binary.BigEndian.AppendUint16(out, uint16(n))
		out = append(out, rest[:n]...)
		rest = rest[n:]
	}
	return out
}

// inPieces writes p a few bytes at a time, each piece in a segment of its own.
func inPieces(c net.Conn, p []byte, size int, pause time.Duration) error {
	for len(p) > 0 {
		n := min(size, len(p))
		if _, err := c.Write(p[:n]); err != nil {
			return err
		}
		p = p[n:]
		time.Sleep(pause)
	}
	return nil
}

// A client has an end-to-end session with the host that it names, whichever way its ClientHello arrives.
func TestTLSPassThrough(t *testing.T) {
	t.Parallel()
	k := startPassThrough(t, settings{"tls_handshake_timeout": patience.Milliseconds()})
	long := make([]string, 240) // enough protocols for a ClientHello of some 12 KB
	for i := range long {
		long[i] = fmt.Sprintf("%d%s", i, strings.Repeat("x", 48))
	}
	for name, test := range map[string]struct {
		protocols []string
		write     func(c net.Conn, p []byte) error
	}{
		"as it is":             {nil, nil},
		"byte for byte":        {nil, func(c net.Conn, p []byte) error { return inPieces(c, p, 1, 0) }},
		"in slow pieces":       {nil, func(c net.Conn, p []byte) error { return inPieces(c, p, 100, 5*time.Millisecond) }},
		"two records":          {nil, func(c net.Conn, p []byte) error { _, err := c.Write(recut(p, 200)); return err }},
		"records of a byte":    {nil, func(c net.Conn, p []byte) error { _, err := c.Write(recut(p, 1)); return err }},
		"records byte by byte": {nil, func(c net.Conn, p []byte) error { return inPieces(c, recut(p, 7), 1, 0) }},
		"long":                 {long, nil},
		"long, in pieces":      {long, func(c net.Conn, p []byte) error { return inPieces(c, p, 1000, time.Millisecond) }},
		"long, many records":   {long, func(c net.Conn, p []byte) error { _, err := c.Write(recut(p, 3)); return err }},
	} {
		for _, host := range []string{"alpha.test", "beta.test"} {
			t.Run(name+", "+host, func(t *testing.T) {
				// Not in parallel: a host's connections are identified by their order.
				for _, version := range versions {
					config := only(version, k.a.clientConfig(host))
					config.NextProtos = test.protocols
					client, server := k.connect(t, config, test.write)
					if s := server.ConnectionState(); s.ServerName != host || s.Version != version {
						t.Errorf("the host saw the name %q and version %s", s.ServerName, tls.VersionName(s.Version))
					}
					send(t, server, "welcome")
					expect(t, client, "welcome")
					go func() {
						_ = write(client, bulk[:3<<20])
						_ = client.CloseWrite()
					}()
					expectAll(t, server, bulk[:3<<20])
					send(t, server, "goodbye")
					_ = server.CloseWrite()
					_ = underlyingTCP(server).CloseWrite()
					expectAll(t, client, "goodbye")
					_, _ = client.Close(), server.Close()
				}
			})
		}
	}
	t.Run("letter case", func(t *testing.T) {
		config := k.a.clientConfig("alpha.test")
		config.VerifyConnection = func(tls.ConnectionState) error { return nil }
		tcp := k.p.dial()
		client := tls.Client(tcp, askingFor(config, "ALPHA.Test"))
		failed := make(chan error, 1)
		go func() { failed <- client.Handshake() }()
		k.hosts["alpha.test"].acceptTLS(k.is["alpha.test"].config())
		if err := <-failed; err != nil {
			t.Error(err)
		}
	})
	t.Run("a client that trusts somebody else", func(t *testing.T) {
		other := newAuthority(t)
		client := tls.Client(k.p.dial(), other.clientConfig("alpha.test"))
		failed := make(chan error, 1)
		go func() { failed <- client.Handshake() }()
		err := tls.Server(k.hosts["alpha.test"].accept(), k.is["alpha.test"].config()).Handshake()
		expectMatch(t, fmt.Sprint(err), "remote error: tls: (bad certificate|unknown certificate authority)")
		expectMatch(t, fmt.Sprint(<-failed), "unknown authority")
	})
	if n := k.p.stderr.count("level=(INFO|WARN|ERROR)"); n != 1 {
		t.Errorf("%d log lines, want only the first one", n)
	}
}

// A client that names no host is disconnected, and the log says why.
func TestTLSPassThroughUnknownName(t *testing.T) {
	t.Parallel()
	name := askingFor(&tls.Config{}, "gamma.test")
	good := clientHello(askingFor(&tls.Config{}, "alpha.test"))
	for what, test := range map[string]struct{ sends, log string }{
		"another name":    {clientHello(name), `reason="no host has the requested name"`},
		"no name":         {clientHello(askingFor(&tls.Config{}, "")), `reason="no host has the requested name"`},
		"plain HTTP":      {getRequest, `reason="client handshake failed".*not a TLS handshake`},
		"SSH":             {"SSH-2.0-OpenSSH_9.2\r\n", `reason="client handshake failed".*not a TLS handshake`},
		"zeros":           {strings.Repeat("\x00", 100), `reason="client handshake failed".*not a TLS handshake`},
		"SSL 2":           {"\x80\x2e\x01\x03\x01\x00\x15\x00\x00\x00\x10\x01\x00\x80", `reason="client handshake failed".*not a TLS handshake`},
		"an alert":        {"\x15\x03\x01\x00\x02\x02\x28", `reason="client handshake failed".*not a TLS handshake`},
		"another message": {"\x16\x03\x01\x00\x04\x02\x00\x00\x00", `reason="client handshake failed".*not a client hello`},
		"broken lengths":  {good[:43] + "\xff" + good[44:], `reason="client handshake failed".*`},
		"too long":        {"\x16\x03\x01\x40\x00\x01\x00\x80\x00" + strings.Repeat("x", 0x4000-4), `reason="client handshake failed".*over 16384 bytes`},
		"a part":          {good[:100], `reason="client handshake failed".*`},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			k := startPassThrough(t, nil)
			open := k.p.sockets()
			c := k.p.dial()
			_, _ = io.WriteString(c, test.sends)
			if what == "a part" {
				_ = c.CloseWrite()
			}
			if got, err := io.ReadAll(c); len(got) > 0 || howEnded(err) != "end" && howEnded(err) != "reset" {
				t.Errorf("the client got %q and %s", got, howEnded(err))
			}
			expectMatch(t, k.p.await(k.p.stderr, `.*session closed.*\n`)[0], `level=INFO.*`+test.log)
			k.p.awaitSockets(t, "the session's sockets are closed", func(n int) bool { return n <= open })
			for host, h := range k.hosts {
				if len(h.conns) > 0 {
					t.Errorf("%s got a connection", host)
				}
			}
		})
	}
}

// helloListener is the other end of a client: it records the ClientHello and closes.
type helloListener struct {
	net.Conn
	said []byte
}

func (c *helloListener) Write(p []byte) (int, error) {
	c.said = append(c.said, p...)
	return len(p), nil
}
func (*helloListener) Read([]byte) (int, error)         { return 0, io.EOF }
func (*helloListener) Close() error                     { return nil }
func (*helloListener) SetDeadline(time.Time) error      { return nil }
func (*helloListener) SetWriteDeadline(time.Time) error { return nil }
func (*helloListener) RemoteAddr() net.Addr             { return nil }

// A client that does not finish its ClientHello is disconnected after tls_handshake_timeout.
func TestTLSPassThroughTimeout(t *testing.T) {
	t.Parallel()
	k := startPassThrough(t, settings{"tls_handshake_timeout": short})
	for name, sends := range map[string]string{
		"nothing": "", "one byte": "\x16", "a part": "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", "half of a long one": "\x16\x03\x01\x20\x00\x01\x00\x1f\xfc" + strings.Repeat("x", 0x1000),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			begin := time.Now()
			c := k.p.dial()
			_, _ = io.WriteString(c, sends)
			expectClosed(t, c)
			notBefore(t, begin, short*time.Millisecond)
			if d := time.Since(begin); d > 10*short*time.Millisecond {
				t.Errorf("the connection was closed after %v", d)
			}
			k.p.await(k.p.stderr, `session closed" reason="client handshake failed".*took too long`)
		})
	}
	t.Run("byte by byte, too slowly", func(t *testing.T) {
		t.Parallel()
		begin := time.Now()
		c := k.p.dial()
		go func() {
			_ = inPieces(c, []byte("\x16\x03\x01\x20\x00\x01\x00\x1f\xfc"+strings.Repeat("x", 0x1000)), 1, 20*time.Millisecond)
		}()
		expectClosed(t, c)
		notBefore(t, begin, short*time.Millisecond)
	})
}
