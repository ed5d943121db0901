package upstream

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"kroxy-ev/balance"
	"kroxy-ev/engine"
	"kroxy-ev/engine/resolve"
	"kroxy-ev/engine/tlsconn"
)

// Running out of something on this machine is not a host's fault; any answer of the network or the host is.
func TestOurs(t *testing.T) {
	t.Parallel()
	for _, err := range []error{
		unix.EMFILE, unix.ENFILE, unix.ENOBUFS, unix.ENOMEM, unix.EADDRNOTAVAIL, unix.EAGAIN, resolve.ErrClosed,
		fmt.Errorf("engine: while registering a connection: %w", os.NewSyscallError("epoll_ctl", unix.ENOSPC)),
	} {
		if !Ours(err) {
			t.Errorf("%v is taken for the host's fault", err)
		}
	}
	for _, err := range []error{
		unix.ECONNREFUSED, unix.ETIMEDOUT, unix.EHOSTUNREACH, unix.ENETUNREACH, unix.ECONNRESET, unix.EACCES,
		ErrConnectTimeout, ErrResolveTimeout, ErrLoop, errors.New("no such host"), tlsconn.ErrHandshakeTimeout,
	} {
		if Ours(err) {
			t.Errorf("%v is not taken for the host's fault", err)
		}
	}
}

// The time to wait for an address: its share of what is left of connect_timeout and of the host's own time, or all that
// is left for the last address of the last host, if so configured.
func TestAddrDeadline(t *testing.T) {
	t.Parallel()
	const s = 1000
	for _, c := range []struct {
		connect, host  int64 // in ms; 0 means no bound
		all            bool  // LastTakesAll
		hosts, tried   int
		addrs          int // including this one
		spent          int64
		alone          bool
		want           int64 // -1 means for ever
		algorithm, key string
		names          []string
	}{
		// With the defaults.
		{connect: 60 * s, host: 3 * s, hosts: 2, tried: 1, addrs: 1, want: 3 * s},
		{connect: 60 * s, host: 3 * s, hosts: 2, tried: 2, addrs: 1, want: 3 * s},
		{connect: 60 * s, host: 3 * s, hosts: 1, tried: 1, addrs: 2, want: 1500},
		{connect: 60 * s, host: 3 * s, hosts: 1, tried: 1, addrs: 1, spent: 1500, want: 1500},
		{connect: 60 * s, host: 3 * s, hosts: 100, tried: 1, addrs: 1, want: 600},
		// With connect_timeout set in the file (LastTakesAll).
		{connect: 60 * s, host: 3 * s, all: true, hosts: 2, tried: 1, addrs: 1, want: 3 * s},
		{connect: 60 * s, host: 3 * s, all: true, hosts: 2, tried: 2, addrs: 1, want: 60 * s},
		{connect: 60 * s, host: 3 * s, all: true, hosts: 1, tried: 1, addrs: 3, want: 20 * s},
		{connect: 4 * s, host: 3 * s, all: true, hosts: 2, tried: 1, addrs: 1, want: 2 * s},
		{connect: 4 * s, host: 3 * s, all: true, hosts: 2, tried: 2, addrs: 1, spent: 2 * s, want: 2 * s},
		{host: 3 * s, all: true, hosts: 2, tried: 1, addrs: 1, want: 3 * s},
		{host: 3 * s, all: true, hosts: 2, tried: 2, addrs: 1, want: -1},
		// A probe never takes more than a host's time, and shares none of it.
		{connect: 60 * s, host: 3 * s, all: true, hosts: 100, addrs: 1, alone: true, want: 3 * s},
		{connect: 2 * s, host: 3 * s, all: true, hosts: 100, addrs: 1, alone: true, want: 2 * s},
		// If the time is over, a moment still remains.
		{connect: 60 * s, host: 3 * s, hosts: 2, tried: 1, addrs: 1, spent: 4 * s, want: 1},
		// Only hosts that the key allows get a share.
		{connect: 4 * s, hosts: 4, tried: 1, addrs: 1, want: 2 * s, algorithm: "host", key: "a", names: []string{"a", "b", "a", "c"}},
		{connect: 4 * s, hosts: 4, tried: 2, addrs: 1, want: 4 * s, algorithm: "host", key: "b", names: []string{"a", "b", "a", "c"}},
	} {
		if c.algorithm == "" {
			c.algorithm = "first"
		}
		hosts := make([]balance.Spec, c.hosts)
		for i, name := range c.names {
			hosts[i].Name = name
		}
		b, err := balance.New(c.algorithm, hosts)
		if err != nil {
			t.Fatal(err)
		}
		g := &Group{
			Balance: balance.NewGroup(c.hosts, b, balance.NewCounters(1, c.hosts)),
			Hosts:   make([]Host, c.hosts), HostTimeout: time.Duration(c.host) * time.Millisecond, LastTakesAll: c.all,
		}
		const began = 77
		a := &Attempt{
			group: g, alone: c.alone, key: []byte(c.key), deadline: engine.Never, hostEnd: began + c.host, since: began + c.spent,
			addrs: slices.Repeat([]netip.Addr{{}}, c.addrs-1), tried: &balance.Tried{},
		}
		for i := range c.tried {
			a.tried.Add(i)
		}
		if c.connect > 0 {
			a.deadline = began + c.connect
		}
		want := a.since + c.want
		if c.want < 0 {
			want = engine.Never
		}
		if got := a.addrDeadline(); got != want {
			t.Errorf("%+v: %d ms", c, got-a.since)
		}
	}
}

// CauseOf classifies why a host could not be reached.
func TestCauseOf(t *testing.T) {
	t.Parallel()
	for want, list := range map[string][]error{
		"connection refused":          {os.NewSyscallError("connect", unix.ECONNREFUSED)},
		"connection reset by peer":    {fmt.Errorf("while sending: %w", unix.ECONNRESET)},
		"connection timed out":        {unix.ETIMEDOUT},
		"timed out":                   {ErrConnectTimeout, fmt.Errorf("%w: %w", ErrSession, ErrConnectTimeout), fmt.Errorf("no complete response: %w", context.DeadlineExceeded), os.ErrDeadlineExceeded},
		"its name cannot be resolved": {&net.DNSError{Err: "no such host"}, ErrResolveTimeout},
		"the TLS handshake failed":    {fmt.Errorf("%w: %w", ErrHandshake, unix.ECONNRESET), tlsconn.ErrHandshakeTimeout},
		"the connection ended early":  {fmt.Errorf("%w: %w", ErrSession, errEnded)},
		"malformed response":          {fmt.Errorf("%w: %w", ErrSession, errors.New("a frame that is too long"))},
		"":                            {ErrLoop, errors.New("another"), nil},
	} {
		for _, err := range list {
			if got := CauseOf(err).String(); got != want {
				t.Errorf("%v: %q, want %q", err, got, want)
			}
		}
	}
}
