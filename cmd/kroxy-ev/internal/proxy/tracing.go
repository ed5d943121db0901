package proxy

import (
	"kroxy-ev/config"
	"kroxy-ev/engine/trace"
)

// exporterFor returns the exporter of spans for cfg; nil if there is no tracing. All snapshots share one exporter.
func (p *Proxy) exporterFor(cfg *config.Config) *trace.Exporter {
	if cfg.Tracing == nil {
		return nil
	}
	if p.exporter == nil {
		p.exporter = trace.NewExporter(trace.Options{
			Settings: collector(cfg.Tracing),
			Report:   func(err error) { p.traffic.Warn("tracing: spans cannot be sent", "error", err) },
			Lost:     func(spans int) { p.process.SpansLost.Add(uint64(spans)) },
		})
	}
	return p.exporter
}

func collector(t *config.Tracing) trace.Settings {
	return trace.Settings{URL: t.URL, Service: t.Service}
}

// followTracing sends spans where the configuration in force says.
func (p *Proxy) followTracing() {
	if t := p.now.cfg.Tracing; t != nil {
		p.exporter.Follow(collector(t))
	}
}

// SpansLost returns how many spans were lost since the start.
func (p *Proxy) SpansLost() uint64 {
	if p.exporter == nil {
		return 0
	}
	return p.exporter.Lost()
}

// trace makes the reactor record its exchanges as s says. It must be called on the loop.
func (r *reactor) trace(s *Snapshot) {
	if s.exporter == nil {
		r.http.Trace(nil)
		return
	}
	if r.recorder == nil {
		r.recorder = s.exporter.NewRecorder()
	}
	r.recorder.Sample(s.cfg.Tracing.Sampling)
	r.http.Trace(r.recorder)
}
