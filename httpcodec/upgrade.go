package httpcodec

import (
	"kroxy-ev/engine/upstream"
	"kroxy-ev/logformat"
	"kroxy-ev/streamcodec"
)

// tunnel hands both connections over to a stream session: the protocol was switched. The exchange is over with that; what
// its log line will say of the request is copied, so that a tunnel holds no buffers while it is idle.
func (x *exchange) tunnel() {
	v, c, host := x.server, x.client, x.host
	began, r := x.began, x.route
	var record logformat.Record
	v.fill(&record, x, true)
	x.retain(&record)
	early := append(v.out[:0], x.in[x.next:]...)
	v.out = early[:0]
	x.host = upstream.Claim{}
	v.loop.Disarm(&c.timer)
	x.finish()
	c.state = clientTunnelled
	v.tunnels.Tunnel(&streamcodec.Tunnel{
		Client: &c.conn, Host: &host.Conn.Conn, Peer: c.peer, Lease: &host.Lease, Early: early, Group: host.Group,
		Route: &streamcodec.Route{
			ReadTimeout: r.ProxyReadTimeout, SendTimeout: r.SendTimeout, ProxyReadTimeout: r.ProxyReadTimeout, ProxySendTimeout: r.ProxySendTimeout,
		},
		After: func(end logformat.End, up, down int64) {
			if record.End = end; end == logformat.ReadTimeout {
				record.End = logformat.ProxyReadTimeout // which bounds both
			}
			record.BytesUpstream += up
			record.BytesDownstream += down
			v.accountRecord(c, &record, began)
			v.closed(c)
		},
	})
	host.Release(upstream.Report{}) // its connection and lease are the session's
}
