package check

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"kroxy-ev/engine/proxyproto"
	"kroxy-ev/engine/upstream"
)

// prober makes checks. It is safe for concurrent use.
type prober struct {
	dialer  net.Dialer
	clients sync.Pool // of *client
}

func newProber() *prober {
	return &prober{
		dialer:  net.Dialer{KeepAlive: -1}, // a check is too short for keepalive
		clients: sync.Pool{New: func() any { return newClient() }},
	}
}

// check checks t over a new connection, and returns why it failed, or nil if it passed. ctx must have a deadline.
func (p *prober) check(ctx context.Context, t *Target) error {
	conn, err := p.connect(ctx, t)
	if err != nil {
		return orTimeout(ctx, t, "no connection", err)
	}
	defer func() { _ = conn.Close() }()
	// The deadline bounds reads and writes; this ends them when the Checker is closed.
	defer context.AfterFunc(ctx, func() { _ = conn.Close() })()
	if t.ProxyProtocol != proxyproto.None {
		nobody := netip.AddrPort{}
		if err := write(ctx, conn, proxyproto.Append(nil, t.ProxyProtocol, nobody, nobody)); err != nil {
			return orTimeout(ctx, t, "a PROXY header could not be sent", fmt.Errorf("while sending a PROXY header: %w", err))
		}
	}
	speak, isH2 := conn, t.isGRPC() || t.Protocol == upstream.HTTP2
	if t.Host.TLS != nil {
		var offer []string // nil: the same as for traffic
		if t.isGRPC() {
			offer = []string{alpn}
		}
		secured, err := t.Host.TLS.Handshake(ctx, conn, offer...)
		if err != nil {
			return orTimeout(ctx, t, "the TLS handshake was not complete", fmt.Errorf("%w: %w", upstream.ErrHandshake, err))
		}
		agreed := secured.ConnectionState().NegotiatedProtocol == alpn
		if isH2 && !agreed && t.asks() {
			return failed(`the host did not select HTTP/2 (ALPN): it may not serve HTTP/2 over TLS on this port`)
		}
		speak, isH2 = secured, agreed
	}
	return orTimeout(ctx, t, "no complete response", p.ask(ctx, speak, t, isH2))
}

// ask makes the request that t asks for over conn, if any.
func (p *prober) ask(ctx context.Context, conn net.Conn, t *Target, isH2 bool) error {
	switch {
	case !t.asks():
		return nil
	case t.isGRPC():
		return checkGRPC(ctx, conn, t)
	}
	c := p.clients.Get().(*client)
	defer p.clients.Put(c)
	if isH2 {
		return c.checkHTTP2(ctx, conn, t)
	}
	return c.check(ctx, conn, t)
}

// orTimeout returns err, or, if the check's time is up, an error that says what was not done in time.
func orTimeout(ctx context.Context, t *Target, what string, err error) error {
	if deadline, _ := ctx.Deadline(); err == nil || errors.Is(err, errFailed) || time.Now().Before(deadline) {
		return err
	}
	return fmt.Errorf("%s within %v: %w", what, t.Check.Timeout, context.DeadlineExceeded)
}

// errFailed matches the error of a check that the host has answered, but not as expected.
var errFailed = errors.New("the host's answer is not the expected one")

// ours reports whether err is this machine's fault and says nothing about the host.
func ours(t *Target, err error) bool {
	full := t.Host.Unix != "" && errors.Is(err, unix.EAGAIN) // the backlog of the host's socket is full, which is the host's fault
	return !full && upstream.Ours(err)
}

func write(ctx context.Context, conn net.Conn, b []byte) error {
	deadline, _ := ctx.Deadline()
	if err := conn.SetWriteDeadline(deadline); err != nil {
		return err
	}
	_, err := conn.Write(b)
	return err
}

// connect connects to the first of the host's addresses that accepts. Each gets an equal share of the remaining time.
func (p *prober) connect(ctx context.Context, t *Target) (net.Conn, error) {
	if t.Host.Unix != "" {
		if err := t.Self.LeadsBack(&t.Host, netip.AddrPort{}); err != nil {
			return nil, err
		}
		return p.dialer.DialContext(ctx, "unix", t.Host.Unix)
	}
	addrs, err := addresses(ctx, t)
	if err != nil {
		return nil, err
	}
	for i, addr := range addrs {
		var conn net.Conn
		if conn, err = p.connectTo(ctx, t, addr, len(addrs)-i); err == nil {
			t.Host.Name.Worked(addr)
			return conn, nil
		}
		if ours(t, err) {
			return nil, err
		}
		t.Host.Name.Failed(addr)
	}
	return nil, err
}

// connectTo connects to an address; left is the number of addresses that share the remaining time.
func (p *prober) connectTo(ctx context.Context, t *Target, addr netip.Addr, left int) (net.Conn, error) {
	at := netip.AddrPortFrom(addr, t.port())
	if err := t.Self.LeadsBack(&t.Host, at); err != nil {
		return nil, err
	}
	deadline, _ := ctx.Deadline()
	share, cancel := context.WithTimeout(ctx, time.Until(deadline)/time.Duration(left))
	defer cancel()
	return p.dialer.DialContext(share, "tcp", at.String())
}

// addresses returns the host's addresses in the order in which to try them; without an error there is at least one.
func addresses(ctx context.Context, t *Target) ([]netip.Addr, error) {
	name := t.Host.Name
	if list := name.Turn(nil); len(list) > 0 {
		return list, nil
	}
	found := make(chan error, 1)
	defer name.Wait(func(_ []netip.Addr, err error) { found <- err })()
	select {
	case err := <-found:
		if err != nil {
			return nil, err
		}
	case <-ctx.Done():
		return nil, fmt.Errorf("%w: %w", upstream.ErrResolveTimeout, ctx.Err())
	}
	if list := name.Turn(nil); len(list) > 0 {
		return list, nil
	}
	return nil, upstream.ErrNoHost
}
