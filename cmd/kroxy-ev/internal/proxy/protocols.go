package proxy

import (
	"strings"

	"kroxy-ev/config"
	"kroxy-ev/engine/upstream"
	"kroxy-ev/httpcodec"
)

// clientProtocols returns the protocols that clients of l may speak.
func clientProtocols(l *config.Listen) (p httpcodec.Protocols) {
	for _, name := range l.Protocols {
		switch name {
		case config.ProtocolHTTP1:
			p |= httpcodec.HTTP1
		case config.ProtocolHTTP2:
			p |= httpcodec.HTTP2
		case config.ProtocolH2C:
			p |= httpcodec.H2C
		}
	}
	return p
}

// offer returns the protocols that ALPN offers to clients of l, the preferred one first; none in stream mode, where the protocol is unknown.
func offer(l *config.Listen) (list []string) {
	for _, name := range l.Protocols {
		list = append(list, name)
		if name == config.ProtocolHTTP1 {
			list = append(list, "http/1.0")
		}
	}
	return list
}

// offerID identifies an offer.
func offerID(l *config.Listen) string { return strings.Join(l.Protocols, " ") }

// hostProtocol returns the protocol that hosts of g are spoken to in.
func hostProtocol(g *config.Group) upstream.Protocol {
	switch g.Protocol {
	case config.ProtocolHTTP2, config.ProtocolH2C:
		return upstream.HTTP2
	case config.ProtocolAuto:
		return upstream.Auto
	}
	return upstream.HTTP1
}

// hostOffer returns the protocols that ALPN offers to hosts; none in stream mode.
func hostOffer(use groupUse) []string {
	if use.mode != config.ModeHTTP {
		return nil
	}
	switch hostProtocol(use.group) {
	case upstream.HTTP2:
		return []string{config.ProtocolHTTP2}
	case upstream.Auto:
		return []string{config.ProtocolHTTP2, config.ProtocolHTTP1}
	default:
		return []string{config.ProtocolHTTP1}
	}
}
