package upstream_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"log/slog"
	"math/big"
	"net"
	"sync"
	"testing"
	"time"

	"kroxy-ev/engine/enginetest"
	"kroxy-ev/engine/tlsconn"
	"kroxy-ev/engine/upstream"
)

// certificate returns a certificate that is valid for any name.
func certificate(t *testing.T) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	of := x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), DNSNames: []string{"host.test"}}
	der, err := x509.CreateCertificate(rand.Reader, &of, &of, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

// agreeing is a TLS host that agrees by ALPN on one of these protocols. Over "h2" it speaks the protocol of lines.
type agreeing struct {
	cert tls.Certificate

	mu        sync.Mutex
	protocols []string
	conns     int
}

func (h *agreeing) speaks(protocols ...string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.protocols = protocols
}

func (h *agreeing) connections() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.conns
}

func (h *agreeing) serve(c *net.TCPConn) {
	h.mu.Lock()
	h.conns++
	s := tls.Server(c, &tls.Config{Certificates: []tls.Certificate{h.cert}, NextProtos: h.protocols})
	h.mu.Unlock()
	if s.Handshake() != nil {
		return
	}
	if s.ConnectionState().NegotiatedProtocol == "h2" {
		_, _ = io.WriteString(s, "limit 100\n")
	}
	_, _ = io.Copy(io.Discard, s)
}

// The ALPN result decides the protocol. Until it is known, later requests wait for it; then each makes its own connection, or
// they share one.
func TestHostsAgree(t *testing.T) {
	t.Parallel()
	h := &agreeing{cert: certificate(t)}
	at := enginetest.Accepting(t, enginetest.Loopback, h.serve)
	w, m, g := sharing(t, 100, at)
	handshaker := tlsconn.NewHandshaker(w.loop.Loop)
	t.Cleanup(func() { w.loop.Do(handshaker.Close) })
	w.Connector = upstream.NewConnector(w.loop.Loop, 1, nil, handshaker, slog.New(slog.DiscardHandler))
	t.Cleanup(func() { w.loop.Do(w.Close) })
	w.loop.Do(func() { w.Multiplex(m) })
	client, err := tlsconn.NewClient(tlsconn.ClientOptions{ServerName: "host.test", Protocols: []string{"h2", "http/1.1"}})
	if err != nil {
		t.Fatal(err)
	}
	g.Hosts[0].TLS, g.Protocol = client, upstream.Auto
	w.keeps(g, 100)
	for _, tc := range []struct {
		protocols []string
		shared    bool
		conns     int // made by 5 requests
	}{{[]string{"h2", "http/1.1"}, true, 1}, {[]string{"http/1.1"}, false, 5}, {nil, false, 5}, {[]string{"h2"}, true, 1}} {
		h.speaks(tc.protocols...)
		before := h.connections()
		list := w.begin(g, 5)
		if got, _ := w.outcomes(list); got != 5 {
			t.Errorf("%v: %d got a connection", tc.protocols, got)
		}
		w.loop.Do(func() {
			for _, c := range list {
				if c.Conn == nil {
					t.Errorf("%v: %v", tc.protocols, c.outcome)
				} else if c.Conn.Shared() != tc.shared {
					t.Errorf("%v: shared %v", tc.protocols, c.Conn.Shared())
				}
			}
		})
		if n := h.connections() - before; n != tc.conns {
			t.Errorf("%v: %d connections, want %d", tc.protocols, n, tc.conns)
		}
		w.release(list...)
		w.loop.Do(func() { w.Swap(upstream.NewGroups(nil, 0, 0)) }) // closes all
		w.keeps(g, 100)
	}

	h.speaks("http/1.1")
	only := w.group(at)
	only.Protocol = upstream.HTTP2
	if only.Hosts[0].TLS, err = tlsconn.NewClient(tlsconn.ClientOptions{ServerName: "host.test", Protocols: []string{"h2"}}); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		c := w.claimant()
		if err := c.acquire(only); !errors.Is(err, upstream.ErrHandshake) {
			t.Errorf("a host without HTTP/2: %v", err)
		}
		h.speaks()
	}
}
