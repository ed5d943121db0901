package upstream_test

import (
	"net"
	"net/netip"
	"path/filepath"
	"strings"
	"testing"

	"kroxy-ev/engine/upstream"
)

func TestSelf(t *testing.T) {
	t.Parallel()
	s := upstream.NewSelf()
	check := func(listening string, want bool, addrs ...string) {
		t.Helper()
		for _, addr := range addrs {
			if got := s.Is(netip.MustParseAddrPort(addr)); got != want {
				t.Errorf("listening on %s: %s leads back: %v, want %v", listening, addr, got, want)
			}
		}
	}
	everywhere4 := []string{"127.0.0.1:80", "127.0.0.2:80", "127.255.255.254:80", "0.0.0.0:80", "[::ffff:127.0.0.1]:80", "[::ffff:0.0.0.0]:80"}
	everywhere6 := []string{"[::1]:80", "[::]:80", "[::1%lo]:80"}
	list, err := net.InterfaceAddrs()
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range list {
		addr := netip.AddrPortFrom(netip.MustParsePrefix(a.String()).Addr(), 80)
		if addr.Addr().Is4() {
			everywhere4 = append(everywhere4, addr.String())
		} else {
			everywhere6 = append(everywhere6, addr.String())
		}
	}
	elsewhere := []string{"127.0.0.1:81", "[::1]:81", "192.0.2.1:80", "[2001:db8::1]:80", "0.0.0.0:8080"}

	check("nothing", false, everywhere4...)
	check("nothing", false, everywhere6...)
	for _, c := range []struct {
		listening string // separated by commas
		v4, v6    bool
	}{{"0.0.0.0:80", true, false}, {"[::]:80", false, true}, {"[::]:80,0.0.0.0:80", true, true}, {"0.0.0.0:443,0.0.0.0:80", true, false}, {"0.0.0.0:443", false, false}} {
		var addrs []netip.AddrPort
		for a := range strings.SplitSeq(c.listening, ",") {
			addrs = append(addrs, netip.MustParseAddrPort(a))
		}
		s.Listen(addrs)
		check(c.listening, c.v4, everywhere4...)
		check(c.listening, c.v6, everywhere6...)
		check(c.listening, false, elsewhere...)
	}
	s.Listen([]netip.AddrPort{netip.MustParseAddrPort("127.0.0.2:80")})
	check("127.0.0.2:80", true, "127.0.0.2:80", "[::ffff:127.0.0.2]:80")
	check("127.0.0.2:80", false, "127.0.0.1:80", "[::1]:80", "192.0.2.1:80")

	if (*upstream.Self)(nil).Is(netip.MustParseAddrPort("127.0.0.1:80")) {
		t.Error("a proxy that knows nothing of itself refuses an address")
	}
}

func TestSelfDoesNotAllocate(t *testing.T) {
	s := upstream.NewSelf()
	s.Listen([]netip.AddrPort{netip.MustParseAddrPort("0.0.0.0:80")})
	addr := netip.MustParseAddrPort("192.0.2.1:80")
	if n := testing.AllocsPerRun(100, func() { s.Is(addr) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestSelfOfUnixSockets(t *testing.T) {
	t.Parallel()
	s := upstream.NewSelf()
	if s.IsUnix("/run/a") {
		t.Error("leads back to what is not listened on")
	}
	s.ListenUnix([]string{"/run/a", "b"})
	here, err := filepath.Abs("b")
	if err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]bool{"/run/a": true, "/run/../run//a": true, "b": true, "./b": true, here: true, "/run/b": false, "a": false} {
		if got := s.IsUnix(path); got != want {
			t.Errorf("%s leads back: %v, want %v", path, got, want)
		}
	}
	if (*upstream.Self)(nil).IsUnix("/run/a") {
		t.Error("a nil Self says that an address leads back")
	}
}
