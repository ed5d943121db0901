package main

import (
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"kroxy-ev/cmd/kroxy-ev/internal/proxy"
	"kroxy-ev/cmd/kroxy-ev/internal/readout"
)

// figures prints the traffic of a demo's proxies each second.
type figures struct {
	quit    chan struct{}
	running sync.WaitGroup
}

// startFigures prints a line about each proxy to w each second, until stop. If a write fails, it calls failed and prints no more.
func startFigures(proxies []*demoProxy, w io.Writer, failed func()) *figures {
	f := &figures{quit: make(chan struct{})}
	f.running.Go(func() {
		tick := time.NewTicker(time.Second)
		defer tick.Stop()
		last := make([]proxy.Counts, len(proxies))
		for i, p := range proxies {
			last[i] = p.Counts()
		}
		for {
			select {
			case <-f.quit:
				return
			case <-tick.C:
			}
			var lines strings.Builder
			for i, p := range proxies {
				now := p.Counts()
				fmt.Fprintf(&lines, "%s  %-6s  %s%s\n", now.At.Format(time.TimeOnly), p.mode, line(now, last[i]), p.HostCounts())
				last[i] = now
			}
			if _, err := io.WriteString(w, lines.String()); err != nil {
				failed()
				return
			}
		}
	})
	return f
}

// stop ends the printing and waits until it has ended.
func (f *figures) stop() {
	close(f.quit)
	f.running.Wait()
}

// line describes the traffic since last.
func line(now, last proxy.Counts) string {
	seconds := max(now.At.Sub(last.At).Seconds(), 1e-3)
	rate := func(after, before int64) float64 { return float64(after-before) / seconds }
	return fmt.Sprintf("%d active, %d total, %.0f/s  down %s/s  up %s/s  hosts",
		now.Active, now.Total, rate(now.Total, last.Total),
		readout.Bytes(rate(now.Down, last.Down)), readout.Bytes(rate(now.Up, last.Up)))
}
