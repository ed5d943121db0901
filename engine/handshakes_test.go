package engine_test

import (
	"encoding/binary"
	"errors"
	"net"
	"net/netip"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"kroxy-ev/engine"
	"kroxy-ev/engine/enginetest"
)

func TestHandshakesOfAPort(t *testing.T) {
	t.Parallel()
	g, other := newGate(t, nil), newGate(t, nil)
	c := g.hang(t)
	if found, err := engine.Handshakes(other.fd); err != nil || len(found) != 0 {
		t.Errorf("another port: %v, %v", found, err)
	}
	found, err := engine.Handshakes(g.fd)
	if err != nil || len(found) != 1 {
		t.Fatalf("%v, %v", found, err)
	}
	for h := range found {
		if port := binary.BigEndian.Uint16(h[2:]); port != c.LocalAddr().(*net.TCPAddr).AddrPort().Port() {
			t.Errorf("the handshake is with port %d", port)
		}
	}
	// A handshake that an IPv4 client has begun with a socket for both families.
	both, err := engine.Listen(netip.MustParseAddrPort("[::]:0"))
	if err != nil {
		t.Skipf("no IPv6 here: %v", err)
	}
	defer unix.Close(both)
	if err := unix.SetsockoptInt(both, unix.IPPROTO_TCP, unix.TCP_DEFER_ACCEPT, 30); err != nil {
		t.Fatal(err)
	}
	for n, host := range []string{"127.0.0.1", "::1"} {
		at := netip.AddrPortFrom(netip.MustParseAddr(host), enginetest.LocalAddr(t, both).Port())
		c, err := net.DialTCP("tcp", nil, net.TCPAddrFromAddrPort(at))
		if err != nil {
			t.Skipf("no client at %s: %v", at, err)
		}
		defer c.Close()
		if found, err := engine.Handshakes(both); err != nil || len(found) != n+1 {
			t.Errorf("with a client at %s: %d handshakes, %v", host, len(found), err)
		}
	}
	if _, err := engine.Handshakes(-1); !errors.Is(err, unix.EBADF) {
		t.Errorf("no socket: %v", err)
	}
}

// Valid and invalid answers of the kernel.
func TestReadHandshakes(t *testing.T) {
	t.Parallel()
	message := func(kind uint16, body ...byte) string {
		b := make([]byte, 16, 16+len(body))
		binary.NativeEndian.PutUint32(b, uint32(16+len(body)))
		binary.NativeEndian.PutUint16(b[4:], kind)
		return string(append(b, body...))
	}
	entry := func(name byte) string {
		body := make([]byte, 72)
		body[4] = name
		return message(unix.SOCK_DIAG_BY_FAMILY, body...)
	}
	for _, c := range []struct {
		what, in string
		found    int
		done     bool
		err      error
	}{
		{"nothing", "", 0, false, nil},
		{"two", entry(1) + entry(2), 2, false, nil},
		{"one twice", entry(1) + entry(1), 1, false, nil},
		{"the last", entry(1) + message(unix.NLMSG_DONE, 0, 0, 0, 0), 1, true, nil},
		{"padded", message(unix.NLMSG_NOOP, 1) + "\x00\x00\x00" + entry(1), 1, false, nil},
		{"not padded", message(unix.NLMSG_NOOP, 1), 0, false, nil},
		{"an error", message(unix.NLMSG_ERROR, 0xfe, 0xff, 0xff, 0xff), 0, true, unix.ENOENT},
		{"half an error", message(unix.NLMSG_ERROR, 1), 0, true, unix.EPROTO},
		{"half a handshake", message(unix.SOCK_DIAG_BY_FAMILY, 1, 2, 3), 0, false, nil},
		{"half a header", entry(1) + "\x10\x00\x00", 1, true, unix.EPROTO},
		{"longer than it is", entry(1)[:80], 0, true, unix.EPROTO},
		{"shorter than a header", "\x03" + strings.Repeat("\x00", 40), 0, true, unix.EPROTO},
	} {
		found := make(map[engine.Handshake]struct{})
		done, err := engine.ReadHandshakes([]byte(c.in), found)
		if len(found) != c.found || done != c.done || !errors.Is(err, c.err) {
			t.Errorf("%s: %d found, done %v, %v", c.what, len(found), done, err)
		}
	}
}

// For any answer, parsing ends and finds no more handshakes than there is room for.
func FuzzReadHandshakes(f *testing.F) {
	f.Add([]byte("\x50\x00\x00\x00\x14\x00" + strings.Repeat("\x01", 74)))
	f.Add([]byte("\x14\x00\x00\x00\x03\x00" + strings.Repeat("\x00", 14)))
	f.Add([]byte("\x11\x00\x00\x00\x01\x00" + strings.Repeat("\x00", 30)))
	f.Fuzz(func(t *testing.T, b []byte) {
		found := make(map[engine.Handshake]struct{})
		if _, err := engine.ReadHandshakes(b, found); len(found) > len(b)/(16+4+48) {
			t.Errorf("%d in %d bytes, %v", len(found), len(b), err)
		}
	})
}
