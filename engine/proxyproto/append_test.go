package proxyproto

import (
	"net/netip"
	"testing"
)

func TestAppend(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		source, destination string // empty for none
		v1, v2              string
	}{
		{"1.2.3.4:80", "5.6.7.8:443", "PROXY TCP4 1.2.3.4 5.6.7.8 80 443\r\n", v2("\x21\x11\x00\x0c" + v2IPv4)},
		{"[2001:db8::1]:65535", "[2001:db8::2]:0", "PROXY TCP6 2001:db8::1 2001:db8::2 65535 0\r\n", v2("\x21\x21\x00\x24" + v2IPv6)},
		{"1.2.3.4:1", "[2001:db8::2]:2", "PROXY TCP6 ::ffff:1.2.3.4 2001:db8::2 1 2\r\n", v2("\x21\x21\x00\x24" + v2Mapped)},
		{"[::ffff:1.2.3.4]:80", "5.6.7.8:443", "PROXY TCP4 1.2.3.4 5.6.7.8 80 443\r\n", v2("\x21\x11\x00\x0c" + v2IPv4)},
		{"[2001:db8::1%eth0]:65535", "[2001:db8::2%lo]:0", "PROXY TCP6 2001:db8::1 2001:db8::2 65535 0\r\n", v2("\x21\x21\x00\x24" + v2IPv6)},
		{"", "5.6.7.8:443", "PROXY UNKNOWN\r\n", v2("\x20\x00\x00\x00")},
		{"1.2.3.4:80", "", "PROXY UNKNOWN\r\n", v2("\x20\x00\x00\x00")},
	} {
		var source, destination netip.AddrPort
		if tc.source != "" {
			source = netip.MustParseAddrPort(tc.source)
		}
		if tc.destination != "" {
			destination = netip.MustParseAddrPort(tc.destination)
		}
		if got := Append([]byte("x"), V1, source, destination); string(got) != "x"+tc.v1 {
			t.Errorf("v1 of %v and %v is %q, want %q", source, destination, got, tc.v1)
		}
		if got := Append([]byte("x"), V2, source, destination); string(got) != "x"+tc.v2 {
			t.Errorf("v2 of %v and %v is %q, want %q", source, destination, got, tc.v2)
		}
	}
}

func TestNothingAllocates(t *testing.T) {
	var buf []byte
	source, destination := netip.MustParseAddrPort("[2001:db8::1]:65535"), netip.MustParseAddrPort("5.6.7.8:443")
	inputs := make([][]byte, 0, len(taken)+len(refused))
	for _, tc := range taken {
		inputs = append(inputs, []byte(tc.in))
	}
	for _, tc := range refused {
		inputs = append(inputs, []byte(tc.in))
	}
	buf = make([]byte, 0, MaxHeader)
	n := testing.AllocsPerRun(100, func() {
		for _, in := range inputs {
			_, _, _ = Parse(in)
		}
		for _, v := range [...]Version{V1, V2} {
			buf = Append(buf[:0], v, source, destination)
			buf = Append(buf, v, netip.AddrPort{}, destination)
		}
	})
	if n != 0 {
		t.Errorf("%v allocations, want none", n)
	}
}
