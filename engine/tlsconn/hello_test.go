package tlsconn

import (
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"testing"
	"time"
)

// helloWire is a connection on which in arrives, and then nothing.
type helloWire struct {
	in  *bytes.Reader
	out bytes.Buffer
}

func newHelloWire(in []byte) *helloWire { return &helloWire{in: bytes.NewReader(in)} }

func (w *helloWire) Read(p []byte) (int, error)       { return w.in.Read(p) }
func (w *helloWire) Write(p []byte) (int, error)      { return w.out.Write(p) }
func (w *helloWire) Close() error                     { return nil }
func (w *helloWire) LocalAddr() net.Addr              { return nil }
func (w *helloWire) RemoteAddr() net.Addr             { return nil }
func (w *helloWire) SetDeadline(time.Time) error      { return nil }
func (w *helloWire) SetReadDeadline(time.Time) error  { return nil }
func (w *helloWire) SetWriteDeadline(time.Time) error { return nil }

// captureHello returns the first bytes that crypto/tls sends.
func captureHello(t testing.TB, c *tls.Config) []byte {
	t.Helper()
	w := newHelloWire(nil)
	if err := tls.Client(w, c).Handshake(); !errors.Is(err, io.EOF) {
		t.Fatal(err)
	}
	return w.out.Bytes()
}

// helloProtocols returns ALPN names that take n bytes together, including their lengths.
func helloProtocols(n int) []string { return slices.Repeat([]string{strings.Repeat("p", 199)}, n/200) }

// Hellos made by crypto/tls.
var madeHellos = []struct {
	name   string
	config *tls.Config
	server string
}{
	{"now", &tls.Config{ServerName: "www.example.org"}, "www.example.org"},
	{"no name", &tls.Config{InsecureSkipVerify: true}, ""},
	{"an address", &tls.Config{ServerName: "192.0.2.1"}, ""},
	{"a dot", &tls.Config{ServerName: "example.org."}, "example.org"},
	{"a long name", &tls.Config{ServerName: strings.Repeat("x.", 1000) + "org"}, strings.Repeat("x.", 1000) + "org"},
	{"TLS 1.2", &tls.Config{ServerName: "a.b", MaxVersion: tls.VersionTLS12}, "a.b"},
	{"TLS 1.0", &tls.Config{ServerName: "a.b", MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS10}, "a.b"},
	{"TLS 1.3", &tls.Config{ServerName: "a.b", MinVersion: tls.VersionTLS13}, "a.b"},
	{"ML-KEM", &tls.Config{ServerName: "a.b", CurvePreferences: []tls.CurveID{tls.X25519MLKEM768}}, "a.b"},
	{"no ML-KEM", &tls.Config{ServerName: "a.b", CurvePreferences: []tls.CurveID{tls.X25519}}, "a.b"},
	{"h2", &tls.Config{ServerName: "a.b", NextProtos: []string{"h2", "http/1.1"}}, "a.b"},
	{"4 KB of protocols", &tls.Config{ServerName: "a.b", NextProtos: helloProtocols(4000)}, "a.b"},
	{"14 KB of protocols", &tls.Config{ServerName: "a.b", NextProtos: helloProtocols(14000)}, "a.b"},
}

func helloU16(n int) string { return string([]byte{byte(n >> 8), byte(n)}) }

// helloV8 and helloV16 return vectors with a length of one and two bytes.
func helloV8(s string) string  { return string([]byte{byte(len(s))}) + s }
func helloV16(s string) string { return helloU16(len(s)) + s }

func helloMsg(kind byte, body string) string {
	return string([]byte{kind, byte(len(body) >> 16)}) + helloU16(len(body)) + body
}

func helloRecord(data string) string { return "\x16\x03\x01" + helloV16(data) }

// helloRecords returns a message in records of size bytes.
func helloRecords(message string, size int) string {
	var b strings.Builder
	for len(message) > size {
		b.WriteString(helloRecord(message[:size]))
		message = message[size:]
	}
	return b.String() + helloRecord(message)
}

var helloVersions = "\x03\x03" + strings.Repeat("r", 32)

// helloBody is a ClientHello between its header and its extensions.
var helloBody = helloVersions + helloV8("") + helloV16("\x13\x01") + helloV8("\x00")

func helloWith(all ...string) string { return helloBody + helloV16(strings.Join(all, "")) }

func helloExt(kind int, data string) string { return helloU16(kind) + helloV16(data) }

func helloNames(names ...string) string { return helloExt(0, helloV16(strings.Join(names, ""))) }

func helloHost(name string) string { return "\x00" + helloV16(name) }

func helloOf(body string) string { return helloRecord(helloMsg(1, body)) }

// paddedHello returns a hello of n bytes, including the header.
func paddedHello(n int) string {
	empty := len(helloMsg(1, helloWith(helloExt(21, ""))))
	return helloMsg(1, helloWith(helloExt(21, strings.Repeat("\x00", n-empty))))
}

// helloExts returns n extensions with different types, without server_name.
func helloExts(n int) string {
	var b strings.Builder
	for i := range n {
		b.WriteString(helloExt(0x4000+i, ""))
	}
	return b.String()
}

// readHello returns the result for in as text.
func readHello(r *HelloReader, in string) string {
	h, n, err := r.Read([]byte(in))
	var malformed *HelloError
	switch {
	case err != nil && (n != 0 || h.ServerName != nil):
		return "an error and an answer"
	case errors.As(err, &malformed):
		return malformed.Reason
	case err != nil:
		return err.Error()
	case n == 0 && h.ServerName != nil:
		return "an answer too soon"
	case n == 0:
		return "more"
	}
	return takenHello(n, h.ServerName)
}

func takenHello(n int, name []byte) string {
	if name == nil {
		return fmt.Sprint(n, " no name")
	}
	return fmt.Sprintf("%d %q", n, name)
}

var (
	plainHello   = helloOf(helloBody)
	namedHello   = helloOf(helloWith(helloNames(helloHost("a.b"))))
	notTLSReason = ErrNotTLS.Error()
)

// helloCases give the result for the bytes in: a reason, "more", or a name. A length before the name is the length of the hello's records;
// without one it is that of all bytes.
var helloCases = []struct{ in, want string }{
	{"", "more"},
	{"\x16", "more"},
	{"\x16\x03", "more"},
	{"\x16\x03\x01\x40\x00\x01", "more"},
	{plainHello, "no name"},
	{namedHello, `"a.b"`},
	{plainHello + "GET", fmt.Sprint(len(plainHello), " no name")},
	{namedHello + "\x17", fmt.Sprint(len(namedHello), ` "a.b"`)},
	{namedHello + namedHello, fmt.Sprint(len(namedHello), ` "a.b"`)},

	// Not TLS.
	{"G", notTLSReason},
	{"GET / HTTP/1.1\r\n", notTLSReason},
	{"\x00", notTLSReason},
	{"\n", notTLSReason},
	{"\x80\x2e\x01\x00\x02", notTLSReason}, // SSLv2
	{"\x80\x2e\x01\x03\x01", notTLSReason}, // SSLv2 that offers TLS
	{"\x15\x03\x01\x00\x02\x01\x00" + plainHello, notTLSReason},
	{"\x14\x03\x01\x00\x01\x01" + plainHello, notTLSReason},
	{"\x17\x03\x01\x00\x01\x01", notTLSReason},
	{"\x16\x02", notTLSReason},
	{"\x16\x04", notTLSReason},
	{"\x16\xfe\xff", notTLSReason}, // DTLS
	{"\x16\x00" + plainHello[2:], notTLSReason},
	{"\x16\x03\xff" + plainHello[3:], "no name"},
	{"\x16\x03\x00" + plainHello[3:], "no name"},

	// Records.
	{"\x16\x03\x01\x00\x00", "an empty record in the hello"},
	{helloRecord("") + plainHello, "an empty record in the hello"},
	{helloRecords(namedHello[5:], 5) + helloRecord(""), fmt.Sprint(len(helloRecords(namedHello[5:], 5)), ` "a.b"`)},
	{helloRecord(namedHello[5:9]) + helloRecord("") + helloRecord(namedHello[9:]), "an empty record in the hello"},
	{"\x16\x03\x01\x40\x01", "a record over 16384 bytes"},
	{"\x16\x03\x01\xff\xff", "a record over 16384 bytes"},
	{helloRecord(namedHello[5:9]) + "\x16\x03\x01\x40\x01", "a record over 16384 bytes"},
	{"\x16\x03\x01\x40\x00" + namedHello[5:] + strings.Repeat("x", 16384-len(namedHello[5:])), `"a.b"`},
	{helloRecord(namedHello[5:9]) + "\x16", "more"},
	{helloRecord(namedHello[5:9]) + "\x15", "a record of another type in the hello"},
	{helloRecord(namedHello[5:9]) + "\x15\x03\x01\x00\x02\x01\x00" + helloRecord(namedHello[9:]), "a record of another type in the hello"},
	{helloRecord(namedHello[5:9]) + "\x14\x03\x01\x00\x01\x01" + helloRecord(namedHello[9:]), "a record of another type in the hello"},
	{helloRecord(namedHello[5:9]) + "\x17\x03\x01\x00\x01\x01" + helloRecord(namedHello[9:]), "a record of another type in the hello"},
	{helloRecord(namedHello[5:9]) + "\x16\x03", "more"},
	{helloRecord(namedHello[5:9]) + "\x16\x02", "a record of an unknown version in the hello"},
	{helloRecord(namedHello[5:9]) + "\x16\x04", "a record of an unknown version in the hello"},
	{helloRecord(namedHello[5:9]) + "\x16\x03\x03" + helloRecord(namedHello[9:])[3:], `"a.b"`},

	// Messages.
	{"\x16\x03\x01\x00\x04\x01", "more"},
	{"\x16\x03\x01\x00\x04\x00", "the first message is not a client hello"},
	{"\x16\x03\x01\x00\x04\x02", "the first message is not a client hello"},
	{helloRecord(helloMsg(0, "")) + plainHello, "the first message is not a client hello"},
	{helloRecord("\x01\x00\x3f\xfc"), "more"},
	{helloRecord("\x01\x00\x3f\xfd"), "a hello over 16384 bytes"},
	{helloRecord("\x01\x01\x00\x00"), "a hello over 16384 bytes"},
	{helloRecord("\x01\xff\xff\xff"), "a hello over 16384 bytes"},
	{helloRecords("\x01\x00\x3f\xfd", 1), "a hello over 16384 bytes"},
	{"\x16\x03\x01\x40\x00\x01\x00\x3f\xfd", "a hello over 16384 bytes"},
	{helloRecord(paddedHello(16384)), "no name"},
	{helloRecords(paddedHello(16384), 1), "no name"},
	{helloRecords(paddedHello(16385), 16384), "a hello over 16384 bytes"},
	{helloRecord(helloMsg(1, helloBody) + "\x0b\x00\x00"), "no name"}, // the next message has begun
	{helloRecord(helloMsg(1, helloBody) + helloMsg(1, helloBody)), "no name"},
	{helloRecord(helloMsg(1, helloBody)[:9]) + helloRecord(helloMsg(1, helloBody)[9:]+"xxx") + helloRecord("x"), fmt.Sprint(len(plainHello)+5+3, " no name")},

	// Before the extensions.
	{helloOf(""), "the hello ends before its session id"},
	{helloOf(helloVersions[:33]), "the hello ends before its session id"},
	{helloOf(helloVersions), "malformed session id"},
	{helloOf(helloVersions + "\x01"), "malformed session id"},
	{helloOf(helloVersions + helloV8(strings.Repeat("i", 32))[:32]), "malformed session id"},
	{helloOf(helloVersions + helloV8(strings.Repeat("i", 32)) + helloV16("\x13\x01") + helloV8("\x00")), "no name"},
	{helloOf(helloVersions + helloV8(strings.Repeat("i", 33)) + helloV16("\x13\x01") + helloV8("\x00")), "malformed session id"},
	{helloOf(helloVersions + helloV8("")), "malformed cipher suites"},
	{helloOf(helloVersions + helloV8("") + "\x00"), "malformed cipher suites"},
	{helloOf(helloVersions + helloV8("") + helloV16("") + helloV8("\x00")), "malformed cipher suites"},
	{helloOf(helloVersions + helloV8("") + helloV16("\x13\x01\x13") + helloV8("\x00")), "malformed cipher suites"},
	{helloOf(helloVersions + helloV8("") + "\x00\x04\x13\x01"), "malformed cipher suites"},
	{helloOf(helloVersions + helloV8("") + helloV16("\x13\x01\x13\x02") + helloV8("\x00")), "no name"},
	{helloOf(helloVersions + helloV8("") + helloV16("\x13\x01")), "malformed compression methods"},
	{helloOf(helloVersions + helloV8("") + helloV16("\x13\x01") + helloV8("")), "malformed compression methods"},
	{helloOf(helloVersions + helloV8("") + helloV16("\x13\x01") + "\x02\x00"), "malformed compression methods"},
	{helloOf(helloVersions + helloV8("") + helloV16("\x13\x01") + helloV8("\x01\x00")), "no name"},

	// Extensions.
	{helloOf(helloBody + "\x00"), "malformed extensions"},
	{helloOf(helloBody + "\x00\x00"), "no name"},
	{helloOf(helloBody + "\x00\x01"), "malformed extensions"},
	{helloOf(helloBody + "\x00\x00\x00"), "malformed extensions"},
	{helloOf(helloWith(helloExt(16, "x")) + "x"), "malformed extensions"},
	{helloOf(helloWith("\x00")), "malformed extensions"},
	{helloOf(helloWith("\x00\x17\x00")), "malformed extensions"},
	{helloOf(helloWith("\x00\x17\x00\x01")), "malformed extensions"},
	{helloOf(helloWith(helloExt(23, ""), "\x00")), "malformed extensions"},
	{helloOf(helloWith(helloExt(23, ""), helloExt(0xff01, "\x00"))), "no name"},
	{helloOf(helloWith(helloExt(23, ""), helloExt(23, ""))), "a repeated extension"},
	{helloOf(helloWith(helloExt(0xffff, ""), helloExt(0, helloV16(helloHost("a"))), helloExt(0xffff, ""))), "a repeated extension"},
	{helloOf(helloWith(helloNames(helloHost("a")), helloNames(helloHost("a")))), "a repeated extension"},
	{helloOf(helloWith(helloExt(1, ""), helloExt(65, ""), helloExt(64, ""), helloExt(129, ""), helloExt(257, ""))), "no name"},
	{helloOf(helloWith(helloExts(4000), helloNames(helloHost("a.b")))), `"a.b"`},
	{helloOf(helloWith(helloExts(4000), helloExt(0x4000, ""))), "a repeated extension"},

	// The server's name.
	{helloOf(helloWith(helloExt(23, ""), helloNames(helloHost("A.b\x00\xff")), helloExt(21, ""))), `"A.b\x00\xff"`},
	{helloOf(helloWith(helloNames(helloHost(strings.Repeat("x", 1000))))), fmt.Sprintf("%q", strings.Repeat("x", 1000))},
	{helloOf(helloWith(helloExt(0, ""))), "malformed server names"},
	{helloOf(helloWith(helloExt(0, "\x00"))), "malformed server names"},
	{helloOf(helloWith(helloNames())), "malformed server names"},
	{helloOf(helloWith(helloExt(0, "\x00\x04"+helloHost("")))), "malformed server names"},
	{helloOf(helloWith(helloExt(0, helloV16(helloHost("a"))+"x"))), "malformed server names"},
	{helloOf(helloWith(helloNames("\x00"))), "malformed server names"},
	{helloOf(helloWith(helloNames("\x00\x00"))), "malformed server names"},
	{helloOf(helloWith(helloNames("\x00\x00\x02a"))), "malformed server names"},
	{helloOf(helloWith(helloNames(helloHost("a"), "\x00"))), "malformed server names"},
	{helloOf(helloWith(helloNames(helloHost("")))), "malformed server names"},
	{helloOf(helloWith(helloNames("\x01" + helloV16("")))), "malformed server names"},
	{helloOf(helloWith(helloNames("\x01"+helloV16("x."), helloHost("a.b"), "\x02"+helloV16("y")))), `"a.b"`},
	{helloOf(helloWith(helloNames("\x01" + helloV16("x")))), "no name"},
	{helloOf(helloWith(helloNames(helloHost("a"), helloHost("b")))), "two host names"},
	{helloOf(helloWith(helloNames(helloHost("a"), "\x01"+helloV16("x"), helloHost("a")))), "two host names"},
	{helloOf(helloWith(helloNames(helloHost("a.b.")))), "the host name ends in a dot"},
	{helloOf(helloWith(helloNames(helloHost(".")))), "the host name ends in a dot"},
}

func TestHelloCases(t *testing.T) {
	t.Parallel()
	var r HelloReader
	for _, c := range helloCases {
		want := c.want
		if strings.HasPrefix(want, `"`) || want == "no name" {
			want = fmt.Sprint(len(c.in), " ", want)
		}
		if got := readHello(&r, c.in); got != want {
			t.Errorf("%s: %s, want %s", shortHello(c.in), got, want)
		}
	}
}

// helloStep returns the distance of the cuts in n bytes: long input is not cut everywhere, but at every position within a record.
func helloStep(n int) int {
	if n > 4000 {
		return 997
	}
	return 1
}

// Wherever in is cut, the result is that of the whole or "more"; and once there is a result, it stays.
func checkHelloCuts(t *testing.T, r *HelloReader, in string) {
	t.Helper()
	whole := readHello(r, in)
	answered := false
	for cut := 0; cut < len(in); cut += helloStep(len(in)) {
		switch got := readHello(r, in[:cut]); {
		case got == "more" && answered:
			t.Fatalf("%s cut at %d: the answer was taken back", shortHello(in), cut)
		case got != "more" && got != whole:
			t.Fatalf("%s cut at %d: %s, want %s", shortHello(in), cut, got, whole)
		case got != "more":
			answered = true
		}
	}
}

func TestHelloCutAnywhere(t *testing.T) {
	t.Parallel()
	var r HelloReader
	for _, c := range helloCases {
		checkHelloCuts(t, &r, c.in)
	}
}

// The result is known as early as possible.
func TestHelloDecidedEarly(t *testing.T) {
	t.Parallel()
	begun := helloRecord(namedHello[5:9])
	for in, want := range map[string]string{
		"G":                                    notTLSReason,
		"\x16\x02":                             notTLSReason,
		"\x16\x03\x01\x00\x00":                 "an empty record in the hello",
		"\x16\x03\x01\x40\x01":                 "a record over 16384 bytes",
		"\x16\x03\x01\x00\x01\x02":             "the first message is not a client hello",
		"\x16\x03\x01\x00\xff\x01\x00\x3f\xfd": "a hello over 16384 bytes",
		helloRecords("\x01\x00\x3f\xfd", 1):    "a hello over 16384 bytes",
		begun + "\x15":                         "a record of another type in the hello",
		begun + "\x16\x02":                     "a record of an unknown version in the hello",
	} {
		var r HelloReader
		for cut := range in {
			if got := readHello(&r, in[:cut]); got != "more" {
				t.Errorf("%q: %s", in[:cut], got)
			}
		}
		if got := readHello(&r, in); got != want {
			t.Errorf("%q: %s, want %s", in, got, want)
		}
	}
}

func TestHelloOfCryptoTLS(t *testing.T) {
	t.Parallel()
	var r HelloReader
	for _, c := range madeHellos {
		in := string(captureHello(t, c.config))
		name := []byte(c.server)
		if c.server == "" {
			name = nil
		}
		if got, want := readHello(&r, in), takenHello(len(in), name); got != want {
			t.Errorf("%s: %s, want %s", c.name, got, want)
		}
		for cut := range in {
			if got := readHello(&r, in[:cut]); got != "more" {
				t.Fatalf("%s cut at %d of %d: %s", c.name, cut, len(in), got)
			}
		}
		for _, size := range []int{1, 2, 5, 100} {
			pieces := helloRecords(in[5:], size)
			if got, want := readHello(&r, pieces+"\x17"), takenHello(len(pieces), name); got != want {
				t.Errorf("%s in records of %d: %s, want %s", c.name, size, got, want)
			}
			for cut := 0; cut < len(pieces); cut += helloStep(len(pieces)) {
				if got := readHello(&r, pieces[:cut]); got != "more" {
					t.Fatalf("%s in records of %d cut at %d: %s", c.name, size, cut, got)
				}
			}
		}
	}
}

// Read never needs more bytes than documented, and keeps no more than documented: the longest hello in the smallest records, with its last
// byte in the largest.
func TestHelloBounds(t *testing.T) {
	t.Parallel()
	longest := paddedHello(MaxHello)
	in := helloRecords(longest[:MaxHello-1], 1) + helloRecord(longest[MaxHello-1:]+strings.Repeat("x", 16383))
	if len(in) > 7*MaxHello {
		t.Fatal(len(in))
	}
	var r HelloReader
	if got := readHello(&r, in[:len(in)-1]); got != "more" || r.buf != nil {
		t.Error(got, len(r.buf)) // nothing is copied before everything has arrived
	}
	if got := readHello(&r, in); got != takenHello(len(in), nil) {
		t.Error(got)
	}
	if cap(r.buf) != MaxHello {
		t.Error(cap(r.buf))
	}
}

// The buffer's old content does not show up again, and the name of a hello in one record is a slice of the input.
func TestHelloReaderIsReused(t *testing.T) {
	t.Parallel()
	var r HelloReader
	for _, name := range []string{strings.Repeat("long", 1000), "a", strings.Repeat("b", 500), ""} {
		body := helloBody
		var want []byte
		if name != "" {
			body, want = helloWith(helloNames(helloHost(name))), []byte(name)
		}
		in := helloRecords(helloMsg(1, body), 3)
		if got := readHello(&r, in); got != takenHello(len(in), want) {
			t.Errorf("%s: %s", name, got)
		}
	}
	in := []byte(namedHello)
	h, _, _ := r.Read(in)
	readHello(&r, helloRecords(namedHello[5:], 1))
	if at := bytes.Index(in, []byte("a.b")); &h.ServerName[0] != &in[at] {
		t.Error("copied")
	}
}

func TestHelloErrors(t *testing.T) {
	t.Parallel()
	var r HelloReader
	_, _, err := r.Read([]byte(helloRecord("\x02")))
	var malformed *HelloError
	if !errors.As(err, &malformed) || malformed.Error() != malformed.Reason || errors.Is(err, ErrNotTLS) {
		t.Error(err)
	}
	if _, _, err = r.Read([]byte("x")); !errors.Is(err, ErrNotTLS) {
		t.Error(err)
	}
	if _, _, err = r.Read(nil); err != nil {
		t.Error(err)
	}
}

func TestLooksLikeHTTP(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]bool{
		"": false, "G": true, "GE": true, "GET": true, "GET ": true, "GET /": true, "GET / HTTP/1.1\r\n": true,
		"POST ": true, "PUT /x": true, "PATCH": true, "PATCH /": true, "OPTIONS *": true, "CONNECT a:1": true, "PRI * HTTP/2.0": true,
		" ": false, "A ": false, "AB ": false, "AB /": false, "ABC ": true, "ABCD ": true, "ABCDE": true, "ABCDEF ": true,
		"get / HTTP/1.1": false, "Get /": false, "GET\t/": false, "GET\r\n": false, "GET1 /": false, "GET/ ": false, "\r\nGET /": false,
		"@GET": false, "[GET": false, "ABCD\x00": false, "ABCDE\x00": true, "SSH-2.0-x": false, "\x16\x03\x01": false, "\x80": false, "\x00": false,
	} {
		if got := LooksLikeHTTP([]byte(in)); got != want {
			t.Errorf("%q: %v", in, got)
		}
	}
}

// Nothing is allocated for a hello in one record, for one in several records once there is a buffer, or for refused input.
func TestHelloNothingAllocated(t *testing.T) {
	var r HelloReader
	cases := map[string]string{
		"not TLS":   "GET",
		"no name":   plainHello,
		"malformed": helloOf(helloWith(helloNames(helloHost("a.")))),
		"longest":   helloRecord(paddedHello(MaxHello)),
	}
	for _, c := range madeHellos {
		cases[c.name] = string(captureHello(t, c.config))
	}
	gate := func(what string, in []byte) {
		t.Helper()
		if n := testing.AllocsPerRun(100, func() {
			r.Read(in[:len(in)/2])
			r.Read(in)
		}); n != 0 {
			t.Errorf("%s: %v allocations", what, n)
		}
	}
	for what, in := range cases {
		gate(what, []byte(in))
	}
	if r.buf != nil {
		t.Error("a buffer for hellos in one record")
	}
	readHello(&r, helloRecords(paddedHello(MaxHello), 5000))
	gate("pieces", []byte(helloRecords(namedHello[5:], 5)))
	gate("the longest in pieces", []byte(helloRecords(paddedHello(MaxHello), 100)))
}

func shortHello(in string) string {
	if len(in) > 200 {
		return fmt.Sprintf("%q... (%d bytes)", in[:200], len(in))
	}
	return fmt.Sprintf("%q", in)
}
