package tlsconn_test

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"runtime"
	"strings"
	"testing"
	"time"

	"kroxy-ev/engine/tlsconn"
)

func TestServesGoClients(t *testing.T) {
	t.Parallel()
	ca := newAuthority(t)
	for name, key := range map[string]tlsconn.KeyPair{"ecdsa": ca.issue(t, ecdsaKey(t), "a.test"), "rsa": ca.issue(t, rsaKey(t), "a.test")} {
		for version, id := range map[string]uint16{"1.2": tls.VersionTLS12, "1.3": tls.VersionTLS13} {
			t.Run(name+" "+version, func(t *testing.T) {
				t.Parallel()
				e := startEcho(t, tlsconn.ServerOptions{Certificates: []tlsconn.KeyPair{key}})
				cache := tls.NewLRUClientSessionCache(1)
				for round := range 3 {
					config := &tls.Config{RootCAs: ca.pool(), ServerName: "a.test", MaxVersion: id, ClientSessionCache: cache}
					c := tls.Client(e.dial(t), config)
					for _, n := range []int{1, 100, 16 << 10, 70_000, 3_000_000} {
						exchange(t, c, n)
					}
					e.secured(t, tlsconn.State{Version: "TLS " + version, Cipher: tls.CipherSuiteName(c.ConnectionState().CipherSuite), ServerName: []byte("a.test")})
					if s := c.ConnectionState(); s.Version != id || s.DidResume != (round > 0) {
						t.Errorf("round %d: version %x, resumed %v", round, s.Version, s.DidResume)
					}
					if err := c.CloseWrite(); err != nil {
						t.Fatal(err)
					}
					if _, err := c.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
						t.Errorf("after its end: %v, want EOF", err)
					}
					if err := <-e.ended; !errors.Is(err, io.EOF) {
						t.Errorf("the server saw %v, want EOF", err)
					}
				}
			})
		}
	}
}

// A peer that closes the socket without close_notify may have been cut off.
func TestTruncation(t *testing.T) {
	t.Parallel()
	ca := newAuthority(t)
	e := startEcho(t, tlsconn.ServerOptions{Certificates: []tlsconn.KeyPair{ca.issue(t, ecdsaKey(t), "a.test")}})
	for _, sent := range []int{0, 1, 70_000} {
		raw := e.dial(t)
		c := tls.Client(raw, &tls.Config{RootCAs: ca.pool(), ServerName: "a.test"})
		if err := c.Handshake(); err != nil {
			t.Fatal(err)
		}
		if sent > 0 {
			exchange(t, c, sent)
		}
		if err := raw.CloseWrite(); err != nil {
			t.Fatal(err)
		}
		if err := <-e.ended; !errors.Is(err, tlsconn.ErrTruncated) {
			t.Errorf("after %d bytes: %v, want ErrTruncated", sent, err)
		}
	}
}

func TestRefusals(t *testing.T) {
	t.Parallel()
	ca := newAuthority(t)
	pair := ca.issue(t, ecdsaKey(t), "a.test")
	hello := clientHello(t)
	for name, c := range map[string]struct {
		o     tlsconn.ServerOptions
		sends string      // in plain text; if empty, the client uses as
		reset bool        // after sends was read, reset; otherwise end
		as    *tls.Config // accepts any server
		want  string      // part of the server's error
		is    error       // or the error that it wraps
		alert string      // part of the client's error
	}{
		"plain HTTP":      {sends: "GET / HTTP/1.1\r\n\r\n", is: tlsconn.ErrPlainHTTP},
		"plain text":      {sends: "hello", want: "does not look like a TLS handshake"},
		"TLS 1.1":         {as: &tls.Config{MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11}, want: "unsupported versions", alert: "protocol version"},
		"only 1.3":        {o: tlsconn.ServerOptions{MinVersion: tls.VersionTLS13}, as: &tls.Config{MaxVersion: tls.VersionTLS12}, want: "unsupported versions", alert: "protocol version"},
		"weak cipher":     {as: &tls.Config{MaxVersion: tls.VersionTLS12, CipherSuites: []uint16{tls.TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA}}, want: "no cipher suite", alert: "handshake failure"},
		"no certificate":  {o: tlsconn.ServerOptions{VerifyClient: true, ClientCAs: ca.pem}, as: &tls.Config{}, want: "didn't provide a certificate", alert: "certificate required"},
		"no common proto": {o: tlsconn.ServerOptions{Protocols: []string{"http/1.1"}}, as: &tls.Config{NextProtos: []string{"spdy"}}, want: "unsupported application protocols", alert: "no application protocol"},
		"its end":         {sends: "\x16\x03\x01", is: tlsconn.ErrHandshakeCut},
		"its reset":       {sends: "\x16\x03\x01", reset: true, is: tlsconn.ErrHandshakeCut},
		"its later reset": {sends: string(hello), reset: true, is: tlsconn.ErrHandshakeCut},
		"not a byte":      {is: tlsconn.ErrSilent},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c.o.Certificates = []tlsconn.KeyPair{pair}
			e := startEcho(t, c.o)
			raw := e.dial(t)
			var seen error
			if c.as == nil {
				_, _ = io.WriteString(raw, c.sends)
				if c.reset {
					e.await(t, 1)
					e.loop.Do(func() {}) // the earlier bytes have been read
					_ = raw.SetLinger(0)
					_ = raw.Close()
				}
				_ = raw.CloseWrite()
			} else {
				c.as.InsecureSkipVerify = true
				client := tls.Client(raw, c.as)
				if seen = client.Handshake(); seen == nil { // a TLS 1.3 client learns of it afterwards
					_, seen = client.Read(make([]byte, 1))
				}
			}
			err := e.refused(t)
			if c.is != nil && !errors.Is(err, c.is) || !strings.Contains(err.Error(), c.want) {
				t.Errorf("the server's error is %v, want %v %q", err, c.is, c.want)
			}
			if c.alert != "" && (seen == nil || !strings.Contains(seen.Error(), c.alert)) {
				t.Errorf("the client's error is %v, want %q", seen, c.alert)
			}
		})
	}
}

func TestClientCertificates(t *testing.T) {
	t.Parallel()
	ca, other := newAuthority(t), newAuthority(t)
	for name, key := range map[string]tlsconn.KeyPair{"right": ca.issue(t, ecdsaKey(t)), "foreign": other.issue(t, ecdsaKey(t))} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := startEcho(t, tlsconn.ServerOptions{
				Certificates: []tlsconn.KeyPair{ca.issue(t, ecdsaKey(t), "a.test")}, VerifyClient: true, ClientCAs: ca.pem,
			})
			cert, err := tls.X509KeyPair(key.Cert, key.Key)
			if err != nil {
				t.Fatal(err)
			}
			c := tls.Client(e.dial(t), &tls.Config{RootCAs: ca.pool(), ServerName: "a.test", GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &cert, nil }})
			if name == "right" {
				exchange(t, c, 100)
				return
			}
			_, _ = c.Read(make([]byte, 1))
			if err := e.refused(t); !strings.Contains(err.Error(), "unknown authority") {
				t.Errorf("%v, want an unknown authority", err)
			}
		})
	}
}

// A handshake has a deadline, whatever it waits for.
func TestHandshakeTimeout(t *testing.T) {
	t.Parallel()
	ca := newAuthority(t)
	hello := clientHello(t)
	for name, sends := range map[string][]byte{"silent": nil, "half a hello": hello[:len(hello)/2], "a hello": hello} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := startEcho(t, tlsconn.ServerOptions{Certificates: []tlsconn.KeyPair{ca.issue(t, rsaKey(t), "a.test")}, HandshakeTimeout: 200 * time.Millisecond})
			begun := time.Now()
			raw := e.dial(t)
			_, _ = raw.Write(sends)
			if err := e.refused(t); !errors.Is(err, tlsconn.ErrHandshakeTimeout) {
				t.Errorf("%v, want ErrHandshakeTimeout", err)
			}
			if took := time.Since(begun); took < 150*time.Millisecond {
				t.Errorf("it took only %v", took)
			}
		})
	}
}

// clientHello returns the first bytes that a client sends.
func clientHello(t *testing.T) []byte {
	t.Helper()
	a, b := net.Pipe()
	defer b.Close()
	go func() {
		_ = tls.Client(a, &tls.Config{ServerName: "a.test"}).Handshake()
	}()
	p := make([]byte, 4096)
	n, err := b.Read(p)
	if err != nil {
		t.Fatal(err)
	}
	return p[:n]
}

// Handshakes that arrive in pieces, and are cut anywhere by a stall, a close or a reset, leave nothing behind.
func TestCutHandshakes(t *testing.T) {
	t.Parallel()
	ca := newAuthority(t)
	signers := tlsconn.NewSigners(1)
	t.Cleanup(signers.Close)
	o := tlsconn.ServerOptions{Certificates: []tlsconn.KeyPair{ca.issue(t, rsaKey(t), "a.test")}, Signers: signers, TicketKeys: ticketKeys}
	patient, err := tlsconn.NewServer(o)
	if err != nil {
		t.Fatal(err)
	}
	o.HandshakeTimeout = 400 * time.Millisecond
	e := startEcho(t, o)
	const each = 150
	cut := func(i int) {
		raw, err := net.Dial("tcp", e.addr)
		if err != nil {
			t.Error(err)
			return
		}
		defer raw.Close()
		c := &cutConn{Conn: raw, left: rand.IntN(2000), how: i % 3, piece: 1 + rand.IntN(600)}
		_ = tls.Client(c, &tls.Config{InsecureSkipVerify: true, MaxVersion: tls.VersionTLS12 + uint16(i%2)}).Handshake()
	}
	work := make(chan int)
	done := make(chan struct{})
	for range 8 {
		go func() {
			for i := range work {
				cut(i)
			}
			done <- struct{}{}
		}()
	}
	for i := range each * 3 {
		work <- i
	}
	close(work)
	for range 8 {
		<-done
	}
	for range each * 3 {
		<-e.outcomes
	}
	// 400 ms may be too short for a complete handshake on a busy machine.
	e.loop.Do(func() { e.server = patient })
	exchange(t, tls.Client(e.dial(t), &tls.Config{RootCAs: ca.pool(), ServerName: "a.test"}), 100)
}

// cutConn sends in pieces, and only a limited number of bytes.
type cutConn struct {
	net.Conn
	left, how, piece int
}

var errCut = errors.New("cut")

func (c *cutConn) Write(p []byte) (int, error) {
	sent := 0
	for sent < len(p) {
		if c.left == 0 {
			switch c.how {
			case 0:
				_ = c.Close()
			case 1:
				_ = c.Conn.(*net.TCPConn).SetLinger(0)
				_ = c.Close()
			default: // it keeps reading what it is sent until it is closed
				_, _ = io.Copy(io.Discard, c.Conn)
			}
			return sent, errCut
		}
		n := min(len(p)-sent, c.left, c.piece)
		k, err := c.Conn.Write(p[sent : sent+n])
		if sent += k; err != nil {
			return sent, err
		}
		c.left -= n
	}
	return sent, nil
}

// A slow reader holds back the sender, with little memory, and gets every byte.
func TestSlowReader(t *testing.T) {
	t.Parallel()
	ca := newAuthority(t)
	e := startEcho(t, tlsconn.ServerOptions{Certificates: []tlsconn.KeyPair{ca.issue(t, ecdsaKey(t), "a.test")}})
	raw := e.dial(t)
	_ = raw.SetReadBuffer(64 << 10)
	c := tls.Client(raw, &tls.Config{RootCAs: ca.pool(), ServerName: "a.test"})
	const size = 8 << 20
	sent := make([]byte, size)
	for i := range sent {
		sent[i] = byte(rand.Uint32())
	}
	go func() {
		_, _ = c.Write(sent)
		_ = c.CloseWrite()
	}()
	var got []byte
	piece := make([]byte, 100_000)
	for {
		n, err := c.Read(piece[:1+rand.IntN(len(piece))])
		got = append(got, piece[:n]...)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if rand.IntN(20) == 0 {
			runtime.Gosched()
		}
	}
	if !bytes.Equal(got, sent) {
		t.Errorf("%d bytes came back that are not the %d that were sent", len(got), len(sent))
	}
}

// Peek returns the name, if any, in a client's hello; the client's bytes stay in the socket.
func TestPeek(t *testing.T) {
	t.Parallel()
	hello := clientHello(t)
	for name, c := range map[string]struct {
		sends []byte
		want  string
		is    error
	}{
		"a name":     {hello, "a.test", nil},
		"no TLS":     {[]byte("SSH-2.0-x\r\n"), "", tlsconn.ErrNotTLS},
		"its end":    {hello[:20], "", tlsconn.ErrHandshakeCut},
		"not a byte": {nil, "", tlsconn.ErrSilent},
		"silence":    {nil, "", tlsconn.ErrHandshakeTimeout},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var timeout time.Duration // none
			if errors.Is(c.is, tlsconn.ErrHandshakeTimeout) {
				timeout = 300 * time.Millisecond
			}
			e := startPeeking(t, timeout)
			raw := e.dial(t)
			for _, b := range c.sends { // each in its own segment
				if _, err := raw.Write([]byte{b}); err != nil {
					break // the server has seen enough
				}
			}
			if c.is == nil {
				e.secured(t, tlsconn.State{ServerName: []byte(c.want)})
				got := make([]byte, len(c.sends))
				if _, err := io.ReadFull(raw, got); err != nil || !bytes.Equal(got, c.sends) {
					t.Errorf("what was peeked at did not stay: %v", err)
				}
				return
			}
			if errors.Is(c.is, tlsconn.ErrHandshakeCut) || errors.Is(c.is, tlsconn.ErrSilent) {
				_ = raw.CloseWrite()
			}
			if err := e.refused(t); !errors.Is(err, c.is) {
				t.Errorf("%v, want %v", err, c.is)
			}
		})
	}
}

// Loops that end during handshakes leave no goroutine behind.
func TestCancel(t *testing.T) {
	t.Parallel()
	ca := newAuthority(t)
	e := startEcho(t, tlsconn.ServerOptions{Certificates: []tlsconn.KeyPair{ca.issue(t, rsaKey(t), "a.test")}})
	hello := clientHello(t)
	for range 40 {
		_, _ = e.dial(t).Write(hello[:1+rand.IntN(len(hello))])
		_, _ = e.dial(t).Write(hello)
	}
	e.await(t, 80)
	e.loop.Do(func() {
		for c := range e.open {
			c.hs.Cancel()
			c.conn.Close()
			delete(e.open, c)
		}
	})
	select {
	case err := <-e.outcomes:
		t.Errorf("a handshake that was given up ended with %v", err)
	default:
	}
}

func TestConnect(t *testing.T) {
	t.Parallel()
	ca, other := newAuthority(t), newAuthority(t)
	serverPair := ca.issue(t, rsaKey(t), "a.test")
	own := ca.issue(t, rsaKey(t))
	cert, err := tls.X509KeyPair(serverPair.Cert, serverPair.Key)
	if err != nil {
		t.Fatal(err)
	}
	plain := &tls.Config{Certificates: []tls.Certificate{cert}}
	for name, c := range map[string]struct {
		o    tlsconn.ClientOptions
		host *tls.Config // nil: it does not speak TLS, and sends says
		says string
		want string
		as   any
	}{
		"unverified":     {o: tlsconn.ClientOptions{ServerName: "b.test"}, host: plain},
		"verified":       {o: tlsconn.ClientOptions{ServerName: "a.test", Verify: true, CAs: ca.pem}, host: plain},
		"wrong name":     {o: tlsconn.ClientOptions{ServerName: "b.test", Verify: true, CAs: ca.pem}, host: plain, as: new(x509.HostnameError)},
		"wrong CA":       {o: tlsconn.ClientOptions{ServerName: "a.test", Verify: true, CAs: other.pem}, host: plain, as: new(x509.UnknownAuthorityError)},
		"system's CAs":   {o: tlsconn.ClientOptions{ServerName: "a.test", Verify: true}, host: plain, as: new(x509.UnknownAuthorityError)},
		"mutual":         {o: tlsconn.ClientOptions{ServerName: "a.test", Certificate: &own}, host: &tls.Config{Certificates: plain.Certificates, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: ca.pool()}},
		"TLS 1.2":        {o: tlsconn.ClientOptions{ServerName: "a.test", Certificate: &own}, host: &tls.Config{Certificates: plain.Certificates, MaxVersion: tls.VersionTLS12, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: ca.pool()}},
		"leaves":         {o: tlsconn.ClientOptions{ServerName: "a.test"}, says: "", want: "connection"},
		"greets at once": {o: tlsconn.ClientOptions{ServerName: "a.test"}, says: "220 hello\r\n", want: tlsconn.ErrEarlyBytes.Error()},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, prompt := range []bool{true, false} {
				err := connect(t, c.o, c.host, c.says, prompt)
				switch {
				case c.as != nil:
					if !errors.As(err, c.as) {
						t.Errorf("%v, want a %T", err, c.as)
					}
				case c.want != "":
					if err == nil || !strings.Contains(err.Error(), c.want) {
						t.Errorf("%v, want %q", err, c.want)
					}
				case err != nil:
					t.Error(err)
				}
			}
		})
	}
}

func TestSame(t *testing.T) {
	t.Parallel()
	ca := newAuthority(t)
	pair := ca.issue(t, ecdsaKey(t))
	options := []tlsconn.ClientOptions{
		{ServerName: "a"}, {ServerName: "b"}, {ServerName: "a", Verify: true}, {ServerName: "a", Verify: true, CAs: ca.pem},
		{ServerName: "a", Certificate: &pair}, {ServerName: "a", Protocols: []string{"http/1.1"}},
	}
	made := func(o tlsconn.ClientOptions) *tlsconn.Client {
		c, err := tlsconn.NewClient(o)
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	for i, a := range options {
		for j, b := range options {
			if same := made(a).Same(made(b)); same != (i == j) {
				t.Errorf("%d and %d are the same: %v", i, j, same)
			}
		}
		if made(a).Same(nil) || (*tlsconn.Client)(nil).Same(made(a)) {
			t.Errorf("%d is as good as plain TCP", i)
		}
	}
	if !(*tlsconn.Client)(nil).Same(nil) {
		t.Error("plain TCP is not as good as plain TCP")
	}
}
