package httpcodec

import (
	"errors"

	"kroxy-ev/balance"
	"kroxy-ev/engine/opening"
	"kroxy-ev/engine/tlsconn"
	"kroxy-ev/engine/upstream"
)

// Opened implements opening.Owner.
func (c *h1client) Opened(err error) {
	c.opening, c.state = nil, clientOpen
	log, addr := c.server.log, c.peer.Client.Addr()
	var header *opening.HeaderError
	switch {
	case err == nil:
		c.serve()
	case opening.Silent(err), errors.Is(err, tlsconn.ErrHandshakeCut):
		// The client left, or never meant to speak, like a check whether the port is open.
		log.Debug("http: a client left before its first request", "client", addr, "error", err)
		c.close()
	case errors.As(err, &header):
		log.Info("http: a client was refused", "client", addr, "error", err)
		c.reset()
	case errors.Is(err, tlsconn.ErrPlainHTTP):
		c.begin()
		c.x.refusePlain()
	default:
		log.Info("http: a client's handshake failed", "client", addr, "error", err)
		if errors.Is(err, tlsconn.ErrHandshakeTimeout) {
			c.close()
		} else {
			c.startLinger() // so that the client receives the alert, which says why
		}
	}
}

// refusePlain answers a client that speaks plain HTTP to a TLS port.
func (x *exchange) refusePlain() {
	p := x.server.loop.Scratch()[:firstRead]
	if n, err := x.client.conn.Peek(p); err == nil { // the request decides the form of the answer
		x.in = append(x.grow(nil, n), p[:n]...)
		_, _ = x.req.Parse(x.in)
	}
	x.failed(causePlain, nil)
	x.closes = true
	x.replyWith(causePlain.status, appendPlainHTTP)
}

func appendPlainHTTP(dst []byte, p *Reply) []byte {
	p.Hint = "This port expects TLS, but received a plain HTTP request. Use https instead."
	return AppendError(dst, causePlain.status, p)
}

// key returns the key by which a host is chosen. It is valid until the next call for any exchange.
func (x *exchange) key() []byte {
	v := x.server
	switch g := x.target.Group; g.Balance.Key() {
	case balance.KeyHost:
		return x.req.HostName()
	case balance.KeyServerName:
		return x.client.peer.Name()
	case balance.KeyClient:
		v.key = upstream.AppendAddrKey(v.key[:0], x.client.peer.Client.Addr())
	case balance.KeyTemplate:
		v.key = g.AppendKey(v.key[:0], v.values(x, g.HashKey.Need()))
	case balance.KeyNone:
		return nil
	}
	return v.key
}
