package httpcodec

import (
	"context"
	"log/slog"
	"time"

	"kroxy-ev/engine"
	"kroxy-ev/engine/upstream"
	"kroxy-ev/httpcodec/h2conn"
	"kroxy-ev/httpcodec/http2"
)

// hostLimits are the limits of connections to hosts. The connection's window is as large as the windows of all its streams
// together: the streams belong to different clients, and a client that reads slowly must not block others.
var hostLimits = func() h2conn.Limits {
	l := h2conn.DefaultLimits
	l.ConnWindow = l.MaxStreams * l.Window
	return l
}()

// hostTimeouts bound waits on a connection to a host that no exchange bounds. The connector bounds how long a session takes to
// start, and each exchange bounds its own writes.
var hostTimeouts = h2conn.Timeouts{Head: time.Minute, Send: time.Minute}

// sessions makes HTTP/2 sessions of connections to hosts.
type sessions struct {
	muxer *h2conn.Muxer
	log   *slog.Logger
}

// Begin implements upstream.Multiplexer.
func (m *sessions) Begin(c *engine.Conn, g *upstream.Group, o upstream.SessionOwner) upstream.Session {
	return m.muxer.Dial(c, &hostOwner{o, g, m.log}, &hostLimits, hostTimeouts)
}

// hostOwner reports events on a session's connection to the session's owner.
type hostOwner struct {
	owner upstream.SessionOwner
	group *upstream.Group
	log   *slog.Logger
}

// Opened implements h2conn.Owner. Hosts do not open streams.
func (o *hostOwner) Opened(*h2conn.Stream) {}

// Refused implements h2conn.Owner.
func (o *hostOwner) Refused(err *http2.Error) {
	if o.log.Enabled(context.Background(), slog.LevelDebug) {
		o.log.Debug("http: a host sent a frame that belongs to no request", "group", o.group.Name, "reason", err)
	}
}

// Changed implements h2conn.Owner.
func (o *hostOwner) Changed() { o.owner.SessionChanged() }

// Closed implements h2conn.Owner.
func (o *hostOwner) Closed(err error) { o.owner.SessionClosed(err) }
