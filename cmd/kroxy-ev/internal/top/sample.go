package top

import (
	"fmt"
	"time"

	"kroxy-ev/cmd/kroxy-ev/internal/admin"
)

// Sample is the answer to a request for the status. At is when it came.
type Sample struct {
	Status *admin.Status
	Err    error
	At     time.Time
}

// figure is the key of a history: one count of one thing.
type figure struct{ thing, what string }

// rates are the recent rates of all counts, per second.
type rates struct {
	at     time.Time
	counts map[figure]uint64
	recent map[figure][]float64 // the newest last
}

// maxRecent is how many rates of a figure are kept.
const maxRecent = trendMost

// add adds the counts at a time. A count lower than before has been reset.
func (r *rates) add(at time.Time, counts map[figure]uint64) {
	seconds := at.Sub(r.at).Seconds()
	recent := make(map[figure][]float64, len(counts)) // figures that have disappeared are forgotten
	for f, n := range counts {
		list := r.recent[f]
		if before, ok := r.counts[f]; ok && seconds > 0 {
			rate := 0.0
			if n > before {
				rate = float64(n-before) / seconds
			}
			list = append(list[max(0, len(list)-maxRecent+1):len(list):len(list)], rate)
		}
		recent[f] = list
	}
	r.at, r.counts, r.recent = at, counts, recent
}

// last returns the newest rate; -1 if there is none yet.
func (r *rates) last(f figure) float64 {
	if list := r.recent[f]; len(list) > 0 {
		return list[len(list)-1]
	}
	return -1
}

// counts returns all counts of a status.
func counts(s *admin.Status) map[figure]uint64 {
	all := make(map[figure]uint64)
	traffic := func(thing string, t *admin.Traffic) {
		for what, n := range map[string]uint64{
			requests: t.Requests, errors4xx: t.Codes["4xx"], errors5xx: t.Codes["5xx"], received: t.Received, sent: t.Sent,
		} {
			all[figure{thing, what}] += n
		}
	}
	for i := range s.Servers {
		server := &s.Servers[i]
		traffic(serverKey(server), &server.Traffic)
		traffic(everything, &server.Traffic)
		all[figure{serverKey(server), accepted}] += server.Accepted
		for j := range server.Routes {
			route := &server.Routes[j]
			traffic(routeKey(server, route), &route.Traffic)
			all[figure{routeKey(server, route), failures}] += route.Failures
		}
	}
	for i := range s.Groups {
		group := &s.Groups[i]
		traffic(groupKey(group), &group.Traffic)
		all[figure{groupKey(group), failures}] += group.Failures
		keys := hostKeys(group)
		for j := range group.Hosts {
			host := &group.Hosts[j]
			traffic(keys[j], &host.Traffic)
			all[figure{keys[j], failures}] += uint64(max(0, host.Failed))
		}
	}
	return all
}

// Names of counts.
const (
	requests  = "requests"
	failures  = "failures"
	accepted  = "accepted"
	errors4xx = "4xx"
	errors5xx = "5xx"
	received  = "received"
	sent      = "sent"
)

const everything = "" // the key of all servers together

func serverKey(s *admin.Server) string                { return "server/" + s.Name }
func routeKey(s *admin.Server, r *admin.Route) string { return "route/" + s.Name + "/" + r.Name }
func groupKey(g *admin.Group) string                  { return "group/" + g.Name }

// hostKeys returns the keys of a group's hosts. The same host may appear more than once.
func hostKeys(g *admin.Group) []string {
	seen := make(map[string]int, len(g.Hosts))
	keys := make([]string, len(g.Hosts))
	for i := range g.Hosts {
		host := g.Hosts[i].Host
		keys[i] = fmt.Sprintf("host/%s/%s#%d", g.Name, host, seen[host])
		seen[host]++
	}
	return keys
}
