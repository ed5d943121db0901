package http1

import (
	"bufio"
	"bytes"
	"io"
	"math/rand/v2"
	"net/http"
	"net/netip"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"kroxy-ev/httpcodec/http1/http1test"
	"kroxy-ev/logformat"
)

// unprotectedNames are similar to some of those.
var unprotectedNames = []string{
	"X-Forwardedness", "XForwardedFor", "X-Forward-For", "Forwarding", "X-Realm-IP", "X-Real-IPs", "Client-IPs", "X-Requested-With", "X-SSL-Clients", "X-SSL", "SSL-Clientele",
	"X-Original-Filename", "X-Rewrite", "Client-Certs", "Content-Type", "Content-Encoding", "Transfer-Encodings", "Cookie", "Referer", "X-Tenant", "X-Request-Ids",
	"Remote-User", "F", "X", "C", "T", "_", "X-" + strings.Repeat("Forward-", 5),
}

// variant returns another spelling of name that is a token.
func variant(random *rand.Rand, name string) string {
	const separators = "-_.!#$%&'*+^`|~"
	b := []byte(name)
	for i, c := range b {
		switch {
		case c == '-' && random.IntN(2) > 0:
			b[i] = separators[random.IntN(len(separators))]
		case isToken[c^0x20] && (c|0x20 >= 'a' && c|0x20 <= 'z') && random.IntN(2) > 0:
			b[i] = c ^ 0x20
		}
	}
	return string(b)
}

func variants(name string, n int) (all []string) {
	random := rand.New(rand.NewPCG(uint64(len(name)), 7))
	all = []string{name, strings.ToUpper(name), strings.ToLower(name), strings.ReplaceAll(name, "-", "_"), strings.ReplaceAll(name, "-", "."), strings.Replace(name, "-", "_", 1)}
	for range n {
		all = append(all, variant(random, name))
	}
	return all
}

func TestIdentityNames(t *testing.T) {
	t.Parallel()
	for _, name := range http1test.ProtectedNames {
		for _, v := range variants(name, 50) {
			id := identify([]byte(v))
			exact := strings.EqualFold(v, name)
			if id < fieldForwardedFor || id > fieldIdentityAlias || (id == fieldIdentityAlias) == exact {
				t.Errorf("%s: %d", v, id)
			}
			if allowedTrailer([]byte(v)) {
				t.Errorf("%s may be a trailer", v)
			}
		}
	}
	for _, name := range unprotectedNames {
		for _, v := range variants(name, 10) {
			if id := identify([]byte(v)); id != fieldOther || http1test.Protected(v) {
				t.Errorf("%s: %d, %v", v, id, http1test.Protected(v))
			}
		}
	}
	for _, name := range framingNames {
		for _, v := range variants(name, 10) {
			if id := identify([]byte(v)); id <= fieldOwn || (id == fieldFramingAlias) == strings.EqualFold(v, name) {
				t.Errorf("%s: %d", v, id)
			}
		}
	}
}

// The documentation lists exactly the names that the code knows.
func TestIdentityNamesAreDocumented(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../../docs/identity.md")
	if err != nil {
		t.Fatal(err)
	}
	listed := map[string]bool{}
	for _, m := range regexp.MustCompile("`([A-Za-z0-9-]+)(?:-\\*)?`").FindAllStringSubmatch(string(text), -1) {
		if name := http1test.Folded(m[1]); http1test.Protected(name) {
			listed[name] = true
		}
	}
	known := slices.Clone(identityFamilies[:])
	for _, list := range identityNames {
		known = append(known, list...)
	}
	for _, low := range known {
		if !listed[low] {
			t.Errorf("docs/identity.md does not list %s", low)
		}
		delete(listed, low)
	}
	for low := range listed {
		if id := identify([]byte(low)); id < fieldForwardedFor || id > fieldIdentity {
			t.Errorf("docs/identity.md lists %s", low)
		}
	}
}

// checkIdentity sends a request with a field of the given name, in its head and in its trailers, and checks what a host would
// receive of it.
func checkIdentity(t *testing.T, name, value string) {
	t.Helper()
	line := name + ": " + value + "\r\n"
	head := "POST / HTTP/1.1\r\nHost: a\r\n" + line + "Connection: X-A, " + name + "\r\nX-Own: 1\r\n" + line + "Transfer-Encoding: chunked\r\n" + "\r\n"
	var r Request
	n, err := r.Parse([]byte(head))
	if n != len(head) || err != nil || r.Framing != Chunked {
		return // it is not a field, or it describes the message
	}
	set := http1test.Headers(t, "X-Tenant-Id", "us", "X-Real-IP", "$addr")
	for _, w := range []*Rewrite{typical(), trusting, {Authority: []byte("up"), ClientAddr: []byte("192.0.2.7"), Forwarded: true, Headers: set,
		Record: &logformat.Record{Client: netip.MustParseAddrPort("192.0.2.7:1")}}} {
		var b Body
		b.Begin(FromClient, Chunked, 0, Chunked, w.Headers)
		out, _, err := b.Append(AppendRequest(nil, &r, w), []byte("0\r\n"+line+"X-Sum: 1\r\n\r\n"))
		if err != nil {
			t.Fatal(err)
		}
		req, problem := http.ReadRequest(bufio.NewReader(bytes.NewReader(out)))
		if problem == nil {
			_, problem = io.Copy(io.Discard, req.Body)
		}
		if problem != nil {
			t.Fatalf("%v: %q", problem, out)
		}
		ours := map[string]string{"X-Forwarded-For": "192.0.2.7", "X-Forwarded-Proto": "http", "X-Forwarded-Host": "a"}
		if w.Headers != nil {
			ours["X-Real-Ip"], ours["X-Tenant-Id"] = "192.0.2.7", "us"
		}
		for got, values := range req.Header {
			if w.Headers != nil && http1test.Folded(got) == "x-tenant-id" && got != "X-Tenant-Id" {
				t.Errorf("%s passes beside a configured header: %q", got, out)
			}
			switch want, own := ours[got]; {
			case own && w.Trusted && strings.EqualFold(got, name): // kept, or appended to
			case own && !slices.Equal(values, []string{want}):
				t.Errorf("%s is %q: %q", got, values, out)
			case !own && http1test.Protected(got) && (!w.Trusted || !strings.EqualFold(got, http1test.Folded(got))):
				t.Errorf("%s passes: %q", got, out)
			}
		}
		if w.Trusted && http1test.Protected(name) && strings.EqualFold(name, http1test.Folded(name)) && !strings.Contains(strings.ToLower(string(out)), "\n"+strings.ToLower(name)+": ") {
			t.Errorf("a trusted proxy's %s is lost: %q", name, out)
		}
		for got := range req.Trailer {
			if http1test.Protected(got) || w.Headers != nil && http1test.Folded(got) == "x-tenant-id" {
				t.Errorf("%s passes as a trailer: %q", got, out)
			}
		}
		if req.Trailer.Get("X-Sum") != "1" || req.Header.Get("X-Own") != "1" {
			t.Errorf("something else is lost: %q", out)
		}
	}
	// If the proxy says nothing about clients, what they say is forwarded.
	if out := string(AppendRequest(nil, &r, bare())); http1test.Protected(name) && strings.Count(out, line) != 2 {
		t.Errorf("%s is not relayed: %q", name, out)
	}
}

func TestIdentity(t *testing.T) {
	t.Parallel()
	for _, name := range append(slices.Concat(http1test.ProtectedNames, unprotectedNames), "X-Tenant-Id") {
		for _, v := range variants(name, 20) {
			checkIdentity(t, v, "6.6.6.6")
		}
	}
}

func FuzzIdentity(f *testing.F) {
	for _, name := range append(slices.Concat(http1test.ProtectedNames, unprotectedNames), "X-Tenant-Id", "X_Tenant.Id", "X_Forwarded_For", "x-real_ip", "X.Real!IP") {
		f.Add(name, "6.6.6.6")
	}
	f.Fuzz(func(t *testing.T, name, value string) {
		if low := strings.ToLower(name); strings.ContainsAny(name+value, "\r\n") || strings.Contains(name, ":") || strings.Trim(value, " \t") != value || len(name)+len(value) > 4000 ||
			slices.Contains([]string{"trailer", "x-own", "x-sum", "x-a", "expect", "upgrade", "te"}, low) {
			return // fields that checkIdentity itself sends, and those that are replaced
		}
		checkIdentity(t, name, value)
	})
}
