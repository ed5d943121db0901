package proxyproto

import (
	"errors"
	"net/netip"
	"strings"
	"testing"
)

// header returns a Header with two addresses; without any if they are empty.
func header(source, destination string) Header {
	if source == "" {
		return Header{}
	}
	return Header{netip.MustParseAddrPort(source), netip.MustParseAddrPort(destination)}
}

// v2 returns a header of version 2 with these bytes after the signature.
func v2(rest string) string { return "\r\n\r\n\x00\r\nQUIT\n" + rest }

const (
	v2IPv4 = "\x01\x02\x03\x04\x05\x06\x07\x08\x00\x50\x01\xbb"
	v2IPv6 = "\x20\x01\x0d\xb8\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01" +
		"\x20\x01\x0d\xb8\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\xff\xff\x00\x00"
	v2Mapped = "\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\xff\xff\x01\x02\x03\x04" +
		"\x20\x01\x0d\xb8\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\x01\x00\x02"
)

// Accepted headers and their meaning. Each is also tried with more bytes after it, and truncated at every position.
var taken = map[string]struct{ in, source, destination string }{
	"v1 TCP4":               {"PROXY TCP4 1.2.3.4 5.6.7.8 80 443\r\n", "1.2.3.4:80", "5.6.7.8:443"},
	"v1 TCP4 extremes":      {"PROXY TCP4 255.255.255.255 0.0.0.0 65535 0\r\n", "255.255.255.255:65535", "0.0.0.0:0"},
	"v1 TCP6":               {"PROXY TCP6 2001:db8::1 2001:DB8:0:0:0:0:0:2 1 2\r\n", "[2001:db8::1]:1", "[2001:db8::2]:2"},
	"v1 TCP6 longest":       {"PROXY TCP6 ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 65535\r\n", "[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535", "[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535"},
	"v1 TCP6 mapped":        {"PROXY TCP6 ::ffff:1.2.3.4 :: 1 2\r\n", "1.2.3.4:1", "[::]:2"},
	"v1 UNKNOWN":            {"PROXY UNKNOWN\r\n", "", ""},
	"v1 UNKNOWN and more":   {"PROXY UNKNOWN ffff::1 what ever\x00 \xff\r\n", "", ""},
	"v1 UNKNOWN longest":    {"PROXY UNKNOWN " + strings.Repeat("x", MaxV1-16) + "\r\n", "", ""},
	"v2 TCP4":               {v2("\x21\x11\x00\x0c" + v2IPv4), "1.2.3.4:80", "5.6.7.8:443"},
	"v2 TCP4 with TLVs":     {v2("\x21\x11\x00\x13" + v2IPv4 + "\x01\x00\x04http"), "1.2.3.4:80", "5.6.7.8:443"},
	"v2 TCP4 with padding":  {v2("\x21\x11\x00\x0d" + v2IPv4 + "\xff"), "1.2.3.4:80", "5.6.7.8:443"},
	"v2 TCP6":               {v2("\x21\x21\x00\x24" + v2IPv6), "[2001:db8::1]:65535", "[2001:db8::2]:0"},
	"v2 TCP6 half mapped":   {v2("\x21\x21\x00\x24" + v2Mapped), "1.2.3.4:1", "[2001:db8::2]:2"},
	"v2 unix":               {v2("\x21\x31\x00\xd8" + strings.Repeat("/", 216)), "", ""},
	"v2 unspecified":        {v2("\x21\x00\x00\x00"), "", ""},
	"v2 unspecified, TLVs":  {v2("\x21\x00\x00\x03\x04\x00\x00"), "", ""},
	"v2 LOCAL":              {v2("\x20\x00\x00\x00"), "", ""},
	"v2 LOCAL of a family":  {v2("\x20\x11\x00\x0c" + v2IPv4), "", ""},
	"v2 LOCAL too short":    {v2("\x20\x21\x00\x01x"), "", ""},
	"v2 LOCAL of datagrams": {v2("\x20\x12\x00\x00"), "", ""},
	"v2 longest":            {v2("\x21\x11\x0f\xf0" + v2IPv4 + strings.Repeat("\x00", MaxV2-16-12)), "1.2.3.4:80", "5.6.7.8:443"},
	"v1 that looks like v2": {"PROXY UNKNOWN \x00QUIT\r\n", "", ""},
}

func TestParseTakes(t *testing.T) {
	t.Parallel()
	for name, tc := range taken {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			want := header(tc.source, tc.destination)
			for _, more := range []string{"", "\r\n", "GET / HTTP/1.1\r\n\r\n", tc.in, strings.Repeat("x", MaxHeader)} {
				if got, n, err := Parse([]byte(tc.in + more)); err != nil || n != len(tc.in) || got != want {
					t.Fatalf("with %d bytes behind it: %v, %d bytes, %v; want %v, %d bytes", len(more), got, n, err, want, len(tc.in))
				}
			}
			for i := range tc.in {
				if got, n, err := Parse([]byte(tc.in[:i])); err != nil || n != 0 || got != (Header{}) {
					t.Fatalf("its first %d bytes: %v, %d bytes, %v; want more to be needed", i, got, n, err)
				}
			}
		})
	}
}

// Refused headers, and after how many bytes they are refused at the latest.
var refused = map[string]struct {
	in   string
	at   int // zero means all
	want *Error
}{
	"a request":                 {"GET / HTTP/1.1\r\n", 1, errNoHeader},
	"a hello":                   {"\x16\x03\x01", 1, errNoHeader},
	"an empty line":             {"\r\nGET", 3, errNoHeader},
	"a method":                  {"PROPFIND / HTTP/1.1\r\n", 4, errNoHeader},
	"lower case":                {"proxy TCP4 1.2.3.4 5.6.7.8 80 443\r\n", 1, errNoHeader},
	"white space before":        {" PROXY TCP4 1.2.3.4 5.6.7.8 80 443\r\n", 1, errNoHeader},
	"nothing behind PROXY":      {"PROXY\r\n", 6, errNoHeader},
	"a tab behind PROXY":        {"PROXY\tUNKNOWN\r\n", 6, errNoHeader},
	"two headers in one":        {"PROXY PROXY UNKNOWN\r\n", 0, errV1Protocol},
	"v1 too long":               {"PROXY UNKNOWN " + strings.Repeat("x", MaxV1-15) + "\r\n", MaxV1, errV1Length},
	"v1 without end":            {"PROXY TCP4 " + strings.Repeat("1", 200), MaxV1, errV1Length},
	"v1 CR without LF":          {"PROXY TCP4 1.2.3.4 5.6.7.8 80 443\r ", 0, errV1BareCR},
	"v1 CR CR LF":               {"PROXY TCP4 1.2.3.4 5.6.7.8 80 443\r\r\n", 35, errV1BareCR},
	"v1 CR inside":              {"PROXY UNKNOWN a\rb\r\n", 17, errV1BareCR},
	"v1 LF without CR":          {"PROXY TCP4 1.2.3.4 5.6.7.8 80 443\n", 0, errV1BareLF},
	"v1 LF inside":              {"PROXY UNKNOWN a\nb\r\n", 16, errV1BareLF},
	"v1 no protocol":            {"PROXY \r\n", 0, errV1Protocol},
	"v1 lower case":             {"PROXY tcp4 1.2.3.4 5.6.7.8 80 443\r\n", 0, errV1Protocol},
	"v1 UDP":                    {"PROXY UDP4 1.2.3.4 5.6.7.8 80 443\r\n", 0, errV1Protocol},
	"v1 UNKNOWNs":               {"PROXY UNKNOWNS\r\n", 0, errV1Protocol},
	"v1 two spaces":             {"PROXY  TCP4 1.2.3.4 5.6.7.8 80 443\r\n", 0, errV1Protocol},
	"v1 two spaces later":       {"PROXY TCP4  1.2.3.4 5.6.7.8 80 443\r\n", 0, errV1Fields},
	"v1 two spaces, three left": {"PROXY TCP4  1.2.3.4 5.6.7.8 80\r\n", 0, errV1Address},
	"v1 a space at the end":     {"PROXY TCP4 1.2.3.4 5.6.7.8 80 443 \r\n", 0, errV1Fields},
	"v1 a field more":           {"PROXY TCP4 1.2.3.4 5.6.7.8 80 443 1\r\n", 0, errV1Fields},
	"v1 a field less":           {"PROXY TCP4 1.2.3.4 5.6.7.8 80\r\n", 0, errV1Fields},
	"v1 no fields":              {"PROXY TCP4\r\n", 0, errV1Fields},
	"v1 IPv6 as TCP4":           {"PROXY TCP4 ::1 ::1 80 443\r\n", 0, errV1Address},
	"v1 IPv4 as TCP6":           {"PROXY TCP6 1.2.3.4 5.6.7.8 80 443\r\n", 0, errV1Address},
	"v1 mixed as TCP4":          {"PROXY TCP4 1.2.3.4 ::1 80 443\r\n", 0, errV1Address},
	"v1 mixed as TCP6":          {"PROXY TCP6 ::1 1.2.3.4 80 443\r\n", 0, errV1Address},
	"v1 a zone":                 {"PROXY TCP6 fe80::1%eth0 ::1 80 443\r\n", 0, errV1Address},
	"v1 brackets":               {"PROXY TCP6 [::1] [::1] 80 443\r\n", 0, errV1Address},
	"v1 a name":                 {"PROXY TCP4 localhost localhost 80 443\r\n", 0, errV1Address},
	"v1 leading zeros":          {"PROXY TCP4 1.2.3.04 5.6.7.8 80 443\r\n", 0, errV1Address},
	"v1 a NUL":                  {"PROXY TCP4 1.2.3.4\x00 5.6.7.8 80 443\r\n", 0, errV1Address},
	"v1 port, leading zero":     {"PROXY TCP4 1.2.3.4 5.6.7.8 080 443\r\n", 0, errV1Port},
	"v1 port, sign":             {"PROXY TCP4 1.2.3.4 5.6.7.8 +80 443\r\n", 0, errV1Port},
	"v1 port too large":         {"PROXY TCP4 1.2.3.4 5.6.7.8 80 65536\r\n", 0, errV1Port},
	"v1 port, many digits":      {"PROXY TCP4 1.2.3.4 5.6.7.8 80 18446744073709551696\r\n", 0, errV1Port},
	"v1 no port":                {"PROXY TCP4 1.2.3.4 5.6.7.8  443\r\n", 0, errV1Port},
	"v2 another signature":      {"\r\n\r\n\x00\r\nQUIT\r", 12, errNoHeader},
	"v2 version 1":              {v2("\x11\x11\x00\x0c" + v2IPv4), 13, errV2Version},
	"v2 version 3":              {v2("\x31\x11\x00\x0c" + v2IPv4), 13, errV2Version},
	"v2 another command":        {v2("\x22\x11\x00\x0c" + v2IPv4), 13, errV2Version},
	"v2 another family":         {v2("\x21\x41\x00\x0c" + v2IPv4), 14, errV2Family},
	"v2 LOCAL, another family":  {v2("\x20\x41\x00\x00"), 14, errV2Family},
	"v2 a family, no transport": {v2("\x21\x10\x00\x0c" + v2IPv4), 14, errV2Family},
	"v2 UDP4":                   {v2("\x21\x12\x00\x0c" + v2IPv4), 14, errV2Datagram},
	"v2 UDP6":                   {v2("\x21\x22\x00\x24" + v2IPv6), 14, errV2Datagram},
	"v2 unix datagrams":         {v2("\x21\x32\x00\xd8" + strings.Repeat("/", 216)), 14, errV2Datagram},
	"v2 too short for IPv4":     {v2("\x21\x11\x00\x0b" + v2IPv4), 16, errV2Short},
	"v2 too short for IPv6":     {v2("\x21\x21\x00\x0c" + v2IPv4), 16, errV2Short},
	"v2 too short for unix":     {v2("\x21\x31\x00\xd7" + strings.Repeat("/", 216)), 16, errV2Short},
	"v2 no addresses":           {v2("\x21\x11\x00\x00"), 16, errV2Short},
	"v2 too long":               {v2("\x21\x11\x0f\xf1" + v2IPv4), 16, errV2Length},
	"v2 longest of all":         {v2("\x21\x11\xff\xff" + v2IPv4), 16, errV2Length},
	"v2 LOCAL, too long":        {v2("\x20\x00\xff\xff"), 16, errV2Length},
}

func TestParseRefuses(t *testing.T) {
	t.Parallel()
	for name, tc := range refused {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if tc.at == 0 {
				tc.at = len(tc.in)
			}
			for i := range len(tc.in) + 1 {
				h, n, err := Parse([]byte(tc.in[:i]))
				if n != 0 || h != (Header{}) {
					t.Fatalf("its first %d bytes are taken for a header of %d bytes, %v", i, n, h)
				}
				if i >= tc.at && !errors.Is(err, tc.want) {
					t.Fatalf("of its first %d bytes the error is %v, want %v", i, err, tc.want)
				}
				if i < tc.at && err != nil {
					t.Fatalf("its first %d bytes are refused (%v), and might go on well", i, err)
				}
			}
		})
	}
}

// addresses are valid and invalid addresses.
var addresses = []string{
	"", ".", ":", "::", ":::", "::1", "1::", ":1", "1:", "1::2", "1::2::3", "1:2:3:4:5:6:7:8", "1:2:3:4:5:6:7", "1:2:3:4:5:6:7:8:9", "::2:3:4:5:6:7:8",
	"1:2:3:4:5:6:7::", "1:2:3:4:5:6:7:8::", "::1:2:3:4:5:6:7:8", "12345::", "0000::", "00000::", "g::", "A:b::C", "::1.2.3.4", "1.2.3.4::", "::1.2.3", "::1.2.3.4.5",
	"::1.2.3.4:5", "1:2:3:4:5:6:1.2.3.4", "1:2:3:4:5:1.2.3.4", "1:2:3:4:5:6:7:1.2.3.4", "::ffff:1.2.3.4", "::ffff:1.2.3.256", "::fa.1.1.1", "::1%", "::1%x",
	"1.2.3.4", "1.2.3", "1.2.3.4.5", "1.2.3.", ".1.2.3", "1..2.3", "01.2.3.4", "1.2.3.00", "0.0.0.0", "255.255.255.255", "256.1.1.1", "1.2.3.1000", "1.2.3.-4", "1.2.3.4 ", "٣.2.3.4",
}

// net/netip accepts the same addresses.
func TestAddressesAsNetip(t *testing.T) {
	t.Parallel()
	for _, s := range addresses {
		checkAddress(t, s)
	}
}

// checkAddress compares with net/netip.
func checkAddress(t *testing.T, s string) {
	t.Helper()
	want, err := netip.ParseAddr(s)
	valid := err == nil && want.Zone() == ""
	if got, ok := parseIPv4([]byte(s)); ok != (valid && want.Is4()) || ok && got != want {
		t.Errorf("%q as IPv4 is %v, %v; net/netip says %v, %v", s, got, ok, want, err)
	}
	if got, ok := parseIPv6([]byte(s)); ok != (valid && want.Is6()) || ok && got != want.Unmap() {
		t.Errorf("%q as IPv6 is %v, %v; net/netip says %v, %v", s, got, ok, want, err)
	}
}
