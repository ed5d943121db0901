package httpcodec

import (
	"kroxy-ev/balance"
	"kroxy-ev/engine/accesslog"
	"kroxy-ev/streamcodec"
)

// tunnel hands both connections over to a stream session: the protocol was switched. The exchange is over with that; what
// its log line will say of the request is copied, so that a tunnel holds no buffers while it is idle.
func (x *exchange) tunnel() {
	v, c, h := x.server, x.client, x.host
	began, lease := x.began, x.lease
	record := accesslog.Record{Client: c.addr, BytesUpstream: x.up.Bytes, BytesDownstream: x.down.Bytes, Status: x.status, TLS: c.tls}
	if v.access != nil {
		method, uri, agent := x.req.Method(), x.req.Target(), x.req.Field("user-agent")
		text := append(append(append(make([]byte, 0, len(method)+len(uri)+len(agent)), method...), uri...), agent...)
		record.Method, text = text[:len(method)], text[len(method):]
		record.URI, record.UserAgent = text[:len(uri)], text[len(uri):]
	}
	early := append(v.out[:0], x.in[x.next:]...)
	v.out = early[:0]
	x.host, x.lease = nil, balance.Lease{}
	v.loop.Disarm(&c.timer)
	x.finish()
	c.state = clientTunnelled
	v.tunnels.Tunnel(&streamcodec.Tunnel{
		Client: &c.conn, Host: &h.conn, Peer: c.addr, Lease: &lease, Early: early,
		After: func(_ streamcodec.Reason, up, down int64) {
			record.BytesUpstream += up
			record.BytesDownstream += down
			v.accountRecord(&record, began)
			v.closed(c)
		},
	})
	h.pool.discard(h)
}
