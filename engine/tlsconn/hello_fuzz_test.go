package tlsconn

import (
	"bytes"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"io"
	"strings"
	"testing"
)

// crypto/tls also reads everything that is accepted or refused here, and must agree.

var errHelloSeen = errors.New("seen")

// askHello lets a crypto/tls server read in. err is errHelloSeen if it accepted the hello, and name is then the server name.
// The callback comes before crypto/tls chooses a version or anything else.
func askHello(in []byte) (name string, err error) {
	err = tls.Server(newHelloWire(in), &tls.Config{GetConfigForClient: func(h *tls.ClientHelloInfo) (*tls.Config, error) {
		name = h.ServerName
		return nil, errHelloSeen
	}}).Handshake()
	return name, err
}

// helloMessage returns the first handshake message of in, parsed in the obvious way, as far as it is complete. It skips other
// records.
func helloMessage(in []byte) (message []byte) {
	for len(in) >= 5 {
		length := int(binary.BigEndian.Uint16(in[3:]))
		data := in[5:min(len(in), 5+length)]
		if in[0] == 22 {
			message = append(message, data...)
		}
		in = in[5+len(data):]
	}
	if len(message) >= 4 {
		message = message[:min(len(message), 4+int(binary.BigEndian.Uint32(message)&0xffffff))]
	}
	return message
}

// anyHelloRecord reports whether one of in's records has a header for which like returns true.
func anyHelloRecord(in []byte, like func(header []byte) bool) bool {
	for len(in) >= 5 {
		if like(in) {
			return true
		}
		in = in[min(len(in), 5+int(binary.BigEndian.Uint16(in[3:]))):]
	}
	return false
}

func isAlertRecord(header []byte) bool { return header[0] == 21 }
func isOddRecord(header []byte) bool   { return header[1] != 3 }

// afterHelloVector returns what follows the vector at the beginning of b, whose length has width bytes.
func afterHelloVector(b []byte, width int) []byte {
	if width == 1 {
		return b[1+int(b[0]):]
	}
	return b[2+int(binary.BigEndian.Uint16(b)):]
}

// laxerThanHello lists what crypto/tls accepts and this package refuses, with a check whether that applies to in, which crypto/tls has accepted.
var laxerThanHello = map[error]func(in []byte) bool{
	// Alerts before a hello: a client that has received nothing has no reason for them. And major versions up to 15: crypto/tls
	// checks whether a version is plausible, OpenSSL and BoringSSL whether it is 3, which it always is (RFC
	// 8446 section 5.1). With both rules, input that is not TLS is recognized early.
	ErrNotTLS: func(in []byte) bool { return isAlertRecord(in) || isOddRecord(in) },

	// The same in later records. Records of other types must not occur within a message (RFC 8446 section 5.1).
	errHelloRecordType:    func(in []byte) bool { return anyHelloRecord(in, isAlertRecord) },
	errHelloRecordVersion: func(in []byte) bool { return anyHelloRecord(in, isOddRecord) },

	// crypto/tls's limit is 64 KiB. Clients send 2 KiB with a post-quantum key and a ticket; our limit is what one record holds.
	errHelloSize: func(in []byte) bool { return len(helloMessage(in)) > MaxHello },

	// At most 32 bytes, and at least one suite and one compression method (RFC 8446 section 4.1.2, RFC 5246 section 7.4.1.2).
	// OpenSSL and BoringSSL refuse the first; crypto/tls refuses the others later, so no handshake is lost.
	errHelloSession: func(in []byte) bool { return helloMessage(in)[38] > 32 },
	errHelloSuites: func(in []byte) bool {
		return binary.BigEndian.Uint16(afterHelloVector(helloMessage(in)[38:], 1)) == 0
	},
	errHelloCompression: func(in []byte) bool {
		return afterHelloVector(afterHelloVector(helloMessage(in)[38:], 1), 2)[0] == 0
	},
}

// helloUnknown returns a well-formed hello whose extensions, except server_name, have types that crypto/tls does not know,
// as distinct from each other as before. It returns nil if a type makes that impossible.
func helloUnknown(message []byte) []byte {
	message = bytes.Clone(message)
	b := afterHelloVector(afterHelloVector(afterHelloVector(message[38:], 1), 2), 1)
	for b = b[min(2, len(b)):]; len(b) > 0; b = afterHelloVector(b[2:], 2) {
		kind := binary.BigEndian.Uint16(b)
		switch kind >> 8 {
		case 0x00, 0xfe, 0xff:
			if kind != 0 {
				binary.BigEndian.PutUint16(b, kind^0x5500)
			}
		case 0x55, 0xab, 0xaa:
			return nil
		}
	}
	return message
}

// checkHello compares the result for in with that of crypto/tls. If crypto/tls has accepted in, it returns the error with which this package
// rightly refuses it.
func checkHello(t *testing.T, in []byte) (refused error) {
	t.Helper()
	var r HelloReader
	h, n, err := r.Read(in)
	want, asked := askHello(in)
	seen := errors.Is(asked, errHelloSeen)
	switch {
	case err != nil && seen:
		if holds := laxerThanHello[err]; holds == nil || !holds(in) {
			t.Fatalf("refused: %v, taken by crypto/tls: %s", err, shortHello(string(in)))
		}
		return err
	case err != nil:
	case n == 0 && seen:
		t.Fatalf("more is needed, but not by crypto/tls: %s", shortHello(string(in)))
	case n == 0:
		if len(in) >= 7*MaxHello {
			t.Fatalf("more is needed than %d bytes", len(in))
		}
	case seen:
		if string(h.ServerName) != want {
			t.Fatalf("the name is %q, to crypto/tls %q: %s", h.ServerName, want, shortHello(string(in)))
		}
		if len(helloMessage(in)) > MaxHello {
			t.Fatalf("a hello of %d bytes", len(helloMessage(in)))
		}
		if _, err := askHello(in[:n]); !errors.Is(err, errHelloSeen) {
			t.Fatalf("not all there in the first %d bytes: %v: %s", n, err, shortHello(string(in)))
		}
		if _, err := askHello(in[:n-1]); errors.Is(err, errHelloSeen) {
			t.Fatalf("all there before %d bytes: %s", n, shortHello(string(in)))
		}
	default: // only for the content of another extension
		unknown := helloUnknown(helloMessage(in))
		if unknown == nil {
			return nil
		}
		name, err := askHello([]byte(helloRecords(string(unknown), MaxHello)))
		if !errors.Is(err, errHelloSeen) || name != string(h.ServerName) {
			t.Fatalf("taken, but not by crypto/tls: %v, %v, %q: %s", asked, err, name, shortHello(string(in)))
		}
		if errors.Is(asked, io.EOF) || errors.Is(asked, io.ErrUnexpectedEOF) {
			t.Fatalf("not all there to crypto/tls: %s", shortHello(string(in)))
		}
	}
	return nil
}

// laxerHelloCases are refused here and accepted by crypto/tls.
var laxerHelloCases = []struct {
	in   string
	want error
}{
	{"\x15\x03\x01\x00\x02\x01\x00" + namedHello, nil}, // close_notify: crypto/tls stops there
	{"\x15\x03\x01\x00\x02\x01\x5a" + namedHello, ErrNotTLS},
	{strings.Repeat("\x15\x03\x01\x00\x02\x01\x5a", 16) + namedHello, ErrNotTLS},
	{strings.Repeat("\x15\x03\x01\x00\x02\x01\x5a", 17) + namedHello, nil}, // too many for crypto/tls
	{"\x14\x03\x01\x00\x01\x01" + namedHello, nil},
	{"\x16\x00" + namedHello[2:], ErrNotTLS},
	{"\x16\x0f" + namedHello[2:], ErrNotTLS},
	{"\x16\x10" + namedHello[2:], nil},
	{helloRecord(namedHello[5:9]) + "\x15\x03\x01\x00\x02\x01\x5a" + helloRecord(namedHello[9:]), errHelloRecordType},
	{helloRecord(namedHello[5:9]) + "\x14\x03\x01\x00\x01\x01" + helloRecord(namedHello[9:]), nil},
	{helloRecord(namedHello[5:9]) + "\x17\x03\x01\x00\x01\x01" + helloRecord(namedHello[9:]), nil},
	{helloRecord(namedHello[5:9]) + helloRecord("") + helloRecord(namedHello[9:]), nil},
	{helloRecord(namedHello[5:9]) + "\x16\x04\x00" + helloRecord(namedHello[9:])[3:], errHelloRecordVersion},
	{helloRecords(paddedHello(MaxHello), 1000), nil},
	{helloRecords(paddedHello(MaxHello+1), 1000), errHelloSize},
	{helloRecords(paddedHello(65536), 1000), errHelloSize},
	{helloOf(helloVersions + helloV8(strings.Repeat("i", 33)) + helloV16("\x13\x01") + helloV8("\x00")), errHelloSession},
	{helloOf(helloVersions + helloV8("") + helloV16("") + helloV8("\x00")), errHelloSuites},
	{helloOf(helloVersions + helloV8("") + helloV16("\x13\x01") + helloV8("")), errHelloCompression},
}

func TestHelloAsCryptoTLS(t *testing.T) {
	t.Parallel()
	for _, c := range helloCases {
		checkHello(t, []byte(c.in))
	}
	for _, c := range madeHellos {
		in := captureHello(t, c.config)
		checkHello(t, in)
		checkHello(t, []byte(helloRecords(string(in[5:]), 7)))
	}
	big := captureHello(t, &tls.Config{ServerName: "a.b", NextProtos: helloProtocols(20000)})
	if err := checkHello(t, big); !errors.Is(err, errHelloSize) {
		t.Error(err)
	}
}

// Every exception of laxerThanHello still holds; one that crypto/tls no longer makes would have no valid row here.
func TestHelloStricterThanCryptoTLS(t *testing.T) {
	t.Parallel()
	had := map[error]bool{}
	for _, c := range laxerHelloCases {
		got := checkHello(t, []byte(c.in))
		if !errors.Is(got, c.want) {
			t.Errorf("%s: %v, want %v", shortHello(c.in), got, c.want)
		}
		had[got] = true
	}
	for err := range laxerThanHello {
		if !had[err] {
			t.Error("no row for:", err)
		}
	}
}

// If this package accepts a hello, crypto/tls accepts it with the same name, or refuses it because of an extension that is not examined here. If
// crypto/tls accepts it, so does this package, except for the exceptions above. It does not matter how the bytes were cut or framed. The input is what a
// client sends, a hello's body or its extensions, so that outer lengths are right.
func FuzzHello(f *testing.F) {
	for _, c := range helloCases {
		f.Add([]byte(c.in), uint8(0), uint16(0), uint16(len(c.in)/2))
		if strings.HasPrefix(c.in, "\x16\x03\x01") && len(c.in) > 9 {
			f.Add([]byte(c.in[9:]), uint8(1), uint16(len(c.in)%50), uint16(9))
		}
	}
	for _, c := range laxerHelloCases {
		f.Add([]byte(c.in), uint8(0), uint16(0), uint16(7))
	}
	for _, c := range madeHellos {
		in := captureHello(f, c.config)
		f.Add(in, uint8(0), uint16(0), uint16(99))
		f.Add(in[9:], uint8(1), uint16(100), uint16(99))
		session := in[43:]
		suites := afterHelloVector(session, 1)
		if extensions := afterHelloVector(afterHelloVector(suites, 2), 1); len(extensions) > 2 {
			f.Add(extensions[2:], uint8(2), uint16(0), uint16(len(in)-1))
		}
	}
	f.Fuzz(func(t *testing.T, in []byte, what uint8, size, cut uint16) {
		wire := string(in)
		switch what % 3 {
		case 1:
			if len(in) >= 1<<17 {
				return
			}
			wire = helloRecords(helloMsg(1, wire), int(size)%MaxHello+1)
		case 2:
			if len(in) >= 1<<16 {
				return
			}
			wire = helloRecords(helloMsg(1, helloWith(wire)), int(size)%MaxHello+1)
		}
		checkHello(t, []byte(wire))

		var r HelloReader
		whole := readHello(&r, wire)
		if got := readHello(&r, wire[:min(int(cut), len(wire))]); got != "more" && got != whole {
			t.Fatalf("cut at %d: %s, want %s", cut, got, whole)
		}
		h, n, err := r.Read([]byte(wire))
		if n == 0 || err != nil {
			return
		}
		name := h.ServerName
		pieces := helloRecords(string(helloMessage([]byte(wire))), int(cut)%300+1)
		var other HelloReader
		if got := readHello(&other, pieces); got != takenHello(len(pieces), name) {
			t.Fatalf("framed anew: %s, want %s", got, takenHello(len(pieces), name))
		}
	})
}
