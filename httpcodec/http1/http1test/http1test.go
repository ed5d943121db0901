// Package http1test has helpers for HTTP/1 tests in several packages.
package http1test

import (
	"regexp"
	"slices"
	"strings"
	"testing"

	"kroxy-ev/config"
	"kroxy-ev/httpcodec/policy"
)

// ProtectedNames are fields that only trusted proxies may set, as proxies spell them; of each family it has some.
var ProtectedNames = []string{
	"X-Forwarded-For", "X-Forwarded-Proto", "X-Forwarded-Host", "X-Forwarded-Port", "X-Forwarded-Ssl", "X-Forwarded-Prefix", "X-Forwarded-Server",
	"X-Forwarded-Scheme", "X-Forwarded-Protocol", "X-Forwarded-By", "X-Forwarded-User", "X-Forwarded-Tls-Client-Cert-Info", "X-Forwarded", "Forwarded",
	"Forwarded-For", "X-Real-IP", "X-Real-Port", "Client-IP", "X-Client-IP", "X-Cluster-Client-IP", "True-Client-IP", "CF-Connecting-IP",
	"CF-Connecting-IPv6", "Fastly-Client-IP", "X-Azure-ClientIP", "X-Azure-SocketIP", "Proxy-Client-IP", "WL-Proxy-Client-IP", "HTTP-Client-IP",
	"HTTP-X-Forwarded-For", "X-Remote-IP", "X-Remote-Addr", "X-Originating-IP", "X-Scheme", "X-Url-Scheme", "Front-End-Https", "X-Script-Name",
	"X-Original-For", "X-Original-Forwarded-For", "X-Original-Proto", "X-Original-Host", "X-Original-URL", "X-Original-URI", "X-Rewrite-URL",
	"Client-Cert", "Client-Cert-Chain", "X-Client-Cert", "X-SSL-Client-Verify", "X-SSL-Client", "SSL-Client-Cert", "SSL-Client-Subject-DN",
	"X-Request-Id",
}

// Folded returns name as a host may see it: case and the kind of separator do not matter.
func Folded(name string) string {
	return strings.Map(func(c rune) rune {
		switch {
		case 'A' <= c && c <= 'Z':
			return c + 'a' - 'A'
		case 'a' <= c && c <= 'z', '0' <= c && c <= '9':
			return c
		}
		return '-'
	}, name)
}

// Protected reports whether a host may take name for an identity field.
func Protected(name string) bool {
	low := Folded(name)
	for _, family := range []string{"x-forwarded", "x-ssl-client", "ssl-client"} {
		if low == family || strings.HasPrefix(low, family+"-") {
			return true
		}
	}
	return slices.ContainsFunc(ProtectedNames, func(p string) bool { return low == Folded(p) })
}

// Responses that a host may send and net/http does not understand: a repeated Content-Length, and white space after a field name.
var (
	Repeats = regexp.MustCompile(`(?i)content-length:[^\r]*(,|\r\n([^\r]+\r\n)*content-length:)`)
	Spaced  = regexp.MustCompile(`\r\n[^\r:]+[ \t]:`)
)

// Headers compiles Kroxy's "headers". Pairs has names and values in turn.
func Headers(t testing.TB, pairs ...string) *policy.Headers {
	t.Helper()
	var edits config.HeaderEdits
	for p := range slices.Chunk(pairs, 2) {
		edits.Set = append(edits.Set, config.Header{Name: p[0], Value: p[1], Kroxy: true})
	}
	h, problems := policy.CompileRequestHeaders(edits)
	if problems != nil {
		t.Fatal(problems)
	}
	return h
}
