package http1

import "kroxy-ev/httpcodec/fieldname"

// Identity fields tell a host who a client is, and what the client requested from a proxy. Hosts trust them, so only this proxy
// and the proxies it trusts may write them. Hosts and their frameworks often do not see the original names: a field that is
// passed on as a variable (RFC 3875 section 4.1.18) loses its case, and "-", "_" and other characters that are neither letters
// nor digits become the same. So these names are compared as such readers see them (package fieldname).

// identityNames has the names of identity fields; the comments say who trusts them.
var identityNames = newNames(
	"forwarded",     // RFC 7239
	"forwarded-for", // used by libraries that guess

	// The client's address.
	"x-real-ip", "x-real-port", // nginx, Traefik; Gin, Echo, chi
	"client-ip", "x-client-ip", "x-cluster-client-ip", // Rails, PHP, balancers
	"true-client-ip", "cf-connecting-ip", "cf-connecting-ipv6", "fastly-client-ip", "x-azure-clientip", "x-azure-socketip", // CDNs; chi, Gin
	"proxy-client-ip", "wl-proxy-client-ip", "http-client-ip", "http-x-forwarded-for", // Java
	"x-remote-ip", "x-remote-addr", "x-originating-ip", // used by libraries that guess

	// What was requested: a host that trusts these may serve something other than the request line says.
	"x-scheme", "x-url-scheme", "front-end-https", "x-script-name", // Rack, WSGI, Exchange
	"x-original-for", "x-original-forwarded-for", "x-original-proto", "x-original-host", // ASP.NET, Kubernetes
	"x-original-url", "x-original-uri", "x-rewrite-url", // IIS, Symfony, Zend

	"x-request-id", // by which proxies and services identify requests in all logs

	// The client's certificate.
	"client-cert", "client-cert-chain", "x-client-cert", // RFC 9440
)

// identityFamilies are prefixes of further names. The name ends after the prefix, or "-" follows.
var identityFamilies = [...]string{
	"x-forwarded",                // -For, -Proto, -Protocol, -Scheme, -Ssl, -Host, -Port, -Prefix, -Server, -By, -User, -Client-Cert …
	"x-ssl-client", "ssl-client", // -Cert, -Verify, -S-DN …: HAProxy, ingress-nginx
}

// aliasStarts has, by length of the name, the set of first letters of the names that identifyAlike knows. Letter c is bit c&31.
var aliasStarts = findAliasStarts()

func findAliasStarts() (t [len(names{})]uint32) {
	for n, list := range identityNames {
		for _, low := range list {
			t[n] |= 1 << (low[0] & 31)
		}
	}
	for _, low := range identityFamilies {
		for n := len(low); n < len(t); n++ {
			t[n] |= 1 << (low[0] & 31)
		}
	}
	for _, low := range framingNames {
		t[len(low)] |= 1 << (low[0] & 31)
	}
	return t
}

// framingNames has names that some hosts recognize as framing fields in alternative spellings.
var framingNames = [...]string{"content-length", "transfer-encoding"}

// mayBeAlias reports whether identifyAlike must be called. For most names a single lookup shows that it need not be.
func mayBeAlias(name []byte) bool {
	return aliasStarts[min(len(name), len(aliasStarts)-1)]>>(name[0]&31)&1 != 0
}

// identifyAlike returns the ID of an identity field in any spelling, or fieldFramingAlias.
func identifyAlike(name []byte) fieldID {
	for _, low := range framingNames {
		if fieldname.EqualAlike(name, low) {
			return fieldFramingAlias
		}
	}
	switch {
	case fieldname.EqualAlike(name, "x-forwarded-for"):
		return fieldForwardedFor
	case fieldname.EqualAlike(name, "x-forwarded-host"):
		return fieldForwardedHost
	case fieldname.EqualAlike(name, "x-forwarded-proto"):
		return fieldForwardedProto
	case fieldname.EqualAlike(name, "x-request-id"):
		return fieldRequestID
	case identityNames.has(name):
		return fieldIdentity
	}
	for _, low := range identityFamilies {
		if fieldname.HasPrefixAlike(name, low) && (len(name) == len(low) || fieldname.Alike[name[len(low)]] == '-') {
			return fieldIdentity
		}
	}
	return fieldOther
}

// isCanonical reports whether the name of an identity field is spelled as proxies write it, with "-" as the only character that
// is not a letter or digit.
func isCanonical(name []byte) bool {
	for _, c := range name {
		if fieldname.Alike[c] == '-' && c != '-' {
			return false
		}
	}
	return true
}
