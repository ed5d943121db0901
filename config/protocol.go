package config

import (
	"slices"
	"strings"
)

// Protocols, as named in configurations.
const (
	ProtocolHTTP1 = "http/1.1" // with clients, 1.0 too
	ProtocolHTTP2 = "h2"       // HTTP/2 over TLS (RFC 9113)
	ProtocolH2C   = "h2c"      // HTTP/2 without TLS, by prior knowledge
	ProtocolAuto  = "auto"     // with hosts: HTTP/2 if negotiated by ALPN (RFC 7301), else HTTP/1.1
)

// The protocols for clients, and those for hosts, of which the first is the default.
var (
	clientProtocols = []string{ProtocolHTTP2, ProtocolHTTP1, ProtocolH2C}
	hostProtocols   = []string{ProtocolHTTP1, ProtocolHTTP2, ProtocolH2C, ProtocolAuto}
)

// foreignProtocols maps other programs' protocol names, in lower case, to those of this program.
var foreignProtocols = map[string]string{
	"http2": eitherHTTP2, "http/2": eitherHTTP2, "http/2.0": eitherHTTP2, "2": eitherHTTP2, "grpc": eitherHTTP2, "grpcs": `"h2"`,
	"h1": `"http/1.1"`, "http": `"http/1.1"`, "http1": `"http/1.1"`, "http1.1": `"http/1.1"`, "http/1": `"http/1.1"`, "http/1.0": `"http/1.1"`, "1.1": `"http/1.1"`,
	"h3": noHTTP3, "http3": noHTTP3, "http/3": noHTTP3, "quic": noHTTP3,
}

const (
	eitherHTTP2 = `"h2" over TLS, or "h2c" without`
	noHTTP3     = "nothing: HTTP/3 is not supported"
)

// protocolRemedy returns the remedy for a word that is not among words.
func protocolRemedy(word string, words []string) string {
	lower := strings.ToLower(word)
	switch ours := foreignProtocols[lower]; {
	case slices.Contains(words, lower):
		return didYouMean([]string{lower})
	case ours != "":
		return "here that is " + ours
	default:
		return "write " + list(words)
	}
}

// usualProtocols returns the protocols that clients may speak by default.
func usualProtocols(tls bool) []string {
	if tls {
		return []string{ProtocolHTTP2, ProtocolHTTP1}
	}
	return []string{ProtocolHTTP1}
}

// protocols is an array of the protocols that clients may speak. The default depends on TLS.
type protocols struct{}

func (protocols) fallback() any { return []string(nil) }
func (protocols) spell() string { return "`[\"h2\", \"http/1.1\"]` with TLS, `[\"http/1.1\"]` without" }
func (protocols) schema(modes) schema {
	return schema{"type": "array", "items": schema{"enum": clientProtocols}, "minItems": 1, "uniqueItems": true}
}

func (protocols) decode(o object, n *node, path string) any {
	example := `["h2", "http/1.1"]`
	if n.kind == kindString && slices.Contains(clientProtocols, n.text()) {
		example = "[" + quote(n.text()) + "]"
	}
	elements, good := o.array(n, path, "an array such as "+example), []string{}
	if n.kind == kindArray && len(elements) == 0 {
		o.fail(n, path, "it is empty, so clients could not use any protocol", "write "+example+", or remove it")
	}
	for i := range elements {
		e, at := &elements[i], indexPath(path, i)
		switch word := e.literal(); {
		case e.kind != kindString:
			o.fail(e, at, "must be a string, not "+e.describe(), "write "+list(clientProtocols))
		case !slices.Contains(clientProtocols, word):
			o.fail(e, at, "unknown protocol "+quote(word), protocolRemedy(word, clientProtocols))
		case slices.Contains(good, word):
			o.fail(e, at, quote(word)+" is there twice", "remove one of the two")
		default:
			good = append(good, word)
		}
	}
	if len(good) < len(elements) || len(good) == 0 {
		return []string(nil)
	}
	return good
}

// protocols checks the protocols of l's clients, and fills in the default.
func (o object) protocols(l *Listen) {
	if o.modes != inHTTP {
		return
	}
	n, path := o.child("protocols")
	for i, word := range l.Protocols {
		e, at := &n.elements[i], indexPath(path, i)
		switch {
		case word == ProtocolHTTP2 && !l.TLS:
			o.fail(e, at, `"h2" is HTTP/2 over TLS, but clients do not use TLS here`, `write "h2c", which is HTTP/2 without TLS, or add "tls": true`)
		case word == ProtocolH2C && l.TLS:
			o.fail(e, at, `"h2c" is HTTP/2 without TLS, but clients use TLS here`, `write "h2"`)
		}
	}
	if l.Protocols == nil {
		l.Protocols = usualProtocols(l.TLS)
	}
}

// speaksHTTP2 reports whether clients of l may speak HTTP/2.
func (l Listen) speaksHTTP2() bool {
	return slices.Contains(l.Protocols, ProtocolHTTP2) || slices.Contains(l.Protocols, ProtocolH2C)
}

// protocol is the protocol spoken to the hosts of a group.
type protocol struct{ choice }

func (p protocol) decode(o object, n *node, path string) any {
	if n.kind == kindString && n.text() != "" && !slices.Contains(p.words, n.text()) {
		p.remedy = protocolRemedy(n.text(), p.words)
	}
	return p.choice.decode(o, n, path)
}

// checkProtocol reports a protocol that is impossible or ignored for the hosts of g.
func (o object) checkProtocol(g *Group) {
	if o.modes&inHTTP == 0 {
		g.Protocol = ""
		return
	}
	m := o.node.get("protocol")
	if m == nil || g.Protocol == ProtocolHTTP1 {
		return
	}
	n, path := &m.value, keyPath(o.path, m.key)
	switch tls := g.ProxyTLS.Enabled; {
	case g.Protocol == ProtocolHTTP2 && !tls:
		o.fail(n, path, `"h2" is HTTP/2 over TLS, but the group does not use TLS`, `write "h2c", which is HTTP/2 without TLS, or add "proxy_tls_enabled": true`)
	case g.Protocol == ProtocolH2C && tls:
		o.fail(n, path, `"h2c" is HTTP/2 without TLS, but the group uses TLS`, `write "h2", or "auto" if not all hosts speak it`)
	case g.Protocol == ProtocolAuto && !tls:
		o.warn(m.pos, path, `it is ignored without proxy_tls_enabled: the protocol is negotiated only over TLS, so hosts get HTTP/1.1`,
			`add "proxy_tls_enabled": true, or write "h2c" if the hosts speak HTTP/2`)
		g.Protocol = ProtocolHTTP1
	case g.ProxyProtocol != "":
		o.fail(n, path, quote(g.Protocol)+` cannot be combined with "proxy_protocol": a connection that begins with a PROXY header is for one client, but an HTTP/2 connection is for many`,
			`write "http/1.1", or remove "proxy_protocol": header fields also tell hosts who the client is`)
	}
}
