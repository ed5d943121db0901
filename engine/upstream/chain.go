package upstream

import (
	"iter"
	"net/netip"
)

// A host may lead back to this proxy by a way that no address shows: by other proxies, or by forwarded ports. Then a client's
// connection becomes one to the host, which comes in as a client's, and so on: a chain, which takes every place that there is.
//
// A chain looks like many clients, with one address, of one host that answers none of them. When places for clients are scarce,
// such a host gets no new connections at first, so that there are places for others. If it is done with one of its clients
// meanwhile, it was only slow. If not, whoever was held is refused: that is the end of the chain, or of each of several, and
// takes down all of it, link by link. Who comes later, for a while, goes to another host if there is one: the chain is no more, and
// so nobody comes out of it. A host that is dead, or silent, is treated likewise.

// Waiting is a client that has had nothing yet from the host that it was given to.
type Waiting struct {
	Group  *Group
	Host   int
	Client netip.Addr
}

const (
	// chainLength is how many clients of a codec on a loop may wait for one host whatever happens, and chainShare which part of its
	// clients.
	chainLength, chainShare = 16, 4
	// patience is how long, in ms, a host has to show that it answers, and glance how often a connection that is held looks.
	patience, glance = 1000, 50
	// firstBar and lastBar are for how long, in ms, a host that does not is not connected to: at first, and when it goes on so.
	firstBar, lastBar = 1000, 10_000
)

// Watch looks for chains among the clients of one codec on a loop: another's say nothing of these, be they many or few. Times are
// on the loop's clock, in ms.
type Watch struct {
	connector *Connector
	calls     int // of Crowded until the next look

	suspect Waiting // who may be a chain; the Group is nil if nobody is
	served  int64   // how many its host was done with
	since   int64   // when that was
	waiting int     // how many were waiting for it

	barred     Waiting // who was last taken for one
	until, bar int64   // until when its host is not connected to, and how long that is
}

// Watch makes a Watch for the clients of a codec, each of whose groups is that codec's only.
func (k *Connector) Watch() *Watch {
	c := &Watch{connector: k}
	k.watches = append(k.watches, c)
	return c
}

// Crowded is to be told of each new client while the places for clients are scarce: see engine.Listener.Crowded. All is how many clients
// the codec has besides; waiting gives those of them that wait for a host's first byte.
func (c *Watch) Crowded(all int, waiting iter.Seq[Waiting]) {
	now := c.connector.loop.Now()
	if c.calls--; c.calls > 0 {
		return
	}
	c.calls = all/16 + 1 // so that to look at them all costs little for each
	most, n, total := majority(waiting)
	if n < chainLength || 2*n <= total || chainShare*n <= all {
		c.suspect = Waiting{}
		return
	}
	served := most.Group.Balance.Hosts().Served(most.Host)
	if most != c.suspect || served != c.served || c.stale(now) {
		c.suspect, c.served, c.since = most, served, now
	}
	c.waiting = n
}

// stale reports whether a suspicion was neither confirmed nor refuted in time, since nobody came.
func (c *Watch) stale(now int64) bool { return now >= c.since+2*patience }

// admit is asked by each attempt before it connects to a host. If later is not zero it has to ask again then; or it is refused,
// because the host may lead back.
func (k *Connector) admit(g *Group, host int) (later int64, refused bool) {
	for _, c := range k.watches {
		if later, refused = c.admit(g, host); later > 0 || refused {
			break
		}
	}
	return later, refused
}

func (c *Watch) admit(g *Group, host int) (later int64, refused bool) {
	if c.suspect.Group != g && c.barred.Group != g { // nearly always
		return 0, false
	}
	now := c.connector.loop.Now()
	if c.barred.Group == g && c.barred.Host == host && now < c.until {
		return 0, true
	}
	switch {
	case c.suspect.Group != g || c.suspect.Host != host:
		return 0, false
	case c.stale(now) || g.Balance.Hosts().Served(host) != c.served:
		c.suspect = Waiting{}
		return 0, false
	case now < c.since+patience:
		return min(now+glance, c.since+patience), false
	}
	c.barSuspect(now)
	return 0, true
}

// majority finds who more than half of those that wait have in common, if there is such a one; how many these are, and how many
// wait in all. (The vote is that of Boyer and Moore.)
func majority(waiting iter.Seq[Waiting]) (most Waiting, n, total int) {
	votes := 0
	for w := range waiting {
		total++
		switch {
		case votes == 0:
			most, votes = w, 1
		case w == most:
			votes++
		default:
			votes--
		}
	}
	for w := range waiting {
		if w == most {
			n++
		}
	}
	return most, n, total
}

// barSuspect has no new connections made to the suspect's host for a while.
func (c *Watch) barSuspect(now int64) {
	if c.barred.Group == c.suspect.Group && c.barred.Host == c.suspect.Host && now < c.until+lastBar {
		c.bar = min(2*c.bar, lastBar)
	} else {
		c.bar = firstBar
	}
	c.barred, c.until, c.suspect = c.suspect, now+c.bar, Waiting{}
	c.connector.log.Error("upstream: places for clients are scarce, and many clients with one address wait for a host that answers none: does it lead back to this proxy? New connections to it are refused for a while",
		"group", c.barred.Group.Name, "host", c.barred.Group.Hosts[c.barred.Host].Label, "client", c.barred.Client, "waiting", c.waiting, "pause_ms", c.bar,
		"remedy", `find out where the host's address leads, by forwarded ports and by other proxies, and correct "host" or "port"`)
}
