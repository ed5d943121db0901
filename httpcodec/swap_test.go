package httpcodec

import (
	"io"
	"net"
	"net/netip"
	"testing"

	"kroxy-ev/engine/enginetest"
	"kroxy-ev/engine/resolve"
)

// swap gives p new settings, between two events of its loop.
func (p *proxy) swap(hosts ...netip.AddrPort) {
	r := resolve.New(resolve.Options{})
	p.t.Cleanup(r.Close)
	set := newSettings(p.t, r, nil, hosts...)
	p.loop.Post(func() { p.take(set) })
	p.settle()
}

// take makes p use set, on the loop.
func (p *proxy) take(set *Settings) {
	p.hosts.Swap(groupsOf(set))
	p.change(func(o *EntryOptions) { o.Settings = set })
}

// A connected client's next request uses the new settings. Connections to remaining hosts are kept; idle ones to others are
// closed at once.
func TestSwap(t *testing.T) {
	t.Parallel()
	gone, stays, comes := startRecorder(t, always+hi), startRecorder(t, always+hi), startRecorder(t, always+hi)
	p := startProxy(t, nil, gone.addr, stays.addr)
	c := p.dial()
	get := func(n int) {
		for range n {
			send(c, getRoot, nil)
			readN(t, c, hi)
		}
	}
	get(4)
	p.swap(comes.addr, stays.addr)
	if got := gone.seen(1); len(got) != 1 || got[0] != getRoot+getRoot {
		t.Errorf("the host that is gone got %q", got)
	}
	get(4)
	stillOpen(t, c)
	p.stop()
	for name, h := range map[string]struct {
		*recorder
		want string
	}{"the new host": {comes, getRoot + getRoot}, "the host that stays": {stays, getRoot + getRoot + getRoot + getRoot}} {
		if got := h.seen(1); len(got) != 1 || got[0] != h.want {
			t.Errorf("%s got %q", name, got)
		}
	}
}

// An exchange continues with the settings with which it began, even if its host is gone; its connection is then not kept.
func TestSwapInsideAnExchange(t *testing.T) {
	t.Parallel()
	asked, release, ended := make(chan struct{}), make(chan struct{}), make(chan struct{})
	old := enginetest.Accepting(t, enginetest.Loopback, func(c *net.TCPConn) {
		_, _ = io.ReadFull(c, make([]byte, len(getRoot)))
		close(asked)
		<-release
		send(c, hi, nil)
		_, _ = io.Copy(io.Discard, c)
		close(ended)
	})
	young := startRecorder(t, always+hi)
	p := startProxy(t, nil, old)
	c := p.dial()
	send(c, getRoot, nil)
	<-asked
	for range 3 {
		p.swap(young.addr)
	}
	close(release)
	readN(t, c, hi)
	<-ended
	send(c, getRoot, nil)
	readN(t, c, hi)
	stillOpen(t, c)
}

// A connection that the host keeps only for a limited time is not kept longer because the settings change.
func TestSwapKeepsTheHostsPatience(t *testing.T) {
	t.Parallel()
	h := startRecorder(t, always+okHead+"Keep-Alive: timeout=2\r\nContent-Length: 0\r\n\r\n")
	p := startProxy(t, nil, h.addr)
	c := p.dial()
	send(c, getRoot, nil)
	readN(t, c, okHead+"Content-Length: 0\r\n\r\n")
	p.swap(h.addr)
	h.seen(1) // it ends although nothing else limits it
}
