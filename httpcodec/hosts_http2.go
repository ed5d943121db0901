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

// hostLimits are what a connection to a host may take. Its window has room for those of all its streams: they belong to different clients, and one
// that reads slowly is in nobody else's way.
var hostLimits = func() h2conn.Limits {
	l := h2conn.DefaultLimits
	l.ConnWindow = l.MaxStreams * l.Window
	return l
}()

// hostTimeouts bound waits for a host that no exchange bounds: how long a session is made, and whether a stream may be sent, others see to.
var hostTimeouts = h2conn.Timeouts{Head: time.Minute, Send: time.Minute}

// sessions makes connections to hosts carry HTTP/2.
type sessions struct {
	muxer *h2conn.Muxer
	log   *slog.Logger
}

// Begin implements upstream.Multiplexer.
func (m *sessions) Begin(c *engine.Conn, g *upstream.Group, o upstream.SessionOwner) upstream.Session {
	return m.muxer.Dial(c, &hostOwner{o, g, m.log}, &hostLimits, hostTimeouts)
}

// hostOwner has the owner of a session told what happens on its connection.
type hostOwner struct {
	owner upstream.SessionOwner
	group *upstream.Group
	log   *slog.Logger
}

// Opened implements h2conn.Owner; hosts begin no streams.
func (o *hostOwner) Opened(*h2conn.Stream) {}

// Refused implements h2conn.Owner.
func (o *hostOwner) Refused(err *http2.Error) {
	if o.log.Enabled(context.Background(), slog.LevelDebug) {
		o.log.Debug("http: a host sends what belongs to no request", "group", o.group.Name, "reason", err)
	}
}

// Changed implements h2conn.Owner.
func (o *hostOwner) Changed() { o.owner.SessionChanged() }

// Closed implements h2conn.Owner.
func (o *hostOwner) Closed(err error) { o.owner.SessionClosed(err) }
