package upstream

import (
	"iter"
	"net/netip"
)

// A host may lead back to this proxy in a way that no address shows: through other proxies or forwarded ports. A client's connection
// then makes a connection to the host, which arrives as a new client, and so on: a chain that takes up all connections there are.
//
// A chain looks like many clients with the same address that wait for one host, which answers none of them. When places for clients are
// scarce, such a host first gets no new connections, so that places remain for other hosts. If the host finishes with one of its
// clients meanwhile, it was only slow. If not, the held connections are refused: each is the end of a chain, and refusing it takes
// down the whole chain, link by link. For a while after that, new clients go to other hosts if there are any; no chain is left
// at whose end they could be. A host that is dead or silent is treated in the same way.

// Waiting describes a client that has received nothing yet from its host.
type Waiting struct {
	Group  *Group
	Host   int
	Client netip.Addr
}

const (
	// chainLength is the number of a codec's clients on a loop that may always wait for one host. A chain also has more than
	// 1/chainShare of the codec's clients.
	chainLength, chainShare = 16, 4
	// suspectTime is how long, in ms, a host has to show that it answers; recheckEvery is how often a held attempt checks.
	suspectTime, recheckEvery = 1000, 50
	// minBar and maxBar are the shortest and the longest time, in ms, for which such a host is barred. The time doubles when the host is barred again.
	minBar, maxBar = 1000, 10_000
)

// Watch looks for chains among the clients of one codec on a loop. Each codec has its own, because the number of one codec's clients says
// nothing about the other's. Times are in ms on the loop's clock.
type Watch struct {
	connector *Connector
	calls     int // calls of Crowded until the next check

	suspect Waiting // the suspected chain; its Group is nil if there is none
	served  int64   // how many clients its host had finished with
	since   int64   // when the suspicion began
	waiting int     // how many clients waited for the host

	barred     Waiting // the last chain whose host was barred
	until, bar int64   // when the bar ends, and how long it is, in ms
}

// Watch makes a Watch for the clients of a codec. Each of the codec's groups must belong to that codec only.
func (k *Connector) Watch() *Watch {
	c := &Watch{connector: k}
	k.watches = append(k.watches, c)
	return c
}

// Crowded must be called for each new client while places for clients are scarce: see engine.Listener.Crowded. All is the number of the
// codec's other clients; waiting yields those of them that wait for a host's first byte.
func (c *Watch) Crowded(all int, waiting iter.Seq[Waiting]) {
	now := c.connector.loop.Now()
	if c.calls--; c.calls > 0 {
		return
	}
	c.calls = all/16 + 1 // so that examining all clients costs little per call
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

// stale reports whether a suspicion has expired, neither confirmed nor refuted because no client came.
func (c *Watch) stale(now int64) bool { return now >= c.since+2*suspectTime }

// admit is called by each attempt before it connects to a host. If later is not zero, the attempt must ask again at that time. If refused is
// true, the host may lead back and must not be connected to.
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
	case now < c.since+suspectTime:
		return min(now+recheckEvery, c.since+suspectTime), false
	}
	c.barSuspect(now)
	return 0, true
}

// majority returns the value that more than half of the waiting clients share, if there is one, how often it occurs, and the total number
// of waiting clients. It uses the Boyer-Moore majority vote.
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

// barSuspect bars new connections to the suspect's host for a while.
func (c *Watch) barSuspect(now int64) {
	if c.barred.Group == c.suspect.Group && c.barred.Host == c.suspect.Host && now < c.until+maxBar {
		c.bar = min(2*c.bar, maxBar)
	} else {
		c.bar = minBar
	}
	c.barred, c.until, c.suspect = c.suspect, now+c.bar, Waiting{}
	c.connector.log.Error("upstream: client connections are scarce, and many clients from one address wait for a host that answers none of them: does the host lead back to this proxy? New connections to it are refused for a while",
		"group", c.barred.Group.Name, "host", c.barred.Group.Hosts[c.barred.Host].Label, "client", c.barred.Client, "waiting", c.waiting, "pause_ms", c.bar,
		"remedy", `find out where the host's address leads, by forwarded ports and by other proxies, and correct "host" or "port"`)
}
