package check

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	grpchealth "google.golang.org/grpc/health"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"kroxy-ev/config"
	"kroxy-ev/engine/enginetest"
	"kroxy-ev/engine/tlsconn"
	"kroxy-ev/engine/upstream"
)

// rpc returns a gRPC check of the whole host or of a service.
func rpc(service string) config.HealthCheck {
	return config.HealthCheck{Type: "grpc", Service: service}
}

// grpcHost starts a Go gRPC server with these services.
func grpcHost(t *testing.T, register func(*grpc.Server), o ...grpc.ServerOption) netip.AddrPort {
	t.Helper()
	l, err := net.Listen("tcp", enginetest.Loopback)
	if err != nil {
		t.Fatal(err)
	}
	s := grpc.NewServer(o...)
	if register != nil {
		register(s)
	}
	t.Cleanup(s.Stop)
	go func() { _ = s.Serve(l) }()
	return netip.MustParseAddrPort(l.Addr().String())
}

// withHealth registers a health service with these states of the host and its services.
func withHealth(states map[string]grpc_health_v1.HealthCheckResponse_ServingStatus) func(*grpc.Server) {
	return func(s *grpc.Server) {
		h := grpchealth.NewServer()
		for name, state := range states {
			h.SetServingStatus(name, state)
		}
		grpc_health_v1.RegisterHealthServer(s, h)
	}
}

// A host that uses gRPC's own library is up or down as it says, and the error says what to do.
func TestGRPC(t *testing.T) {
	t.Parallel()
	healthy := grpcHost(t, withHealth(map[string]grpc_health_v1.HealthCheckResponse_ServingStatus{
		"shop.Cart": grpc_health_v1.HealthCheckResponse_SERVING, "shop.Pay": grpc_health_v1.HealthCheckResponse_NOT_SERVING,
		"shop.New": grpc_health_v1.HealthCheckResponse_UNKNOWN, "shop.Odd": 9,
	}))
	ill := grpcHost(t, withHealth(map[string]grpc_health_v1.HealthCheckResponse_ServingStatus{"": grpc_health_v1.HealthCheckResponse_NOT_SERVING}))
	answering := func(code codes.Code) netip.AddrPort {
		return grpcHost(t, withHealth(nil), grpc.UnaryInterceptor(func(context.Context, any, *grpc.UnaryServerInfo, grpc.UnaryHandler) (any, error) {
			return nil, status.Error(code, "because")
		}))
	}
	for what, c := range map[string]struct {
		host    netip.AddrPort
		service string
		want    string
	}{
		"serving":                  {healthy, "", ""},
		"a service":                {healthy, "shop.Cart", ""},
		"another service is ill":   {healthy, "shop.Pay", "the host says NOT_SERVING"},
		"a service is unknown":     {healthy, "shop.Chart", `the host does not know the service "shop.Chart" (grpc-status 5, NOT_FOUND)`},
		"not known yet":            {healthy, "shop.New", "the host says UNKNOWN"},
		"a status without a name":  {healthy, "shop.Odd", "the host says 9"},
		"not serving":              {ill, "", "the host says NOT_SERVING"},
		"no health service":        {grpcHost(t, nil), "", `the host does not have grpc.health.v1.Health (grpc-status 12, UNIMPLEMENTED): make the host serve it, or write "type": "tcp"`},
		"not allowed":              {answering(codes.Unauthenticated), "", "grpc-status 16, UNAUTHENTICATED"},
		"not found, and no name":   {answering(codes.NotFound), "", "grpc-status 5, NOT_FOUND"},
		"a code without a name":    {answering(77), "", "grpc-status 77"},
		"refusing connections":     {enginetest.Refusing(t, enginetest.Loopback), "", "connection refused"},
		"a name as long as can be": {healthy, strings.Repeat("n", 256), "the host does not know the service"},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			err := check(t, at(t, c.host, rpc(c.service)), nil)
			expectError(t, what, err, c.want)
			if _, ok := Answered(err); err != nil && ok != (what != "refusing connections") {
				t.Errorf("%v is an answer: %v", err, ok)
			}
		})
	}
}

// The call identifies itself to the server, and has the check's timeout.
func TestGRPCCall(t *testing.T) {
	t.Parallel()
	seen := make(chan metadata.MD, 1)
	left := make(chan time.Duration, 1)
	host := grpcHost(t, withHealth(nil), grpc.UnaryInterceptor(func(ctx context.Context, req any, _ *grpc.UnaryServerInfo, next grpc.UnaryHandler) (any, error) {
		md, _ := metadata.FromIncomingContext(ctx)
		deadline, _ := ctx.Deadline()
		seen <- md
		left <- time.Until(deadline)
		return next(ctx, req)
	}))
	for authority, want := range map[string]string{"": "host.test", "cart.test:81": "cart.test:81"} {
		spec := rpc("")
		spec.Host = authority
		expectError(t, "call", check(t, at(t, host, spec), nil), "")
		md := <-seen
		if got := fmt.Sprint(md.Get(":authority"), md.Get("user-agent"), md.Get("content-type")); got != "["+want+"] ["+agent+"] [application/grpc]" {
			t.Errorf("the host was asked as %s", got)
		}
		if d := <-left; d <= 0 || d > long {
			t.Errorf("the call's time was %v", d)
		}
	}
	for d, want := range map[time.Duration]string{-1: "1m", time.Microsecond: "1m", 1500 * time.Millisecond: "1500m", 99999999 * time.Millisecond: "99999999m", 100000 * time.Second: "100000S", 1 << 62: "99999999S"} {
		if got := callTimeout(d); got != want {
			t.Errorf("grpc-timeout of %v: %q, want %q", d, got, want)
		}
	}
}

func TestGRPCByTLS(t *testing.T) {
	t.Parallel()
	a := newIssuer(t)
	pair := a.issue(t, "host.test")
	cert, err := tls.X509KeyPair(pair.Cert, pair.Key)
	if err != nil {
		t.Fatal(err)
	}
	client, err := tlsconn.NewClient(tlsconn.ClientOptions{ServerName: "host.test", Verify: true, CAs: a.pem})
	if err != nil {
		t.Fatal(err)
	}
	speaking := func(protocols ...string) netip.AddrPort {
		return enginetest.Accepting(t, enginetest.Loopback, func(c *net.TCPConn) {
			s := tls.Server(c, &tls.Config{Certificates: []tls.Certificate{cert}, NextProtos: protocols})
			_, _ = io.Copy(io.Discard, s)
		})
	}
	encrypted := grpcHost(t, withHealth(nil), grpc.Creds(credentials.NewServerTLSFromCert(&cert)))
	for what, c := range map[string]struct {
		host netip.AddrPort
		tls  *tlsconn.Client
		want string
	}{
		"serving":           {encrypted, client, ""},
		"HTTP/1 by ALPN":    {speaking("http/1.1"), client, "no application protocol"},
		"no ALPN":           {speaking(), client, "the host did not select HTTP/2 (ALPN)"},
		"plain to TLS":      {encrypted, nil, "may expect TLS"},
		"TLS to plain gRPC": {grpcHost(t, withHealth(nil)), client, "while making a TLS handshake"},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			one := at(t, c.host, rpc(""))
			one.Host.TLS = c.tls
			expectError(t, what, check(t, one, nil), c.want)
		})
	}
}

// http2Host starts a host that reads a request and then runs script.
func http2Host(t *testing.T, script func(c net.Conn, w *http2.Framer)) netip.AddrPort {
	t.Helper()
	return enginetest.Accepting(t, enginetest.Loopback, func(c *net.TCPConn) {
		if _, err := io.ReadFull(c, make([]byte, len(http2.ClientPreface))); err != nil {
			return
		}
		f := http2.NewFramer(c, c)
		for asked := false; !asked; {
			frame, err := f.ReadFrame()
			if err != nil {
				return
			}
			asked = frame.Header().Flags.Has(http2.FlagDataEndStream) && (frame.Header().Type == http2.FrameData || frame.Header().Type == http2.FrameHeaders)
		}
		script(c, f)
		enginetest.Hold(c)
	})
}

// block encodes a header block of names and values.
func block(list ...string) []byte {
	var b bytes.Buffer
	e := hpack.NewEncoder(&b)
	for i := 0; i < len(list); i += 2 {
		_ = e.WriteField(hpack.HeaderField{Name: list[i], Value: list[i+1]})
	}
	return b.Bytes()
}

func sendHead(w *http2.Framer, end bool, list ...string) {
	_ = w.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: block(list...), EndHeaders: true, EndStream: end})
}

// An answer that violates a protocol, or is of another protocol, is reported.
func TestGRPCAnswers(t *testing.T) {
	t.Parallel()
	good := []string{":status", "200", "content-type", "application/grpc+proto"}
	well := []byte{0, 0, 0, 0, 2, 8, 1}
	// response returns a script that sends a head, content, and trailers.
	response := func(content []byte, trailers ...string) func(net.Conn, *http2.Framer) {
		return func(_ net.Conn, w *http2.Framer) {
			_ = w.WriteSettings()
			sendHead(w, false, good...)
			_ = w.WriteData(1, false, content)
			sendHead(w, true, trailers...)
		}
	}
	for what, c := range map[string]struct {
		script func(net.Conn, *http2.Framer)
		want   string
	}{
		"good": {response(well, "grpc-status", "0"), ""},
		"good, in pieces, and other frames": {func(_ net.Conn, w *http2.Framer) {
			_ = w.WriteSettings(http2.Setting{ID: http2.SettingMaxConcurrentStreams, Val: 1})
			_ = w.WriteSettingsAck()
			_ = w.WritePing(false, [8]byte{1})
			_ = w.WriteWindowUpdate(0, 1000)
			_ = w.WriteRawFrame(0x77, 0, 1, []byte("x"))
			sendHead(w, false, ":status", "103")
			b := block(good...)
			_ = w.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: b[:1]})
			_ = w.WriteContinuation(1, true, b[1:])
			_ = w.WriteData(1, false, nil)
			_ = w.WriteDataPadded(1, false, well[:3], make([]byte, 9))
			_ = w.WriteData(1, false, well[3:])
			_ = w.WriteGoAway(1, http2.ErrCodeNo, nil)
			sendHead(w, true, "x", "y", "grpc-status", "0")
		}, ""},
		"a field that is not known": {response([]byte{0, 0, 0, 0, 7, 8, 1, 0x92, 1, 2, 'x', 'y'}, "grpc-status", "0"), ""},
		"it says nothing":           {response([]byte{0, 0, 0, 0, 0}, "grpc-status", "0"), "the host says UNKNOWN"},
		"no message":                {response(nil, "grpc-status", "0"), "the host's response is not a HealthCheckResponse"},
		"not a message":             {response([]byte{0, 0, 0, 0, 2, 8, 0x80}, "grpc-status", "0"), "the host's response is not a HealthCheckResponse"},
		"half a prefix":             {response(well[:4], "grpc-status", "0"), "is not a single uncompressed message"},
		"half a message":            {response(well[:6], "grpc-status", "0"), "is not a single uncompressed message"},
		"compressed":                {response([]byte{1, 0, 0, 0, 2, 8, 1}, "grpc-status", "0"), "is not a single uncompressed message"},
		"two messages":              {response(append(well, well...), "grpc-status", "0"), "is not a single uncompressed message"},
		"a long message":            {response(make([]byte, 9000), "grpc-status", "0"), "the host's message is longer than 1024 bytes"},
		"no status":                 {response(well, "grpc-message", "0"), "the host's response has no grpc-status"},
		"a status that is none":     {response(well, "grpc-status", "ok"), "the host's response has no grpc-status"},
		"trailers only": {func(_ net.Conn, w *http2.Framer) {
			_ = w.WriteSettings()
			sendHead(w, true, append(good, "grpc-status", "14")...)
		}, "grpc-status 14, UNAVAILABLE"},
		"404": {func(_ net.Conn, w *http2.Framer) {
			_ = w.WriteSettings()
			sendHead(w, true, ":status", "404")
		}, "status 404 instead of the 200 of gRPC"},
		"another type": {func(_ net.Conn, w *http2.Framer) {
			_ = w.WriteSettings()
			sendHead(w, true, ":status", "200", "content-type", "application/grpc-web")
		}, "its content-type is not application/grpc"},
		"no :status": {func(_ net.Conn, w *http2.Framer) {
			_ = w.WriteSettings()
			sendHead(w, true, "content-type", "application/grpc")
		}, "the response has no status"},
		"GOAWAY": {func(_ net.Conn, w *http2.Framer) {
			_ = w.WriteSettings()
			_ = w.WriteGoAway(0, http2.ErrCodeEnhanceYourCalm, nil)
		}, "the host refused all requests on a new connection (GOAWAY, ENHANCE_YOUR_CALM)"},
		"RST_STREAM": {func(_ net.Conn, w *http2.Framer) {
			_ = w.WriteSettings()
			_ = w.WriteRSTStream(1, http2.ErrCodeRefusedStream)
		}, "the host reset the request (RST_STREAM, REFUSED_STREAM)"},
		"no SETTINGS first":   {func(_ net.Conn, w *http2.Framer) { _ = w.WritePing(false, [8]byte{}) }, "does not begin like HTTP/2"},
		"another protocol":    {func(c net.Conn, _ *http2.Framer) { _, _ = io.WriteString(c, "220 mail.test ESMTP\r\n") }, "malformed"},
		"HTTP/1":              {func(c net.Conn, _ *http2.Framer) { _, _ = io.WriteString(c, "HTTP/1.1 400 Bad Request\r\n\r\n") }, "the host answers in HTTP/1"},
		"TLS":                 {func(c net.Conn, _ *http2.Framer) { _, _ = c.Write([]byte{21, 3, 1, 0, 2, 2, 10}) }, `the host answers in TLS: write "proxy_tls_enabled": true`},
		"a reset":             {func(c net.Conn, _ *http2.Framer) { _ = c.(*net.TCPConn).SetLinger(0); _ = c.Close() }, "while waiting for a response"},
		"an end of its side":  {func(c net.Conn, _ *http2.Framer) { _ = c.(*net.TCPConn).CloseWrite() }, "without an answer"},
		"an end after a head": {func(c net.Conn, w *http2.Framer) { response(well)(c, w); _ = c.(*net.TCPConn).CloseWrite() }, "the host's response has no grpc-status"},
		"a large frame": {func(_ net.Conn, w *http2.Framer) {
			_ = w.WriteSettings()
			_ = w.WriteRawFrame(http2.FrameData, 0, 1, make([]byte, 16385))
		}, "malformed"},
		"DATA before a head": {func(_ net.Conn, w *http2.Framer) {
			_ = w.WriteSettings()
			_ = w.WriteData(1, false, well)
		}, "the host's response has content before its head"},
		"another stream": {func(_ net.Conn, w *http2.Framer) {
			_ = w.WriteSettings()
			_ = w.WriteHeaders(http2.HeadersFrameParam{StreamID: 3, BlockFragment: block(good...), EndHeaders: true})
		}, "the host answered a request that was not sent"},
		"a head without end": {func(_ net.Conn, w *http2.Framer) {
			_ = w.WriteSettings()
			_ = w.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: block(good...)})
			for w.WriteContinuation(1, false, nil) == nil {
			}
		}, "the host has sent more than"},
		"a large head": {func(_ net.Conn, w *http2.Framer) {
			_ = w.WriteSettings()
			sendHead(w, true, append(good, "x", strings.Repeat("\x7e", 12<<10), "y", strings.Repeat("\x7e", 12<<10), "z", strings.Repeat("\x7e", 12<<10))...)
		}, ""}, // tested below
		"SETTINGS without end": {func(_ net.Conn, w *http2.Framer) {
			for w.WriteSettings() == nil {
			}
		}, "the host has sent more than"},
		"a bad block": {func(_ net.Conn, w *http2.Framer) {
			_ = w.WriteSettings()
			_ = w.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: []byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}, EndHeaders: true})
		}, "malformed"},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			err := check(t, at(t, http2Host(t, c.script), rpc("")), nil)
			if what == "a large head" {
				if err == nil {
					t.Error("it was taken")
				}
				return
			}
			expectError(t, what, err, c.want)
		})
	}
}

// A host that sends nothing, or keeps sending little, gets no more than its timeout.
func TestGRPCLate(t *testing.T) {
	t.Parallel()
	for what, script := range map[string]func(net.Conn, *http2.Framer){
		"nothing":  func(net.Conn, *http2.Framer) {},
		"settings": func(_ net.Conn, w *http2.Framer) { _ = w.WriteSettings() },
		"pings": func(_ net.Conn, w *http2.Framer) {
			for err := w.WriteSettings(); err == nil; err = w.WritePing(false, [8]byte{}) {
				time.Sleep(5 * time.Millisecond)
			}
		},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			one := at(t, http2Host(t, script), rpc(""))
			one.Check.Timeout = brief
			err := check(t, one, nil)
			expectError(t, what, err, "no complete response within 3s")
			if !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("%v is not that the time was over", err)
			}
		})
	}
}

// An HTTP check uses the protocol of the group's hosts.
func TestHTTPByHTTP2(t *testing.T) {
	t.Parallel()
	a := newIssuer(t)
	pair := a.issue(t, "host.test")
	cert, err := tls.X509KeyPair(pair.Cert, pair.Key)
	if err != nil {
		t.Fatal(err)
	}
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/ill" {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		filler := strings.Repeat("x", len(r.URL.RawQuery)*1024)
		_, _ = fmt.Fprintf(w, "%s%s %s %s %s", filler, r.Proto, r.Host, r.URL.Path, r.UserAgent())
	})
	serve := func(l net.Listener, protocols *http.Protocols) netip.AddrPort {
		s := &http.Server{Handler: handler, Protocols: protocols, ErrorLog: log.New(io.Discard, "", 0), TLSConfig: &tls.Config{Certificates: []tls.Certificate{cert}}}
		t.Cleanup(func() { _ = s.Close() })
		if protocols.UnencryptedHTTP2() {
			go func() { _ = s.Serve(l) }()
		} else {
			go func() { _ = s.ServeTLS(l, "", "") }()
		}
		return netip.MustParseAddrPort(l.Addr().String())
	}
	listen := func() net.Listener {
		l, err := net.Listen("tcp", enginetest.Loopback)
		if err != nil {
			t.Fatal(err)
		}
		return l
	}
	var plain, secure, both, old http.Protocols
	plain.SetUnencryptedHTTP2(true)
	secure.SetHTTP2(true)
	both.SetHTTP2(true)
	both.SetHTTP1(true)
	old.SetHTTP1(true)
	h2c, h2, any, h1 := serve(listen(), &plain), serve(listen(), &secure), serve(listen(), &both), serve(listen(), &old)
	offering := func(protocols ...string) *tlsconn.Client {
		c, err := tlsconn.NewClient(tlsconn.ClientOptions{ServerName: "host.test", Verify: true, CAs: a.pem, Protocols: protocols})
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	for what, c := range map[string]struct {
		host     netip.AddrPort
		tls      *tlsconn.Client
		protocol upstream.Protocol
		path     string
		body     string
		want     string
	}{
		"h2c":               {h2c, nil, upstream.HTTP2, "/x", "HTTP/2.0 host.test /x " + agent, ""},
		"h2c, 503":          {h2c, nil, upstream.HTTP2, "/ill", "", "status 503, expected 200-399"},
		"h2c, not there":    {h2c, nil, upstream.HTTP2, "/x", "/y", `the body does not contain "/y"`},
		"h2c, 63 KiB in":    {h2c, nil, upstream.HTTP2, "/x?" + strings.Repeat("q", 63), "HTTP/2.0 host.test /x", ""},
		"h2c, 64 KiB in":    {h2c, nil, upstream.HTTP2, "/x?" + strings.Repeat("q", 64), "HTTP/2.0", "the first 65536 bytes of the body do not contain"},
		"h2":                {h2, offering("h2"), upstream.HTTP2, "/x", "HTTP/2.0", ""},
		"h2, and HTTP/1":    {any, offering("h2"), upstream.HTTP2, "/x", "HTTP/2.0", ""},
		"h2 is not there":   {h1, offering("h2"), upstream.HTTP2, "/x", "HTTP/2.0", "no application protocol"},
		"auto, both":        {any, offering("h2", "http/1.1"), upstream.Auto, "/x", "HTTP/2.0", ""},
		"auto, HTTP/1 only": {h1, offering("h2", "http/1.1"), upstream.Auto, "/x", "HTTP/1.1", ""},
		"HTTP/1":            {any, offering(), upstream.HTTP1, "/x", "HTTP/1.1", ""},
		"HTTP/1, offered":   {any, offering("http/1.1"), upstream.HTTP1, "/x", "HTTP/1.1", ""},
		"h2c with HTTP/1":   {enginetest.Accepting(t, enginetest.Loopback, says("HTTP/1.1 200 OK\r\n\r\n")), nil, upstream.HTTP2, "/", "", "the host answers in HTTP/1"},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			one := at(t, c.host, get(func(s *config.HealthCheck) { s.Path, s.Body = c.path, c.body }))
			one.Host.TLS, one.Protocol = c.tls, c.protocol
			expectError(t, what, check(t, one, nil), c.want)
		})
	}
}
