package main

import (
	"net"
	"strconv"

	"kroxy-ev/config"
	"kroxy-ev/engine"
	"kroxy-ev/engine/accesslog"
	"kroxy-ev/engine/upstream"
	"kroxy-ev/httpcodec"
	"kroxy-ev/streamcodec"
)

// server is a codec's server on one loop, as far as a reactor needs it.
type server interface {
	Serve(fd int, limit *engine.Limit, paused func(error)) (*engine.Listener, error)
	Shutdown(drained func())
	Abort()
}

// reactor is one loop and what serves on it.
type reactor struct {
	loop   *engine.Loop
	server server
	counts func() counts // may be called from any goroutine
}

// newReactor makes a reactor for the configured mode.
func (p *proxy) newReactor(loop *engine.Loop, row int, access *accesslog.Buffer) *reactor {
	connector := upstream.NewConnector(loop, row, p.log)
	if p.cfg.Mode == config.ModeHTTP {
		v := httpcodec.NewServer(loop, httpcodec.Options{Settings: p.http, Connector: connector, Row: row, MaxIdle: p.budget.idle, Access: access, Log: p.log})
		return &reactor{loop, v, func() counts {
			s := v.Stats()
			return counts{active: s.Active.Load(), total: s.Exchanges.Load(), up: s.BytesUp.Load(), down: s.BytesDown.Load()}
		}}
	}
	v := streamcodec.NewServer(loop, streamcodec.Options{Settings: p.stream, Connector: connector, Access: access, Log: p.log})
	return &reactor{loop, v, func() counts {
		s := v.Stats()
		return counts{active: s.Active.Load(), total: s.Sessions.Load(), up: s.BytesUp.Load(), down: s.BytesDown.Load()}
	}}
}

// streamSettings turns the configuration into what stream mode needs.
func streamSettings(cfg *config.Config, g *upstream.Group) *streamcodec.Settings {
	return &streamcodec.Settings{
		Group:            g,
		ReadTimeout:      cfg.ReadTimeout,
		SendTimeout:      cfg.SendTimeout,
		ProxyReadTimeout: cfg.ProxyReadTimeout,
		ProxySendTimeout: cfg.ProxySendTimeout,
	}
}

// httpSettings turns the configuration into what http mode needs.
func httpSettings(cfg *config.Config, g *upstream.Group) (*httpcodec.Settings, error) {
	var list []httpcodec.Header
	for _, h := range cfg.Headers {
		list = append(list, httpcodec.Header(h))
	}
	headers, err := httpcodec.CompileHeaders(list)
	if err != nil {
		return nil, err
	}
	s := &httpcodec.Settings{
		Group:                    g,
		Headers:                  headers,
		ClientHeaderTimeout:      cfg.ClientHeaderTimeout,
		ClientBodyTimeout:        cfg.ClientBodyTimeout,
		KeepaliveTimeout:         cfg.KeepaliveTimeout,
		SendTimeout:              cfg.SendTimeout,
		ProxyReadTimeout:         cfg.ProxyReadTimeout,
		ProxySendTimeout:         cfg.ProxySendTimeout,
		UpstreamKeepalive:        cfg.UpstreamKeepalive,
		UpstreamKeepaliveTimeout: cfg.UpstreamKeepaliveTimeout,
		MaxBodySize:              cfg.MaxBodySize,
		UpstreamHost:             cfg.UpstreamHost,
		Forwarded:                cfg.ForwardedHeaders,
		Trusted:                  cfg.TrustedProxies,
	}
	for _, h := range cfg.Group(cfg.ProxyTo).Hosts {
		s.Names = append(s.Names, httpcodec.HostName{Name: []byte(h.Name), Authority: []byte(authority(h))})
	}
	return s, nil
}

// authority is how Host names h: without the port where it is http's own.
func authority(h config.Host) string {
	if h.Port != 80 {
		return net.JoinHostPort(h.Name, strconv.Itoa(int(h.Port)))
	}
	if ip := net.ParseIP(h.Name); ip != nil && ip.To4() == nil {
		return "[" + h.Name + "]"
	}
	return h.Name
}
