package main_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"testing"
	"time"

	"google.golang.org/grpc"
)

// http2Load starts clients of the proxy that speak HTTP/2, by TLS if config is not nil: gRPC calls and plain requests, over shared connections and over new
// ones. Requests for "/plain" go to a host of HTTP/1.
func http2Load(p *proxy, config *tls.Config) *load {
	p.t.Helper()
	l := newLoad(p.t)
	for range 3 {
		call, get := dialGRPC(p.t, p.port, config).once, p.http2Client(config)
		for range 2 {
			l.add(func() (int, error) { return 0, call() })
			l.add(func() (int, error) { return 0, p.getPlain(get) })
		}
	}
	l.add(func() (int, error) {
		c, err := newRPCClient(p.port, config)
		if err != nil {
			return 0, err
		}
		return 0, errors.Join(c.once(), c.Close())
	})
	l.add(func() (int, error) {
		c := p.http2Client(config)
		defer c.CloseIdleConnections()
		return 0, p.getPlain(c)
	})
	return l
}

// http2Client returns a client of net/http that speaks only HTTP/2, by TLS if config is not nil. Its URLs begin with "http" in either case.
func (p *proxy) http2Client(config *tls.Config) *http.Client {
	tr := &http.Transport{Protocols: new(http.Protocols), DialContext: (&net.Dialer{Timeout: patience}).DialContext}
	tr.Protocols.SetUnencryptedHTTP2(true)
	if config != nil {
		config = config.Clone()
		config.NextProtos = []string{"h2"}
		tr.DialContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
			return (&tls.Dialer{NetDialer: &net.Dialer{Timeout: patience}, Config: config}).DialContext(ctx, network, addr)
		}
	}
	p.t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{Transport: tr, Timeout: patience}
}

// getPlain makes a request and demands a host's name as the answer.
func (p *proxy) getPlain(c *http.Client) error {
	res, err := c.Get(p.url("/plain"))
	if err != nil {
		return err
	}
	body, err := io.ReadAll(res.Body)
	if err = errors.Join(err, res.Body.Close()); err == nil && (res.StatusCode != http.StatusOK || res.ProtoMajor != 2 || string(body) != "A") {
		err = fmt.Errorf("%s status %d: %.200q", res.Proto, res.StatusCode, body)
	}
	return err
}

// longLivedCalls are streams that must survive what the test does.
type longLivedCalls struct {
	t    *testing.T
	list []grpc.ClientStream
}

// beginLongLivedCalls begins n streams, each over a connection of its own, so that they are spread over the workers.
func beginLongLivedCalls(p *proxy, config *tls.Config, n int) *longLivedCalls {
	p.t.Helper()
	k := &longLivedCalls{t: p.t}
	ctx, cancel := context.WithCancel(context.Background())
	p.t.Cleanup(cancel)
	for range n {
		s, err := dialGRPC(p.t, p.port, config).stream(ctx, "Chat")
		if err != nil {
			p.t.Fatal(err)
		}
		k.list = append(k.list, s)
	}
	k.mustBeAlive()
	return k
}

// mustBeAlive demands that every stream still works.
func (k *longLivedCalls) mustBeAlive() {
	k.t.Helper()
	for i, s := range k.list {
		said := fmt.Appendf(nil, "still there at %v?", time.Now())
		var heard []byte
		if err := errors.Join(s.SendMsg(&said), s.RecvMsg(&heard)); err != nil || !bytes.Equal(said, heard) {
			k.t.Errorf("stream %d got %q back, error %v", i, heard, err)
		}
	}
}

// end ends all streams.
func (k *longLivedCalls) end() {
	k.t.Helper()
	for i, s := range k.list {
		var m []byte
		if err := errors.Join(s.CloseSend(), s.RecvMsg(&m)); !errors.Is(err, io.EOF) {
			k.t.Errorf("stream %d ended with %v", i, err)
		}
	}
}

// underHTTP2Load is the setup for http2Load. If a is not nil, both sides speak TLS with certificates of a.
func underHTTP2Load(t *testing.T, port int, a *authority) setup {
	t.Helper()
	host := func() *rpcHost {
		if a == nil {
			return serveGRPC(t, nil)
		}
		return serveGRPC(t, a.issue("host.test"))
	}
	s := grpcSetup(port, a, a, settings{
		"shutdown_timeout": 20 * patience.Milliseconds(),
		"routes":           []settings{{"match": settings{"path": "/plain"}, "proxy_to": "old"}, {"proxy_to": "backend"}},
	}, host(), host())
	s.settings["servers"].(settings)["old"] = settings{"hosts": endpoints(serve(t, "127.0.0.1", versatileHost))}
	return s
}

// A reload ends no stream and fails no request of a client of HTTP/2, whether the request is answered, under way or about to be sent.
func TestReloadsUnderHTTP2Load(t *testing.T) {
	counts := []int{4, 2, 4, 1, 3}
	modes(t, func(t *testing.T, multi bool) {
		port := reservePort(t)
		s := underHTTP2Load(t, port, nil)
		s.multi = multi
		p := startOn(t, port, s)
		k, l := beginLongLivedCalls(p, nil, 4), http2Load(p, nil)
		n := times(10, 50)
		for i := range n {
			l.awaitRequests(t, times(50, 300))
			s.settings["workers_num"] = counts[i%len(counts)]
			p.rewrite(s)
			p.mustOrder("reload")
		}
		l.awaitRequests(t, 100)
		k.mustBeAlive()
		l.endWithoutFailures(t)
		k.end()
		t.Logf("%d reloads", n)
	})
}

// An upgrade does not either, for clients that use TLS.
func TestUpgradesUnderHTTP2Load(t *testing.T) {
	port, a := reservePort(t), newAuthority(t)
	p, file := startUpgradableWith(t, port, configText(port, underHTTP2Load(t, port, a)))
	config := a.clientConfig("site.test")
	k, l := beginLongLivedCalls(p, config, 4), http2Load(p, config)
	n, pid := times(2, 10), p.pid()
	for i := range n {
		l.awaitRequests(t, times(50, 500))
		install(t, program, file)
		p.mustOrder("upgrade")
		former := pid
		pid = p.awaitSuccessor(i + 1)
		l.awaitRequests(t, 100)
		if i > 0 {
			eventually(t, "the old master has exited", func() bool { return !alive(former) })
		}
	}
	k.mustBeAlive()
	l.endWithoutFailures(t)
	k.end()
	t.Logf("%d upgrades", n)
	if status := p.wait(); status != 0 {
		t.Errorf("the first master's exit status is %d", status)
	}
	if list := children(t, pid); len(list) != 2 || slices.Contains(list, 0) {
		t.Errorf("the last master has workers %v, want 2", list)
	}
	p.stopSuccessor(pid)
}
