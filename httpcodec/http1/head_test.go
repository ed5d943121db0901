package http1

import (
	"bytes"
	"testing"

	"kroxy-ev/httpcodec/http1/http1test"
)

// Every byte at every position in and around words of eight, among bytes of every kind.
func TestValueEnd(t *testing.T) {
	t.Parallel()
	for _, filler := range []byte{' ', 'a', '~', 0x80, 0xa0, 0xff, '\t'} {
		for size := range 26 {
			for at := range size {
				b := bytes.Repeat([]byte{filler}, size)
				for c := range 256 {
					b[at] = byte(c)
					want := size
					if c < ' ' && c != '\t' || c == 0x7f {
						want = at
					}
					for from := range min(at+1, 9) {
						if got := valueEnd(b, from); got != want {
							t.Fatalf("%q from %d: %d, want %d", b, from, got, want)
						}
					}
				}
			}
		}
	}
	// The first of two.
	for i := range 8 {
		for j := range 8 {
			for _, c := range []byte{0, 0x1f, 0x7f, '\r'} {
				for _, d := range []byte{0, 0x1f, 0x7f, '\n'} {
					b := []byte("        !!!!")
					b[i], b[j] = c, d
					if got := valueEnd(b, 0); got != min(i, j) {
						t.Fatalf("%q: %d", b, got)
					}
				}
			}
		}
	}
}

func TestIdentify(t *testing.T) {
	t.Parallel()
	known := map[string]fieldID{
		"accept": fieldAccept, "date": fieldDate, "host": fieldHost, "expect": fieldExpect, "max-forwards": fieldMaxForwards, "trailer": fieldTrailer,
		"x-forwarded-for": fieldForwardedFor, "x-forwarded-host": fieldForwardedHost, "x-forwarded-proto": fieldForwardedProto,
		"content-length": fieldContentLength, "transfer-encoding": fieldTransferEncoding, "connection": fieldConnection, "keep-alive": fieldKeepAlive,
		"proxy-connection": fieldProxyConnection, "te": fieldTE, "upgrade": fieldUpgrade, "http2-settings": fieldHTTP2Settings,
	}
	for name, want := range known {
		for _, n := range [][]byte{[]byte(name), bytes.ToUpper([]byte(name)), []byte(name[:1] + string(bytes.ToUpper([]byte(name[1:]))))} {
			if got := identify(n); got != want {
				t.Errorf("%s: %d, want %d", n, got, want)
			}
		}
		for i := range name { // no other name of that length, but those that may be taken for it
			n := []byte(name)
			n[i] ^= 1
			if got := identify(n); got != fieldOther && !http1test.Protected(string(n)) && got != fieldFramingAlias {
				t.Errorf("%s: %d", n, got)
			}
		}
	}
}
