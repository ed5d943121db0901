package bench

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"encoding/json"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
)

// tlsHost serves over TLS, by net/http, what the rows request; f modifies its TLS configuration.
func tlsHost(t *testing.T, f func(*tls.Config)) (addr string, c certificate) {
	t.Helper()
	c, _, err := makeCertificates(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	pair, err := tls.LoadX509KeyPair(c.Cert, c.Key)
	if err != nil {
		t.Fatal(err)
	}
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		switch q.URL.Path {
		case "/":
			_, _ = io.WriteString(w, httpBody)
		case "/chunks/8192": // each in a record of its own
			for range 4 {
				_, _ = w.Write(make([]byte, chunkLength))
				w.(http.Flusher).Flush()
			}
		default:
			w.Header().Set("Content-Length", "1000000")
			_, _ = w.Write(make([]byte, 1e6))
		}
	}))
	s.Config.ErrorLog = log.New(io.Discard, "", 0) // discards the errors of handshakes that are meant to fail
	s.TLS = &tls.Config{Certificates: []tls.Certificate{pair}}
	if f != nil {
		f(s.TLS)
	}
	s.StartTLS()
	t.Cleanup(s.Close)
	return s.Listener.Addr().String(), c
}

// Runs each kind of load over TLS, directly against a host.
func TestLoadsOverTLS(t *testing.T) {
	t.Parallel()
	addr, _ := tlsHost(t, nil)
	for name, e := range map[string]exchange{"small": getSmall, "chunked": getChunked} {
		r, err := atLeast(4, lasting(job{Addr: addr, TLS: true, Exchange: e, Conns: 4}, ping))
		if err != nil || r.Errors > 0 || r.Ops < 4 || r.Bytes < r.Ops*e.Size {
			t.Errorf("ping, %s: %+v, %v", name, r, err)
		}
	}
	for _, resume := range []bool{false, true} {
		r, err := atLeast(2, lasting(job{Addr: addr, TLS: true, Resume: resume, Exchange: getClose, Conns: 2}, connects))
		if err != nil || r.Errors > 0 || r.Ops < 2 {
			t.Errorf("connects, resume %v: %+v, %v", resume, r, err)
		}
	}
	large := exchange{Request: get("/bytes/1000000"), Size: 1e6}
	if r, err := atLeast(2, lasting(job{Addr: addr, TLS: true, Exchange: large, Conns: 2}, bulk)); err != nil || r.Errors > 0 || r.Ops < 2 || r.Bytes != r.Ops*1e6 {
		t.Errorf("bulk: %+v, %v", r, err)
	}
	r, err := idle(job{Addr: addr, TLS: true, Exchange: getSmall, Conns: 3}, bufio.NewReader(strings.NewReader("\n")), json.NewEncoder(&bytes.Buffer{}))
	if err != nil || r.Ops != 3 || r.Errors != 0 {
		t.Errorf("idle: %+v, %v", r, err)
	}
}

// A handshake that is not the one a row requires is an error, and does not count as work.
func TestDialerChecks(t *testing.T) {
	t.Parallel()
	j := job{TLS: true, Exchange: getClose, Conns: 2}
	for name, tc := range map[string]struct {
		config func(*tls.Config)
		bad    string // part of the error message
	}{
		"as all":        {nil, ""},
		"version":       {func(c *tls.Config) { c.MaxVersion = tls.VersionTLS12 }, "protocol version"},
		"group":         {func(c *tls.Config) { c.CurvePreferences = []tls.CurveID{tls.CurveP256} }, "handshake"},
		"no TLS at all": {nil, "TLS handshake"},
	} {
		j := j
		if name == "no TLS at all" {
			j.Addr = listenHost(t, false)
		} else {
			j.Addr, _ = tlsHost(t, tc.config)
		}
		r, err := atLeast(1, lasting(j, connects))
		if err != nil || (r.Ops == 0) != (tc.bad != "") || (r.Errors > 0) != (tc.bad != "") || !strings.Contains(r.Failure, tc.bad) {
			t.Errorf("%s: %+v, %v", name, r, err)
		}
	}
	j.Resume = true
	j.Addr, _ = tlsHost(t, func(c *tls.Config) { c.SessionTicketsDisabled = true })
	if _, err := connects(j); err == nil || !strings.Contains(err.Error(), "no ticket") {
		t.Errorf("without tickets: %v", err)
	}
	// The host only resumes the session of the most recent connection.
	var n atomic.Int64
	j.Addr, _ = tlsHost(t, func(c *tls.Config) {
		one := c.Clone()
		c.GetConfigForClient = func(*tls.ClientHelloInfo) (*tls.Config, error) {
			one := one.Clone()
			one.SetSessionTicketKeys([][32]byte{{byte(n.Add(1))}})
			return one, nil
		}
	})
	if r, err := atLeast(1, lasting(j, connects)); err != nil || r.Ops != 0 || r.Errors == 0 || !strings.Contains(r.Failure, "resumed: false") {
		t.Errorf("sessions forgotten: %+v, %v", r, err)
	}
}

func TestAgreed(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		version, cipher uint16
		group           tls.CurveID
		bad             bool
	}{
		{tls.VersionTLS13, tls.TLS_AES_128_GCM_SHA256, tls.X25519, false},
		{tls.VersionTLS12, tls.TLS_AES_128_GCM_SHA256, tls.X25519, true},
		{tls.VersionTLS13, tls.TLS_AES_256_GCM_SHA384, tls.X25519, true},
		{tls.VersionTLS13, tls.TLS_AES_128_GCM_SHA256, tls.X25519MLKEM768, true},
		{0, 0, 0, true},
	} {
		if err := agreed(tc.version, tc.cipher, tc.group); (err != nil) != tc.bad {
			t.Errorf("%+v: %v", tc, err)
		}
	}
}

// The certificate is checked before a measurement, too.
func TestCheckTLS(t *testing.T) {
	t.Parallel()
	addr, c := tlsHost(t, nil)
	_, other := tlsHost(t, nil)
	if err := checkTLS(&target{addr: addr, certificate: c}); err != nil {
		t.Error(err)
	}
	if err := checkTLS(&target{addr: addr, certificate: other}); err == nil {
		t.Error("another's certificate: no error")
	}
}
