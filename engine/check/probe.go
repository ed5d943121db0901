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

// prober makes checks. It may be used by many goroutines at once.
type prober struct {
	dialer  net.Dialer
	clients sync.Pool // of *client
}

func newProber() *prober {
	return &prober{
		dialer:  net.Dialer{KeepAlive: -1}, // a check is over before that could tell anything
		clients: sync.Pool{New: func() any { return newClient() }},
	}
}

// check checks t by a connection of its own, and returns what it fails by, nil if it passes. Ctx has a deadline.
func (p *prober) check(ctx context.Context, t *Target) error {
	conn, err := p.connect(ctx, t)
	if err != nil {
		return late(ctx, t, "no connection", err)
	}
	defer func() { _ = conn.Close() }()
	// What reads and writes is bounded by the deadline, and ended by this if the Checker is closed.
	defer context.AfterFunc(ctx, func() { _ = conn.Close() })()
	if t.ProxyProtocol != proxyproto.None {
		nobody := netip.AddrPort{}
		if err := write(ctx, conn, proxyproto.Append(nil, t.ProxyProtocol, nobody, nobody)); err != nil {
			return late(ctx, t, "a PROXY header could not be sent", fmt.Errorf("while sending a PROXY header: %w", err))
		}
	}
	speak, isH2 := conn, t.isGRPC() || t.Protocol == upstream.HTTP2
	if t.Host.TLS != nil {
		var offer []string // what traffic gets
		if t.isGRPC() {
			offer = []string{alpn}
		}
		secured, err := t.Host.TLS.Handshake(ctx, conn, offer...)
		if err != nil {
			return late(ctx, t, "the TLS handshake was not over", fmt.Errorf("%w: %w", upstream.ErrHandshake, err))
		}
		agreed := secured.ConnectionState().NegotiatedProtocol == alpn
		if isH2 && !agreed && t.asks() {
			return failed(`the host has not agreed to HTTP/2 (ALPN): it may not serve it by TLS on this port`)
		}
		speak, isH2 = secured, agreed
	}
	return late(ctx, t, "no whole response", p.ask(ctx, speak, t, isH2))
}

// ask asks over conn, by HTTP/2 or not, what t wants to know, if that is more than whether there is a connection.
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

// late is err, or if the time for the check of t was over, what was not done by then.
func late(ctx context.Context, t *Target, what string, err error) error {
	if deadline, _ := ctx.Deadline(); err == nil || errors.Is(err, errFailed) || time.Now().Before(deadline) {
		return err
	}
	return fmt.Errorf("%s within %v: %w", what, t.Check.Timeout, context.DeadlineExceeded)
}

// errFailed is what a check failed by that the host had answered.
var errFailed = errors.New("the host's answer is not the one that is wanted")

// ours reports whether err tells of this machine, and nothing of the host.
func ours(t *Target, err error) bool {
	full := t.Host.Unix != "" && errors.Is(err, unix.EAGAIN) // its queue, which is the host's business
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

// connect connects to the first of the host's addresses that accepts, each of which has its share of the time that is left.
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

// connectTo connects to one of so many addresses that are left.
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

// addresses are those of the host, in the order in which they are to be tried; at least one if there is no error.
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
