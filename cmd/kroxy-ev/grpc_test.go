package main_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

// grpcSetup is a proxy between gRPC clients and hosts. Either side speaks TLS if its authority is not nil, else h2c.
func grpcSetup(port int, client, host *authority, more settings, hosts ...*rpcHost) setup {
	var at []endpoint
	for _, h := range hosts {
		at = append(at, h.endpoint)
	}
	listen, group := listenEntry{"address": "127.0.0.1", "port": port, "protocols": []string{"h2c"}}, settings{"hosts": at, "protocol": "h2c"}
	s := settings{"workers_num": 2, "reactors_num": 2}
	if client != nil {
		listen["protocols"] = []string{"h2", "http/1.1"}
		s = client.issue("site.test").serverSettings(s)
	}
	if host != nil {
		group["protocol"], group["proxy_tls_enabled"], group["proxy_tls_verify"], group["proxy_tls_ca_path"], group["proxy_tls_server_name"] = "h2", true, true, host.path, "host.test"
	}
	s["listen"], s["servers"] = []listenEntry{listen}, settings{"backend": group}
	for k, v := range more {
		if in := strings.TrimPrefix(k, "group."); in != k {
			group[in] = v
		} else {
			s[k] = v
		}
	}
	return setup{mode: "http", settings: s}
}

// Calls of every kind have the same outcome with and without the proxy.
func TestGRPC(t *testing.T) {
	t.Parallel()
	t.Run("direct", func(t *testing.T) {
		t.Parallel()
		h := serveGRPC(t, nil)
		callAll(t, h, dialGRPC(t, h.Port, nil))
	})
	a := newAuthority(t)
	for name, by := range map[string]struct{ client, host *authority }{"h2c to h2c": {nil, nil}, "TLS to TLS": {a, a}, "h2c to TLS": {nil, a}, "TLS to h2c": {a, nil}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			modes(t, func(t *testing.T, multi bool) {
				var id *identity
				if by.host != nil {
					id = a.issue("host.test")
				}
				var config *tls.Config
				if by.client != nil {
					config = a.clientConfig("site.test")
				}
				h, port := serveGRPC(t, id), reservePort(t)
				s := grpcSetup(port, by.client, by.host, nil, h)
				s.multi = multi
				p := startOn(t, port, s)
				callAll(t, h, dialGRPC(t, p.port, config))
				if n := h.connections(); n > 4 {
					t.Errorf("the proxy made %d connections to the host, although calls can share one", n)
				}
			})
		})
	}
}

// callAll makes calls of every kind.
func callAll(t *testing.T, h *rpcHost, c *rpcClient) {
	for name, call := range map[string]func(*testing.T, *rpcHost, *rpcClient){
		"unary": unary, "big messages": bigMessages, "metadata": callMetadata, "client streaming": clientStreaming, "server streaming": serverStreaming, "bidi": bidi,
		"trailers only": trailersOnly, "an error behind messages": lateError, "deadline": deadline, "cancelled": cancelled, "cancelled stream": cancelledStream, "at once": callsAtOnce,
		"unknown method": unknownMethod, "answered early": answeredEarly,
	} {
		t.Run(name, func(t *testing.T) { call(t, h, c) }) // one after another: some read the host's record of cancelled calls
	}
}

// callPatience is how long a call may take. Some need many round trips, each of which takes long on a busy machine.
const callPatience = 4 * patience

// callContext returns a context for a call that should end well.
func callContext(t *testing.T, md ...string) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), callPatience)
	t.Cleanup(cancel)
	return metadata.AppendToOutgoingContext(ctx, md...)
}

func unary(t *testing.T, _ *rpcHost, c *rpcClient) {
	for _, m := range []string{"", "x", strings.Repeat("0123456789", 1000)} {
		if answer, err := c.echo(callContext(t), []byte(m)); err != nil || string(answer) != m {
			t.Errorf("sent %d bytes and got %d back, error %v", len(m), len(answer), err)
		}
	}
}

func bigMessages(t *testing.T, _ *rpcHost, c *rpcClient) {
	m := make([]byte, 8<<20)
	_, _ = rand.Read(m)
	if answer, err := c.echo(callContext(t), m); err != nil || !bytes.Equal(answer, m) {
		t.Errorf("got %d bytes back, error %v", len(answer), err)
	}
}

func callMetadata(t *testing.T, _ *rpcHost, c *rpcClient) {
	var all []byte
	for b := range 256 {
		all = append(all, byte(b))
	}
	var head, trailers metadata.MD
	if _, err := c.echo(callContext(t, "blob-bin", string(all), "blob-bin", "", "plain", "a, b", "plain", "c"), nil, grpc.Header(&head), grpc.Trailer(&trailers)); err != nil {
		t.Fatal(err)
	}
	for where, md := range map[string]metadata.MD{"head": head, "trailers": trailers} {
		if blob, plain := md.Get("blob-bin"), md.Get("plain"); !slices.Equal(blob, []string{string(all), ""}) || !slices.Equal(plain, []string{"a, b", "c"}) {
			t.Errorf("the %s has blob-bin %q and plain %q", where, blob, plain)
		}
	}
}

func clientStreaming(t *testing.T, _ *rpcHost, c *rpcClient) {
	s, err := c.stream(callContext(t), "Collect")
	if err != nil {
		t.Fatal(err)
	}
	const n, size = 200, 10_000
	for range n {
		m := make([]byte, size)
		if err := s.SendMsg(&m); err != nil {
			t.Fatal(err)
		}
	}
	var m []byte
	if err := errors.Join(s.CloseSend(), s.RecvMsg(&m)); err != nil || string(m) != fmt.Sprint(n, n*size) {
		t.Errorf("the host got %q, error %v", m, err)
	}
	expectCode(t, s, codes.OK)
}

// expectCode demands that a call has no further message and ends with the code.
func expectCode(t *testing.T, s grpc.ClientStream, want codes.Code) {
	t.Helper()
	var m []byte
	err := s.RecvMsg(&m)
	if errors.Is(err, io.EOF) {
		err = nil
	}
	if code := status.Code(err); code != want {
		t.Errorf("the call ended with %v: %v, want %v", code, err, want)
	}
}

func serverStreaming(t *testing.T, _ *rpcHost, c *rpcClient) {
	receive(t, c, callContext(t), codes.OK)
}

// receive makes a call that is answered with many messages and ends with the code.
func receive(t *testing.T, c *rpcClient, ctx context.Context, want codes.Code) {
	t.Helper()
	const n, size = 300, 10_000
	s, err := c.stream(ctx, "Spread")
	if err != nil {
		t.Fatal(err)
	}
	m := fmt.Appendf(nil, "%d %d", n, size)
	if err := errors.Join(s.SendMsg(&m), s.CloseSend()); err != nil {
		t.Fatal(err)
	}
	for i := range uint32(n) {
		if err := s.RecvMsg(&m); err != nil || len(m) != size || binary.BigEndian.Uint32(m) != i {
			t.Fatalf("message %d has %d bytes, error %v", i, len(m), err)
		}
	}
	expectCode(t, s, want)
}

// bidi shows that each message is passed on at once, without waiting for more.
func bidi(t *testing.T, _ *rpcHost, c *rpcClient) {
	s, err := c.stream(callContext(t), "Chat")
	if err != nil {
		t.Fatal(err)
	}
	for i := range 100 {
		said := fmt.Appendf(nil, "%d%s", i, strings.Repeat("x", i*100))
		var heard []byte
		if err := errors.Join(s.SendMsg(&said), s.RecvMsg(&heard)); err != nil || !bytes.Equal(said, heard) {
			t.Fatalf("message %d: got %d bytes back of %d, error %v", i, len(heard), len(said), err)
		}
	}
	if err := s.CloseSend(); err != nil {
		t.Fatal(err)
	}
	expectCode(t, s, codes.OK)
}

func trailersOnly(t *testing.T, _ *rpcHost, c *rpcClient) {
	for _, code := range []codes.Code{codes.NotFound, codes.Unavailable, codes.Unauthenticated, 99} {
		_, err := c.echo(callContext(t, "code", fmt.Sprint(uint32(code))), []byte("x"))
		if s := status.Convert(err); s.Code() != code || s.Message() != oddMessage {
			t.Errorf("code %v arrived as %v: %q", code, s.Code(), s.Message())
		}
	}
}

func lateError(t *testing.T, _ *rpcHost, c *rpcClient) {
	receive(t, c, callContext(t, "code", "9"), codes.FailedPrecondition)
}

func deadline(t *testing.T, h *rpcHost, c *rpcClient) {
	const limit = 5 * time.Second // so that the call reaches the host before, even if the machine stands still
	ctx, cancel := context.WithTimeout(metadata.AppendToOutgoingContext(t.Context(), "wait", "yes"), limit)
	defer cancel()
	if _, err := c.echo(ctx, nil); status.Code(err) != codes.DeadlineExceeded {
		t.Errorf("the call ended with %v", err)
	}
	select {
	case d := <-h.limits:
		if d > limit {
			t.Errorf("the host's deadline was in %v, want at most %v", d, limit)
		}
	case <-time.After(patience):
		t.Fatal("the host got no deadline")
	}
	awaitCancelled(t, h) // by its own timer, or because the client has reset the stream
}

// awaitCancelled waits until the context of a waiting call is done at the host, and returns its error.
func awaitCancelled(t *testing.T, h *rpcHost) error {
	t.Helper()
	select {
	case err := <-h.left:
		return err
	case <-time.After(patience):
		t.Fatal("the host's context of a cancelled call is not done")
		return nil
	}
}

func cancelled(t *testing.T, h *rpcHost, c *rpcClient) {
	ctx, cancel := context.WithCancel(callContext(t, "wait", "yes"))
	over := make(chan error, 1)
	go func() {
		_, err := c.echo(ctx, nil)
		over <- err
	}()
	<-h.limits
	cancel()
	if err := <-over; status.Code(err) != codes.Canceled {
		t.Errorf("the call ended with %v", err)
	}
	if err := awaitCancelled(t, h); !errors.Is(err, context.Canceled) {
		t.Errorf("at the host the call ended with %v", err)
	}
}

func cancelledStream(t *testing.T, h *rpcHost, c *rpcClient) {
	ctx, cancel := context.WithCancel(callContext(t))
	defer cancel()
	s, err := c.stream(ctx, "Chat")
	if err != nil {
		t.Fatal(err)
	}
	m := []byte("hello")
	if err := errors.Join(s.SendMsg(&m), s.RecvMsg(&m)); err != nil {
		t.Fatal(err)
	}
	cancel()
	if err := awaitCancelled(t, h); !errors.Is(err, context.Canceled) {
		t.Errorf("at the host the call ended with %v", err)
	}
	expectCode(t, s, codes.Canceled)
}

// callsAtOnce makes more concurrent calls than a connection may have streams.
func callsAtOnce(t *testing.T, _ *rpcHost, c *rpcClient) {
	var all sync.WaitGroup
	for range 250 {
		all.Go(func() {
			if err := c.once(); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
}

func unknownMethod(t *testing.T, _ *rpcHost, c *rpcClient) {
	s, err := c.stream(callContext(t), "Nothing")
	if err != nil {
		t.Fatal(err)
	}
	expectCode(t, s, codes.Unimplemented)
}

// answeredEarly makes many calls that end before the client has sent everything. The client then resets each stream, which must not count as a flood of
// resets.
func answeredEarly(t *testing.T, _ *rpcHost, c *rpcClient) {
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for range 50 {
				s, err := c.stream(callContext(t), "Nothing")
				if err == nil {
					err = s.RecvMsg(new([]byte))
				}
				if status.Code(err) != codes.Unimplemented {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
}

// Hosts of HTTP/2 get "te: trailers", which gRPC servers may insist on, and no other connection-specific field of a client.
func TestHostsGetTETrailers(t *testing.T) {
	t.Parallel()
	tr := new(http.Protocols)
	tr.SetUnencryptedHTTP2(true)
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	host := &http.Server{Protocols: tr, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = fmt.Fprintf(w, "%s %q %q", r.Proto, r.Header["Te"], r.Header["Connection"])
	})}
	t.Cleanup(func() { _ = host.Close() })
	go func() { _ = host.Serve(l) }()
	port := reservePort(t)
	s := grpcSetup(port, nil, nil, nil)
	s.settings["servers"].(settings)["backend"].(settings)["hosts"] = []endpoint{{"127.0.0.1", l.Addr().(*net.TCPAddr).Port}}
	p := startOn(t, port, s)
	for te, want := range map[string]string{"trailers": `HTTP/2.0 ["trailers"] []`, "": `HTTP/2.0 [] []`} {
		req, err := http.NewRequest(http.MethodGet, p.url("/"), nil)
		if err != nil {
			t.Fatal(err)
		}
		if te != "" {
			req.Header.Set("TE", te)
		}
		if _, body := do(t, p.http2Client(nil), req); body != want {
			t.Errorf("TE %q: the host got %s, want %s", te, body, want)
		}
	}
}

// The proxy's own errors have the form of gRPC errors, and the log has the status of calls.
func TestGRPCErrors(t *testing.T) {
	t.Parallel()
	h, port, file := serveGRPC(t, nil), reservePort(t), filepath.Join(t.TempDir(), "access.log")
	s := grpcSetup(port, nil, nil, settings{
		"file_log": file, "format_log": "$grpc_status $status $end_reason $protocol $path", "group.retry": false,
		"routes": []settings{
			{"match": settings{"path": "/kroxy.test.Peer/Echo"}, "proxy_to": "backend"},
			{"match": settings{"path": "/kroxy.test.Peer/Collect"}, "proxy_to": "backend", "max_body_size": 5000},
			{"match": settings{"path": "/kroxy.test.Peer/Spread"}, "proxy_to": "nobody"},
			{"match": settings{"path": "/kroxy.test.Peer/Closed"}, "respond": settings{"status": 403}},
		},
	}, h)
	s.settings["servers"].(settings)["nobody"] = settings{"hosts": []endpoint{refusing(t)}, "protocol": "h2c", "passive_check": false}
	p := startOn(t, port, s)
	c := dialGRPC(t, p.port, nil)
	var want []string
	for _, one := range []struct {
		method, code  string // in the metadata
		size          int
		want          codes.Code
		message, logs string
	}{
		{"Echo", "", 10, codes.OK, "", "0 200 complete"},
		{"Echo", "5", 10, codes.NotFound, oddMessage, "5 200 complete"},
		{"Collect", "", 10, codes.OK, "", "0 200 complete"},
		{"Collect", "", 10000, codes.ResourceExhausted, "413 Request Entity Too Large", "8 413 refused"},
		{"Spread", "", 10, codes.Unavailable, "502 Bad Gateway", "14 502 unreachable"},
		{"Closed", "", 10, codes.PermissionDenied, "403 Forbidden", "7 403 complete"},
		{"None", "", 10, codes.Unimplemented, "404 Not Found", "12 404 no_route"},
	} {
		ctx := callContext(t)
		if one.code != "" {
			ctx = callContext(t, "code", one.code)
		}
		s, err := c.stream(ctx, one.method)
		if err != nil {
			t.Fatal(err)
		}
		m := make([]byte, one.size)
		if err := s.SendMsg(&m); err == nil { // otherwise the answer came first
			_ = s.CloseSend()
		}
		err = s.RecvMsg(&m)
		if err == nil {
			if err = s.RecvMsg(&m); errors.Is(err, io.EOF) {
				err = nil
			}
		}
		if got := status.Convert(err); got.Code() != one.want || got.Message() != one.message {
			t.Errorf("%s: %v, want %v: %s", one.method, err, one.want, one.message)
		}
		want = append(want, fmt.Sprintf("%s HTTP/2.0 /kroxy.test.Peer/%s", one.logs, one.method))
	}
	eventually(t, "the log has the calls", func() bool { return len(lines(t, file)) == len(want) })
	got := lines(t, file)
	for i, line := range got {
		_, got[i], _ = strings.Cut(line, "]: ") // after the time
	}
	slices.Sort(got) // an exchange may be over when the next one is answered
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("the log has\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// A host that gives up a call at its deadline has not failed; a host that gives up earlier has.
func TestDeadlineAtAHost(t *testing.T) {
	t.Parallel()
	// The host resets every call shortly after the call arrives.
	h := listen(t, "127.0.0.1", func(c *net.TCPConn) {
		if _, err := io.ReadFull(c, make([]byte, len(http2.ClientPreface))); err != nil {
			return
		}
		f := http2.NewFramer(c, c)
		for err := f.WriteSettings(); err == nil; {
			var frame http2.Frame
			if frame, err = f.ReadFrame(); err == nil && frame.Header().Type == http2.FrameHeaders {
				time.Sleep(50 * time.Millisecond)
				err = f.WriteRSTStream(frame.Header().StreamID, http2.ErrCodeCancel)
			}
		}
	})
	port, file := reservePort(t), filepath.Join(t.TempDir(), "access.log")
	s := grpcSetup(port, nil, nil, settings{"file_log": file, "format_log": "$status $end_reason", "group.retry": false})
	s.settings["servers"].(settings)["backend"].(settings)["hosts"] = endpoints(h)
	p := startOn(t, port, s)
	for i, one := range []struct{ timeout, kind, want, logs string }{
		{"40m", "application/grpc", "200 [4] [504 Gateway Timeout]", "499 client_abort"},
		{"30S", "application/grpc", "200 [14] [502 Bad Gateway]", "502 host_cut"},
		{"", "application/grpc", "200 [14] [502 Bad Gateway]", "502 host_cut"},
		{"40m", "text/plain", "502 [] []", "502 host_cut"},
	} {
		req, err := http.NewRequest(http.MethodPost, p.url("/a.B/C"), strings.NewReader("x"))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", one.kind)
		if one.timeout != "" {
			req.Header.Set("Grpc-Timeout", one.timeout)
		}
		res, _ := do(t, p.http2Client(nil), req)
		if got := fmt.Sprint(res.StatusCode, res.Header["Grpc-Status"], res.Header["Grpc-Message"]); got != one.want {
			t.Errorf("with a timeout of %q: %s, want %s", one.timeout, got, one.want)
		}
		eventually(t, "the log has a line for the call", func() bool { return len(lines(t, file)) == i+1 })
		if line := lines(t, file)[i]; !strings.HasSuffix(line, "]: "+one.logs) {
			t.Errorf("with a timeout of %q the log has %s, want %s", one.timeout, line, one.logs)
		}
	}
	if n := p.stderr.count(`level=ERROR.*deadline`); n > 0 {
		t.Errorf("%d lines in the error log mention a deadline", n)
	}
}

// A host ends a stream of messages at its deadline, after the head. The proxy cancels the stream for the client, which takes that for its own deadline; an
// internal error would be another outcome. A stream that a host ends before its deadline is an error.
func TestDeadlineOfAStream(t *testing.T) {
	t.Parallel()
	h := listen(t, "127.0.0.1", func(c *net.TCPConn) {
		if _, err := io.ReadFull(c, make([]byte, len(http2.ClientPreface))); err != nil {
			return
		}
		var head bytes.Buffer
		fields := hpack.NewEncoder(&head)
		f := http2.NewFramer(c, c)
		for err := f.WriteSettings(); err == nil; {
			var frame http2.Frame
			if frame, err = f.ReadFrame(); err == nil && frame.Header().Type == http2.FrameHeaders {
				id := frame.Header().StreamID
				head.Reset()
				_ = fields.WriteField(hpack.HeaderField{Name: ":status", Value: "200"})
				_ = fields.WriteField(hpack.HeaderField{Name: "content-type", Value: "application/grpc"})
				_ = f.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: head.Bytes(), EndHeaders: true})
				_ = f.WriteData(id, false, []byte("\x00\x00\x00\x00\x01x"))
				time.Sleep(50 * time.Millisecond)
				err = f.WriteRSTStream(id, http2.ErrCodeCancel)
			}
		}
	})
	port := reservePort(t)
	s := grpcSetup(port, nil, nil, nil)
	s.settings["servers"].(settings)["backend"].(settings)["hosts"] = endpoints(h)
	p := startOn(t, port, s)
	for timeout, want := range map[string]http2.ErrCode{"40m": http2.ErrCodeCancel, "30S": http2.ErrCodeInternal} {
		req, err := http.NewRequest(http.MethodPost, p.url("/a.B/C"), strings.NewReader("x"))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", "application/grpc")
		req.Header.Set("Grpc-Timeout", timeout)
		res, err := p.http2Client(nil).Do(req)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(res.Body)
		res.Body.Close()
		if reset := (http2.StreamError{}); !errors.As(err, &reset) || reset.Code != want || len(body) != 6 {
			t.Errorf("with a timeout of %s: %q, %v; want the message and %v", timeout, body, err, want)
		}
	}
}

// A host whose gRPC health service says NOT_SERVING gets no calls, and gets them again when it serves.
func TestGRPCChecks(t *testing.T) {
	t.Parallel()
	modes(t, func(t *testing.T, multi bool) {
		a := newAuthority(t)
		good, bad, port := serveGRPC(t, a.issue("host.test")), serveGRPC(t, a.issue("host.test")), reservePort(t)
		check := settings{"type": "grpc", "interval": 50, "timeout": patience.Milliseconds(), "rise": 1, "fall": 2}
		s := grpcSetup(port, nil, a, settings{"group.health_check": check}, good, bad)
		s.multi = multi
		p := startOn(t, port, s)
		bad.health.SetServingStatus("", grpc_health_v1.HealthCheckResponse_NOT_SERVING)
		p.awaitLog(fmt.Sprintf(`level=WARN msg="check: a host is down" group=backend host=127.0.0.1:%d type=grpc error="the host says NOT_SERVING"`, bad.Port))
		bad.health.SetServingStatus("", grpc_health_v1.HealthCheckResponse_SERVING)
		p.awaitLog(fmt.Sprintf(`msg="check: a host serves again" group=backend host=127.0.0.1:%d type=grpc`, bad.Port))
		if err := dialGRPC(t, p.port, nil).once(); err != nil {
			t.Error(err)
		}
	})
}
