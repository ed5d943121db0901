package opening

import (
	"crypto/tls"
	"errors"

	"kroxy-ev/engine/metrics"
	"kroxy-ev/engine/tlsconn"
)

// count counts a failed opening.
func (v *Opener) count(r *Rules, err error) {
	m := v.metrics.Server(r.Place)
	var header *HeaderError
	switch {
	case errors.As(err, &header):
		m.Refused.Count(header.refusal())
	case r.TLS != nil:
		m.HandshakeErrors.Count(handshakeError(err))
	case Silent(err):
		m.Refused.Count(metrics.RefusedSilent)
	default:
		m.Refused.Count(metrics.RefusedHello)
	}
}

// versionNumber returns the number of a TLS version that a handshake may negotiate.
func versionNumber(name string) uint16 {
	if name == tls.VersionName(tls.VersionTLS13) {
		return tls.VersionTLS13
	}
	return tls.VersionTLS12
}

// refusal returns how e is counted.
func (e *HeaderError) refusal() metrics.Refusal {
	switch {
	case errors.Is(e, ErrStranger):
		return metrics.RefusedStranger
	case errors.Is(e, ErrHeaderTimeout):
		return metrics.RefusedTimeout
	case errors.Is(e, ErrSilent):
		return metrics.RefusedSilent
	}
	return metrics.RefusedHeader
}

// handshakeError returns how a failed handshake is counted.
func handshakeError(err error) metrics.HandshakeError {
	switch {
	case errors.Is(err, tlsconn.ErrHandshakeTimeout):
		return metrics.HandshakeTimeout
	case errors.Is(err, tlsconn.ErrSilent):
		return metrics.HandshakeSilent
	case errors.Is(err, tlsconn.ErrHandshakeCut):
		return metrics.HandshakeCut
	case errors.Is(err, tlsconn.ErrPlainHTTP):
		return metrics.HandshakePlain
	}
	return metrics.HandshakeFailed
}
