package main

import (
	"fmt"
	"io"
	"strings"
	"sync"
	"time"
)

// figures prints what passes through the proxies of a demo each second.
type figures struct {
	quit    chan struct{}
	running sync.WaitGroup
}

// counts is a proxy's figures at one time.
type counts struct {
	at                      time.Time
	active, total, down, up int64
}

// startFigures has a line about each of the proxies printed to w each second, until stop. If that fails, which is told to failed,
// no more are.
func startFigures(proxies []*demoProxy, w io.Writer, failed func()) *figures {
	f := &figures{quit: make(chan struct{})}
	f.running.Go(func() {
		tick := time.NewTicker(time.Second)
		defer tick.Stop()
		last := make([]counts, len(proxies))
		for i, p := range proxies {
			last[i] = p.counts()
		}
		for {
			select {
			case <-f.quit:
				return
			case <-tick.C:
			}
			var lines strings.Builder
			for i, p := range proxies {
				now := p.counts()
				fmt.Fprintf(&lines, "%s  %-6s  %s%s\n", now.at.Format(time.TimeOnly), p.mode, now.line(last[i]), p.hostCounts())
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

// stop returns when no more lines will be printed.
func (f *figures) stop() {
	close(f.quit)
	f.running.Wait()
}

// counts adds the reactors' figures up.
func (p *proxy) counts() counts {
	c := counts{at: time.Now()}
	for _, r := range p.reactors {
		n := r.counts()
		c.active += n.active
		c.total += n.total
		c.down += n.down
		c.up += n.up
	}
	return c
}

// line tells what happened since last.
func (c counts) line(last counts) string {
	seconds := max(c.at.Sub(last.at).Seconds(), 1e-3)
	rate := func(now, before int64) float64 { return float64(now-before) / seconds }
	return fmt.Sprintf("%d active, %d total, %.0f/s  down %s/s  up %s/s  hosts",
		c.active, c.total, rate(c.total, last.total),
		bytesText(rate(c.down, last.down)), bytesText(rate(c.up, last.up)))
}

// hostCounts tells how many sessions each host has had, those that it has now included.
func (p *proxy) hostCounts() string {
	var b strings.Builder
	for _, g := range p.now.groups {
		hosts := g.Balance.Hosts()
		for i := range hosts.Len() {
			fmt.Fprintf(&b, " %c=%d", 'A'+i, hosts.Served(i)+hosts.Active(i))
		}
	}
	return b.String()
}

// bytesText is n bytes for people, in powers of 1000.
func bytesText(n float64) string {
	unit := 0
	for ; n >= 999.5 && unit < 3; unit++ {
		n /= 1000
	}
	if unit == 0 {
		return fmt.Sprintf("%.0f B", n)
	}
	return fmt.Sprintf("%.1f %cB", n, "?kMG"[unit])
}
