package httpcodec

import (
	"kroxy-ev/engine/upstream"
	"kroxy-ev/logformat"
	"kroxy-ev/streamcodec"
)

// tunnel passes both connections to a stream session after the protocol was switched. The exchange is then over. The parts of the
// request that its log line needs are copied, so that an idle tunnel holds no buffers.
func (x *exchange) tunnel() {
	v, host := x.server, x.host
	c := x.downstream.(*h1client) // HTTP/2 has no protocol switch (RFC 9113 section 8.6)
	at, began, status, r, server := x.places(), x.began, x.finalStatus(), x.route, &streamcodec.Settings{Place: c.settings.Place}
	x.endSpan()
	var record logformat.Record
	v.fill(&record, x, true)
	x.retain(&record)
	early := append(v.out[:0], x.in[x.next:]...)
	v.out = early[:0]
	report := x.answerReport()
	v.connector.Count(host.Group, host.Lease.Host(), &report) // how the tunnel ends says nothing about how the request was answered
	x.host = upstream.Claim{}
	v.loop.Disarm(&c.timer)
	x.finish()
	c.state = clientTunnelled
	v.tunnels.Tunnel(&streamcodec.Tunnel{
		Client: &c.conn, Host: &host.Conn.Conn, Peer: c.peer, Lease: &host.Lease, Early: early, Server: server, Group: host.Group, Open: host.Conn.HandOver(),
		Route: &streamcodec.Route{Route: r.Route, Place: r.Place},
		After: func(end logformat.End, up, down int64) {
			if record.End = end; end == logformat.ReadTimeout {
				record.End = logformat.ProxyReadTimeout // since it applies to both sides of a tunnel
			}
			record.BytesUpstream += up
			record.BytesDownstream += down
			v.count(at, status, record.End, began)
			v.logRecord(&c.client, &record, began, r.LogIf)
			v.closed(c)
		},
	})
	host.Release(upstream.Report{}) // the session owns the connection and the lease
}
