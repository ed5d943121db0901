package proxyproto

import (
	"bufio"
	"bytes"
	"errors"
	"net"
	"net/netip"
	"strings"
	"testing"

	oracle "github.com/pires/go-proxyproto"
)

// ask lets the oracle read a header. n is how many bytes of in that took.
func ask(in []byte) (h Header, n int, err error) {
	r := bytes.NewReader(in)
	b := bufio.NewReaderSize(r, 1<<17) // it needs the whole header in one read
	o, err := oracle.Read(b)
	if err != nil {
		return Header{}, 0, err
	}
	if source, destination, ok := o.TCPAddrs(); ok && !o.Command.IsLocal() {
		h = Header{addrPort(source), addrPort(destination)}
	}
	return h, len(in) - r.Len() - b.Buffered(), nil
}

func addrPort(a *net.TCPAddr) netip.AddrPort {
	p := a.AddrPort()
	return netip.AddrPortFrom(p.Addr().Unmap(), p.Port())
}

// ours returns the reason for which Parse and the oracle may differ for in; "" if they must agree.
func ours(in []byte, err error, n int) string {
	switch {
	case errors.Is(err, errV2Datagram):
		return "a connection carries no datagrams"
	case errors.Is(err, errV2Length):
		return "ours is the shorter bound"
	case errors.Is(err, errV1BareCR), errors.Is(err, errV1BareLF):
		return "the oracle reads UNKNOWN up to a line feed"
	case n > 13 && in[0] == v2Signature[0] && in[12] == v2Proxy && in[13] == v2Unspecified:
		return "the specification leaves it to the receiver"
	}
	return ""
}

func FuzzParse(f *testing.F) {
	for _, tc := range taken {
		f.Add([]byte(tc.in))
		f.Add([]byte(tc.in + "GET / HTTP/1.1\r\n"))
	}
	for _, tc := range refused {
		f.Add([]byte(tc.in))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		if len(in) > 1<<16 {
			return
		}
		h, n, err := Parse(in)
		var fault *Error
		switch {
		case err != nil && (!errors.As(err, &fault) || n != 0 || h != Header{}):
			t.Fatalf("an error with %v and %d bytes: %v", h, n, err)
		case n > len(in) || n > MaxHeader || n == 0 && err == nil && len(in) >= MaxHeader:
			t.Fatalf("%d bytes of %d", n, len(in))
		case h.Source.IsValid() != h.Destination.IsValid():
			t.Fatalf("half of the addresses: %v", h)
		}
		// Neither fewer nor more bytes change it.
		for i := range min(len(in), 2*MaxV1) {
			switch h2, n2, err2 := Parse(in[:i]); {
			case n2 != 0 && (n2 != n || h2 != h), err2 != nil && !errors.Is(err, err2), n2 == 0 && err2 == nil && n > 0 && i >= n:
				t.Fatalf("of the first %d bytes: %v, %d bytes, %v; of all: %v, %d bytes, %v", i, h2, n2, err2, h, n, err)
			}
		}
		if n == 0 && err == nil {
			return
		}
		want, taken, wrong := ask(in)
		if (wrong == nil) != (err == nil) {
			if ours(in, err, n) == "" {
				t.Fatalf("of %q: %v, %d bytes, %v; the oracle: %v, %d bytes, %v", in, h, n, err, want, taken, wrong)
			}
			return
		}
		if err == nil && (h != want || n != taken) {
			t.Fatalf("of %q: %v, %d bytes; the oracle: %v, %d bytes", in, h, n, want, taken)
		}
	})
}

// The oracle reads what is written with the intended meaning.
func FuzzAppend(f *testing.F) {
	f.Add([]byte{1, 2, 3, 4}, uint16(80), []byte{5, 6, 7, 8}, uint16(443))
	f.Add([]byte("0123456789abcdef"), uint16(1), []byte{5, 6, 7, 8}, uint16(65535))
	f.Add([]byte("\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\xff\xff1234"), uint16(1), make([]byte, 16), uint16(0))
	f.Add([]byte{}, uint16(0), []byte{}, uint16(0))
	f.Fuzz(func(t *testing.T, a []byte, p uint16, b []byte, q uint16) {
		from, ok := netip.AddrFromSlice(a)
		to, too := netip.AddrFromSlice(b)
		source, destination := netip.AddrPortFrom(from, p), netip.AddrPortFrom(to, q)
		var want Header
		if ok && too {
			want = Header{netip.AddrPortFrom(from.Unmap(), p), netip.AddrPortFrom(to.Unmap(), q)}
		}
		for _, v := range [...]Version{V1, V2} {
			out := Append(nil, v, source, destination)
			if got, n, err := Parse(out); got != want || n != len(out) || err != nil {
				t.Errorf("%q is %v, %d bytes, %v; want %v", out, got, n, err, want)
			}
			if got, n, err := ask(out); got != want || n != len(out) || err != nil {
				t.Errorf("%q is %v, %d bytes, %v for the oracle; want %v", out, got, n, err, want)
			}
		}
	})
}

// The accepted addresses of version 1 are those that net/netip accepts.
func FuzzAddress(f *testing.F) {
	for _, s := range addresses {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if !strings.Contains(s, "%") || len(s) < 100 { // the length of zones is unlimited
			checkAddress(t, s)
		}
	})
}
