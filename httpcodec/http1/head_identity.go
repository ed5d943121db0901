package http1

import "kroxy-ev/httpcodec/fieldname"

// Identity fields tell a host who a client is, and what it asked a proxy for. Hosts believe them, so that only this proxy and those
// it trusts may write them. Hosts and their frameworks do not know names as they came, either: what is handed on as a
// variable (RFC 3875 section 4.1.18) has no letter case, and one character for "-", "_" and whatever else is neither letter
// nor digit. So these names are told by what such readers make of them (package fieldname).

// identityNames are names of identity fields, and who believes them.
var identityNames = newNames(
	"forwarded",     // RFC 7239
	"forwarded-for", // libraries that guess

	// The client's address.
	"x-real-ip", "x-real-port", // nginx, Traefik; Gin, Echo, chi
	"client-ip", "x-client-ip", "x-cluster-client-ip", // Rails, PHP, balancers
	"true-client-ip", "cf-connecting-ip", "cf-connecting-ipv6", "fastly-client-ip", "x-azure-clientip", "x-azure-socketip", // CDNs; chi, Gin
	"proxy-client-ip", "wl-proxy-client-ip", "http-client-ip", "http-x-forwarded-for", // Java
	"x-remote-ip", "x-remote-addr", "x-originating-ip", // libraries that guess

	// What was asked for: a host that believes these may serve what the request line does not say.
	"x-scheme", "x-url-scheme", "front-end-https", "x-script-name", // Rack, WSGI, Exchange
	"x-original-for", "x-original-forwarded-for", "x-original-proto", "x-original-host", // ASP.NET, Kubernetes
	"x-original-url", "x-original-uri", "x-rewrite-url", // IIS, Symfony, Zend

	"x-request-id", // what proxies and services tell requests apart by, in all logs

	// The client's certificate.
	"client-cert", "client-cert-chain", "x-client-cert", // RFC 9440
)

// identityFamilies are the beginnings of further ones: the name ends there, or "-" follows.
var identityFamilies = [...]string{
	"x-forwarded",                // -For, -Proto, -Protocol, -Scheme, -Ssl, -Host, -Port, -Prefix, -Server, -By, -User, -Client-Cert …
	"x-ssl-client", "ssl-client", // -Cert, -Verify, -S-DN …: HAProxy, ingress-nginx
}

// aliasStarts says which first letters the names have that identifyAlike knows, by their length: the bit of letter c is c&31.
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

// framingNames are names that some hosts take for those of the fields that frame a message, however they are spelled.
var framingNames = [...]string{"content-length", "transfer-encoding"}

// mayBeAlias reports whether identifyAlike has to be asked. It says no to most names, at the cost of a look.
func mayBeAlias(name []byte) bool {
	return aliasStarts[min(len(name), len(aliasStarts)-1)]>>(name[0]&31)&1 != 0
}

// identifyAlike finds the ID of an identity field, whatever its spelling, or fieldFramingAlias.
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

// spelled reports whether the name of an identity field is spelled as proxies spell it: "-" is its only character beside
// letters and digits.
func spelled(name []byte) bool {
	for _, c := range name {
		if fieldname.Alike[c] == '-' && c != '-' {
			return false
		}
	}
	return true
}
