package tlsconn_test

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"io"
	"math/big"
	"net"
	"net/netip"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"kroxy-ev/engine"
	"kroxy-ev/engine/enginetest"
	"kroxy-ev/engine/tlsconn"
)

// authority signs certificates.
type authority struct {
	key  crypto.Signer
	cert *x509.Certificate
	pem  []byte
}

func newAuthority(tb testing.TB) *authority {
	tb.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		tb.Fatal(err)
	}
	a := &authority{key: key}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test authority"}, NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		tb.Fatal(err)
	}
	if a.cert, err = x509.ParseCertificate(der); err != nil {
		tb.Fatal(err)
	}
	a.pem = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	return a
}

// pool returns a pool with only the authority.
func (a *authority) pool() *x509.CertPool {
	p := x509.NewCertPool()
	p.AddCert(a.cert)
	return p
}

func ecdsaKey(tb testing.TB) crypto.Signer {
	tb.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		tb.Fatal(err)
	}
	return key
}

var oneRSAKey = sync.OnceValues(func() (*rsa.PrivateKey, error) { return rsa.GenerateKey(rand.Reader, 2048) })

func rsaKey(tb testing.TB) crypto.Signer {
	tb.Helper()
	key, err := oneRSAKey()
	if err != nil {
		tb.Fatal(err)
	}
	return key
}

// issue makes a certificate for names.
func (a *authority) issue(tb testing.TB, key crypto.Signer, names ...string) tlsconn.KeyPair {
	tb.Helper()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), NotAfter: time.Now().Add(time.Hour), DNSNames: names,
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, key.Public(), a.key)
	if err != nil {
		tb.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		tb.Fatal(err)
	}
	return tlsconn.KeyPair{
		Cert: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}),
		Key:  pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER}),
	}
}

// ticketKeys are shared by all servers of a test.
var ticketKeys = [][]byte{make([]byte, tlsconn.TicketKeySize)}

// echoServer accepts TLS connections on its own loop, and echoes.
type echoServer struct {
	tb       testing.TB
	loop     *enginetest.Loop
	set      *tlsconn.Handshaker
	server   *tlsconn.Server // nil: the server only peeks at clients and echoes their bytes
	timeout  time.Duration   // for peeking
	addr     string
	open     map[*echoConn]bool // used on the loop only
	outcomes chan outcome       // how each handshake ended
	ended    chan error         // how each connection's stream ended
}

// outcome is the result that an owner gets.
type outcome struct {
	state tlsconn.State
	err   error
}

// secured checks that a handshake has succeeded.
func (e *echoServer) secured(tb testing.TB, want tlsconn.State) {
	tb.Helper()
	o := <-e.outcomes
	if got := o.state; o.err != nil || got.Version != want.Version || got.Cipher != want.Cipher || !bytes.Equal(got.ServerName, want.ServerName) || got.Protocol != want.Protocol {
		tb.Errorf("the outcome is %+v, want %+v", o, want)
	}
}

// refused checks that a handshake has failed.
func (e *echoServer) refused(tb testing.TB) error {
	tb.Helper()
	o := <-e.outcomes
	if o.err == nil {
		tb.Fatal("the handshake ended well")
	}
	return o.err
}

// await waits until n connections are open.
func (e *echoServer) await(tb testing.TB, n int) {
	tb.Helper()
	for deadline := time.Now().Add(enginetest.Patience); ; time.Sleep(time.Millisecond) {
		var open int
		e.loop.Do(func() { open = len(e.open) })
		if open == n {
			return
		}
		if time.Now().After(deadline) {
			tb.Fatalf("%d connections are open, want %d", open, n)
		}
	}
}

func startEcho(tb testing.TB, o tlsconn.ServerOptions) *echoServer {
	tb.Helper()
	if o.TicketKeys == nil {
		o.TicketKeys = ticketKeys
	}
	if o.Signers == nil {
		o.Signers = tlsconn.NewSigners(1)
		tb.Cleanup(o.Signers.Close)
	}
	server, err := tlsconn.NewServer(o)
	if err != nil {
		tb.Fatal(err)
	}
	return startServer(tb, &echoServer{server: server})
}

// startPeeking starts a server that does not speak TLS.
func startPeeking(tb testing.TB, timeout time.Duration) *echoServer {
	tb.Helper()
	return startServer(tb, &echoServer{timeout: timeout})
}

func startServer(tb testing.TB, e *echoServer) *echoServer {
	tb.Helper()
	loop := enginetest.Start(tb, engine.Options{})
	e.tb, e.loop, e.open, e.outcomes, e.ended = tb, loop, map[*echoConn]bool{}, make(chan outcome, 1000), make(chan error, 1000)
	e.set = tlsconn.NewHandshaker(loop.Loop)
	fd, err := engine.Listen(netip.MustParseAddrPort(enginetest.Loopback))
	if err != nil {
		tb.Fatal(err)
	}
	e.addr = enginetest.LocalAddr(tb, fd).String()
	var l *engine.Listener
	loop.Do(func() {
		l, err = engine.NewListener(loop.Loop, fd, engine.ListenerOptions{Accept: e.accept})
	})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		loop.Do(func() {
			l.Close()
			for c := range e.open {
				if c.hs != nil {
					c.hs.Cancel()
				}
				c.conn.Close()
			}
			e.set.Close()
		})
	})
	return e
}

func (e *echoServer) accept(_ *engine.Listener, fd int32, _ netip.AddrPort) {
	c := &echoConn{e: e}
	e.open[c] = true
	if err := e.loop.Loop.Attach(&c.conn, fd, c); err != nil {
		e.tb.Error(err)
		return
	}
	if e.server == nil {
		c.hs = e.set.Peek(&c.conn, e.timeout, c)
	} else {
		c.hs = e.set.Accept(&c.conn, e.server, c)
	}
}

// echoConn is one connection.
type echoConn struct {
	e    *echoServer
	hs   *tlsconn.Handshake
	conn engine.Conn
	held []byte
	over bool // the client has ended its stream
}

func (c *echoConn) Secured(s tlsconn.State, err error) {
	c.hs = nil
	c.e.outcomes <- outcome{s, err}
	if err != nil {
		c.conn.Close()
		delete(c.e.open, c)
		return
	}
	c.Ready(&c.conn)
}

func (*echoConn) Expired(*engine.Timer) {}

func (c *echoConn) Ready(*engine.Conn) {
	for c.conn.Open() {
		if len(c.held) > 0 {
			if !c.conn.Writable() {
				return
			}
			n, err := c.conn.Write(c.held)
			c.held = c.held[n:]
			if errors.Is(err, unix.EAGAIN) {
				return
			}
			if err != nil {
				c.end(err)
				return
			}
		}
		if c.over {
			if err := c.conn.CloseWrite(); err != nil {
				c.end(err)
				return
			}
			c.end(io.EOF)
			return
		}
		if !c.conn.Readable() {
			return
		}
		n, err := c.conn.Read(c.e.loop.Scratch())
		c.held = append(c.held, c.e.loop.Scratch()[:n]...)
		switch {
		case errors.Is(err, io.EOF):
			c.over = true
		case errors.Is(err, unix.EAGAIN):
			return
		case err != nil:
			c.end(err)
			return
		}
	}
}

func (c *echoConn) end(err error) {
	c.conn.Close()
	delete(c.e.open, c)
	c.e.ended <- err
}

// dial connects a client.
func (e *echoServer) dial(tb testing.TB) *net.TCPConn {
	tb.Helper()
	c, err := net.Dial("tcp", e.addr)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { c.Close() })
	_ = c.SetDeadline(time.Now().Add(3 * enginetest.Patience)) // for megabytes under the race detector
	return c.(*net.TCPConn)
}

// exchange makes a client send n bytes and checks that they come back.
func exchange(tb testing.TB, c net.Conn, n int) {
	tb.Helper()
	sent, got := make([]byte, n), make([]byte, n)
	for i := range sent {
		sent[i] = byte(i * 7)
	}
	go func() { _, _ = c.Write(sent) }()
	if _, err := io.ReadFull(c, got); err != nil {
		if bad := (tls.RecordHeaderError{}); errors.As(err, &bad) { // somebody has written to the wrong descriptor
			tb.Logf("between %v and %v, the record begins with %q", c.LocalAddr(), c.RemoteAddr(), bad.RecordHeader)
		}
		tb.Fatalf("reading %d bytes: %v", n, err)
	}
	if string(got) != string(sent) {
		tb.Fatalf("%d other bytes came back", n)
	}
}

// connect makes a handshake with a host and exchanges some bytes. It returns the error.
func connect(tb testing.TB, o tlsconn.ClientOptions, host *tls.Config, says string, prompt bool) error {
	tb.Helper()
	_, err := connectBy(tb, newClient(tb, o), host, says, prompt)
	return err
}

func newClient(tb testing.TB, o tlsconn.ClientOptions) *tlsconn.Client {
	tb.Helper()
	if o.Signers == nil {
		o.Signers = tlsconn.NewSigners(1)
		tb.Cleanup(o.Signers.Close)
	}
	client, err := tlsconn.NewClient(o)
	if err != nil {
		tb.Fatal(err)
	}
	return client
}

// connectBy is connect with a client that may have been used before. It also returns the State.
func connectBy(tb testing.TB, client *tlsconn.Client, host *tls.Config, says string, prompt bool) (tlsconn.State, error) {
	tb.Helper()
	addr := enginetest.Accepting(tb, enginetest.Loopback, func(c *net.TCPConn) {
		if host == nil {
			_, _ = io.WriteString(c, says)
			return
		}
		t := tls.Server(c, host)
		_, _ = io.Copy(t, t)
		_ = t.Close()
	})
	loop := enginetest.Start(tb, engine.Options{})
	set := tlsconn.NewHandshaker(loop.Loop)
	d := &dialler{set: set, client: client, addr: addr, prompt: prompt, greeting: says != "", result: make(chan error, 1)}
	loop.Do(func() {
		if err := loop.Dial(&d.conn, addr, prompt, d); err != nil {
			d.result <- err
		} else if d.conn.Writable() {
			d.connected()
		}
	})
	tb.Cleanup(func() {
		loop.Do(func() {
			d.conn.Close()
			set.Close()
		})
	})
	select {
	case err := <-d.result:
		return d.state, err
	case <-time.After(enginetest.Patience):
		tb.Fatal("no outcome")
		return tlsconn.State{}, nil
	}
}

// dialler says hello to a host that echoes.
type dialler struct {
	set      *tlsconn.Handshaker
	client   *tlsconn.Client
	addr     netip.AddrPort
	prompt   bool
	greeting bool // it waits for the host's first bytes before it begins
	begun    bool
	conn     engine.Conn
	state    tlsconn.State
	got      []byte
	result   chan error
}

func (d *dialler) connected() {
	if d.greeting && !d.conn.Readable() {
		return
	}
	d.begun = true
	d.set.Connect(&d.conn, d.client, d.prompt, d)
}

func (d *dialler) Secured(s tlsconn.State, err error) {
	d.state = s
	if err != nil {
		d.conn.Close()
		d.result <- err
		return
	}
	if _, err := d.conn.Write([]byte("hello")); err != nil {
		d.result <- err
		return
	}
	d.Ready(&d.conn)
}

func (*dialler) Expired(*engine.Timer) {}

func (d *dialler) Ready(*engine.Conn) {
	if !d.begun {
		if d.conn.Connected(d.addr) == nil {
			d.connected()
		}
		return
	}
	for d.conn.Readable() {
		var p [100]byte
		n, err := d.conn.Read(p[:])
		if errors.Is(err, unix.EAGAIN) {
			return
		}
		d.got = append(d.got, p[:n]...)
		if err != nil || string(d.got) == "hello" {
			d.result <- err
			d.conn.Close()
			return
		}
	}
}
