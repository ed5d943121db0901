package bench

import (
	"bytes"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"testing"
)

// recorded is a connection that keeps a copy of what is read from it.
type recorded struct {
	net.Conn
	got bytes.Buffer
}

func (r *recorded) Read(b []byte) (int, error) {
	n, err := r.Conn.Read(b)
	r.got.Write(b[:n])
	return n, err
}

// A ServerHello is understood as crypto/tls understands it.
func TestServerHello(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		server func(*tls.Config)
		groups []tls.CurveID // the client's
		bad    error
	}{
		"1.3":       {nil, []tls.CurveID{tls.X25519}, nil},
		"long key":  {nil, nil, nil},
		"1.2":       {func(c *tls.Config) { c.MaxVersion = tls.VersionTLS12 }, nil, nil},
		"try again": {func(c *tls.Config) { c.CurvePreferences = []tls.CurveID{tls.CurveP384} }, nil, errHello},
	} {
		addr, _ := tlsHost(t, tc.server)
		c, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		r := &recorded{Conn: c}
		client := tls.Client(r, &tls.Config{InsecureSkipVerify: true, CurvePreferences: tc.groups})
		if err := client.Handshake(); err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		want := client.ConnectionState()
		b, err := readRecord(&r.got)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		b = b[recordHeader:]
		version, cipher, group, err := parseServerHello(b)
		if !errors.Is(err, tc.bad) {
			t.Errorf("%s: error %v, want %v", name, err, tc.bad)
		}
		if want.Version == tls.VersionTLS12 {
			want.CurveID = 0
		}
		if err == nil && (version != want.Version || cipher != want.CipherSuite || group != want.CurveID) {
			t.Errorf("%s: %x, %x, %v; crypto/tls says %x, %x, %v", name, version, cipher, group, want.Version, want.CipherSuite, want.CurveID)
		}
		for n := range len(b) {
			if _, _, _, err := parseServerHello(b[:n]); err == nil && want.Version == tls.VersionTLS13 {
				t.Errorf("%s: no error for the first %d bytes of %d", name, n, len(b))
			}
		}
	}
	for _, bad := range []string{"", "HTTP/1.1 400 Bad Request\r\n", "\x15\x03\x03\x00\x02\x02\x28", "\x16\x03\x03\xff\xff", "\x16\x03\x03\x00\x04\x02"} {
		if b, err := readRecord(bytes.NewReader([]byte(bad))); err == nil {
			t.Errorf("%q is a record: % x", bad, b)
		} else if bad == "" && !errors.Is(err, io.EOF) {
			t.Errorf("nothing: %v", err)
		}
	}
}
