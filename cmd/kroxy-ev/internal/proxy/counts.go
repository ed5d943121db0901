package proxy

import (
	"fmt"
	"strings"
	"time"
)

// Counts is a proxy's figures at one time.
type Counts struct {
	At                      time.Time
	Active, Total, Down, Up int64
}

// Counts returns the sums of the reactors' figures.
func (p *Proxy) Counts() Counts {
	c := Counts{At: time.Now()}
	for _, r := range p.reactors {
		n := r.counts()
		c.Active += n.Active
		c.Total += n.Total
		c.Down += n.Down
		c.Up += n.Up
	}
	return c
}

// HostCounts describes how many sessions each host has had, including current ones.
func (p *Proxy) HostCounts() string {
	var b strings.Builder
	for _, g := range p.now.groups {
		hosts := g.Balance.Hosts()
		for i := range hosts.Len() {
			fmt.Fprintf(&b, " %c=%d", 'A'+i, hosts.Served(i)+hosts.Active(i))
		}
	}
	return b.String()
}
