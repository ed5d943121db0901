package main_test

import (
	"crypto/tls"
	"io"
	"net"
	"testing"
	"time"
)

// clientHello returns the ClientHello of crypto/tls.
func clientHello(config *tls.Config) string {
	c := &helloListener{}
	_ = tls.Client(c, config).Handshake()
	return string(c.said)
}

// A handshake that does not finish times out, wherever it is stuck.
func TestTLSHandshakeTimeout(t *testing.T) {
	t.Parallel()
	a := newAuthority(t)
	ec, hard := a.issue("site.test"), a.issueRSA("rsa.test")
	web, raw := endpoints(serve(t, "127.0.0.1", mirror)), endpoints(listen(t, "127.0.0.1", echo))
	whole := clientHello(askingFor(&tls.Config{}, "site.test"))
	old := clientHello(askingFor(&tls.Config{MaxVersion: tls.VersionTLS12}, "rsa.test"))
	for mode, hosts := range map[string][]endpoint{"http": web, "stream": raw} {
		p := start(t, setup{mode: mode, hosts: hosts, settings: ec.serverSettings(settings{
			"tls_handshake_timeout": short, "certificates": []settings{{"cert_path": hard.cert, "key_path": hard.key}},
		})})
		for name, say := range map[string]func(c net.Conn) error{
			"nothing":               func(net.Conn) error { return nil },
			"a byte":                func(c net.Conn) error { return write(c, whole[:1]) },
			"half a hello":          func(c net.Conn) error { return write(c, whole[:len(whole)/2]) },
			"all but a byte":        func(c net.Conn) error { return write(c, whole[:len(whole)-1]) },
			"its hello":             func(c net.Conn) error { return write(c, whole) },
			"its hello, and more":   func(c net.Conn) error { return write(c, whole+"\x14\x03\x03\x00\x01\x01") },
			"its hello of 1.2":      func(c net.Conn) error { return write(c, old) },
			"half of the next":      func(c net.Conn) error { return write(c, whole+"\x17\x03\x03\x00\x45\x00\x00") },
			"a hello, byte by byte": func(c net.Conn) error { return inPieces(c, []byte(whole), 1, 10*time.Millisecond) },
		} {
			t.Run(mode+", "+name, func(t *testing.T) {
				t.Parallel()
				begin := time.Now()
				c := p.dial()
				go func() { _ = say(c) }()
				expectClosed(t, c)
				notBefore(t, begin, short*time.Millisecond)
				if d := time.Since(begin); d > 10*short*time.Millisecond {
					t.Errorf("the connection was closed after %v", d)
				}
			})
		}
		cleanup(t, func() {
			p.await(p.stderr, `level=INFO .*client=127\.0\.0\.1.*the handshake took too long`)
			eventually(t, "the sockets are closed", func() bool { return len(p.clientsOf(p.pid())) == 0 })
		})
		t.Run(mode+", none", func(t *testing.T) {
			t.Parallel()
			eventually(t, "a handshake finishes in time", func() bool {
				begin := time.Now()
				c, err := p.tryDialTLS(a.clientConfig("site.test"))
				slow := time.Since(begin) > short/2*time.Millisecond // on a busy machine a handshake may be too slow
				if err == nil {
					time.Sleep(2 * short * time.Millisecond)
					_, err = io.WriteString(c, lastRequest)
				}
				if err == nil {
					_, err = io.ReadFull(c, make([]byte, 4))
				}
				if err != nil && !slow {
					t.Errorf("a connection whose handshake finished in time: %v", err)
				}
				return err == nil || !slow
			})
		})
	}
}

// Zero means no timeout, and waiting costs nothing.
func TestTLSHandshakesThatWait(t *testing.T) {
	needFiles(t, 4096)
	a := newAuthority(t)
	hello := clientHello(askingFor(&tls.Config{}, "site.test"))
	for mode, hosts := range map[string][]endpoint{
		"http": endpoints(serve(t, "127.0.0.1", mirror)), "stream": endpoints(listen(t, "127.0.0.1", echo)),
	} {
		p := start(t, setup{mode: mode, hosts: hosts, settings: a.issue("site.test").serverSettings(settings{"tls_handshake_timeout": 0})})
		before, threads := p.sockets(), p.status("Threads")
		const n = 100
		var waiting []*net.TCPConn
		for i := range 4 * n {
			c := p.dial()
			send(t, c, hello[:[]int{0, 1, len(hello) / 2, len(hello)}[i%4]])
			waiting = append(waiting, c)
		}
		p.awaitSockets(t, "all are accepted", func(n int) bool { return n >= before+len(waiting) })
		eventually(t, "clients whose ClientHello is complete are answered", func() bool {
			used := p.cpu()
			time.Sleep(200 * time.Millisecond)
			return p.cpu() == used
		})
		p.expectIdle(100 * time.Millisecond)
		if grown := p.status("Threads") - threads; grown > 10 {
			t.Errorf("%d more threads", grown)
		}
		if got := p.verdict(a.clientConfig("site.test")); got != "served" {
			t.Errorf("another client: %s", got)
		}
		for _, c := range waiting {
			_ = c.Close()
		}
		p.awaitSockets(t, "the waiting clients' sockets are closed", func(n int) bool { return n <= before+2 })
	}
}
