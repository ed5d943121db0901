package config

import (
	"net/netip"
	"strings"
	"unicode/utf8"
)

// hostName checks a host's name and returns its canonical form: an IPv6 address
// loses its brackets. The result what is "" if the name is valid.
//
// A name consists of labels of letters, digits, '-' and '_' (which is not legal in
// host names, but common in container networks) with the size
// limits of RFC 1035 section 2.3.4. A name whose last label is a number must be an
// IPv4 address (RFC 3696 section 2).
func hostName(s string) (name, what, remedy string) {
	const example = `write a name such as "db.example.com" or an address such as "10.0.0.1" or "::1"`
	bad := func(why, remedy string) (string, string, string) {
		return "", quote(s) + " " + why, remedy
	}

	alone := func(host string) string {
		if host = strings.Trim(host, "[] \t\r\n"); host == "" || strings.HasSuffix(host, ":") {
			return example
		}
		return "write the host alone: " + quote(host)
	}
	if scheme, rest, ok := strings.Cut(s, "://"); ok {
		rest, _, _ = strings.Cut(rest, "/")
		remedy := alone(rest)
		if scheme == "https" {
			remedy += `, with "proxy_tls_enabled": true in its group`
		}
		if host, port := splitAddress(rest); port != "" {
			remedy = alone(host) + `, and "port": ` + port
		}
		return bad("is a URL, not a host", remedy)
	}
	if strings.Contains(s, "/") {
		host, _, _ := strings.Cut(s, "/")
		return bad("has a path or a prefix length in it", alone(host))
	}
	if strings.ContainsAny(s, " \t\r\n") {
		remedy := example
		if fields := strings.Fields(s); len(fields) == 1 {
			remedy = alone(fields[0])
		}
		return bad("has white space in it", remedy)
	}

	bare := s
	bracketed := strings.HasPrefix(s, "[") && strings.HasSuffix(s, "]")
	if bracketed {
		bare = s[1 : len(s)-1]
	}
	if addr, err := netip.ParseAddr(bare); err == nil {
		switch {
		case bracketed && addr.Is4():
			return bad("has brackets around an IPv4 address", "write "+quote(bare))
		case strings.IndexFunc(addr.Zone(), func(r rune) bool { return !isWord(r) && r != '.' && r != '-' }) >= 0:
			return bad("has an impossible zone after '%'", `write the name of an interface, as in "fe80::1%eth0"`)
		}
		return bare, "", ""
	}
	if host, port := splitAddress(s); port != "" && (strings.Count(s, ":") == 1 || strings.Contains(s, "]:")) {
		return bad("has a port in it", alone(host)+`, and "port": `+port)
	}
	if strings.ContainsAny(s, ":[]") {
		return bad("is not an IPv6 address", example)
	}

	if utf8.RuneCountInString(s) != len(s) {
		return bad("has letters outside ASCII", `write its ASCII form, which begins a label with "xn--"`)
	}
	labels := strings.Split(strings.TrimSuffix(s, "."), ".")
	for _, label := range labels {
		switch {
		case label == "":
			return bad("has an empty part between dots", example)
		case len(label) > 63:
			return bad("has a part longer than 63 characters", example)
		case label[0] == '-' || label[len(label)-1] == '-':
			return bad("has a part that begins or ends with '-'", example)
		}
		for _, r := range label {
			if !isWord(r) && r != '-' {
				return bad("has the character "+quote(string(r))+" in it", example)
			}
		}
	}
	switch last := labels[len(labels)-1]; {
	case strings.Trim(last, "0123456789") == "":
		return bad("is not an IPv4 address", "write four numbers from 0 to 255 without leading zeros, or a name")
	case len(s) > 254:
		return bad("is longer than 253 characters", example)
	}
	return s, "", ""
}
