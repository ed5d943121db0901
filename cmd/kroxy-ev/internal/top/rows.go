package top

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"kroxy-ev/cmd/kroxy-ev/internal/admin"
	"kroxy-ev/cmd/kroxy-ev/internal/readout"
)

// kind is a kind of rows.
type kind int

const (
	ofHosts kind = iota
	ofGroups
	ofRoutes
	ofServers
	kinds // the number of kinds
)

func (k kind) String() string { return [...]string{"hosts", "groups", "routes", "servers"}[k] }

// row is one thing. Unknown figures are -1.
type row struct {
	key    string
	name   string
	state  string // of a host
	reason string // why the host is not up
	since  time.Duration
	detail string // all that is known, for the selected row

	requests, errors4xx, errors5xx, failures, received, sent, accepted float64 // per second

	active, queued float64
	weight         float64
	p50, p99       float64
	recent         []float64 // rates of requests
}

// column is one figure of the rows.
type column struct {
	title  string
	width  int
	screen int // least width of the screen for the column to be shown
	value  func(r *row) float64
	text   func(v float64) string
}

var (
	requestRate = column{"REQ/S", 6, 0, func(r *row) float64 { return r.requests }, readout.Rate}
	inUse       = column{"ACTIVE", 6, 0, func(r *row) float64 { return r.active }, readout.Count}
	failureRate = column{"FAIL/S", 6, 0, func(r *row) float64 { return r.failures }, readout.Rate}
	rate4xx     = column{"4XX/S", 6, 100, func(r *row) float64 { return r.errors4xx }, readout.Rate}
	rate5xx     = column{"5XX/S", 6, 90, func(r *row) float64 { return r.errors5xx }, readout.Rate}
	bytesIn     = column{"IN/S", 8, 120, func(r *row) float64 { return r.received }, readout.Bytes}
	bytesOut    = column{"OUT/S", 8, 120, func(r *row) float64 { return r.sent }, readout.Bytes}
	median      = column{"P50", 6, 0, func(r *row) float64 { return r.p50 }, readout.Milliseconds}
	slowest     = column{"P99", 6, 0, func(r *row) float64 { return r.p99 }, readout.Milliseconds}
	share       = column{"WEIGHT", 6, 110, func(r *row) float64 { return r.weight }, readout.Count}
	waiting     = column{"QUEUED", 6, 0, func(r *row) float64 { return r.queued }, readout.Count}
	acceptRate  = column{"CONN/S", 6, 0, func(r *row) float64 { return r.accepted }, readout.Rate}
	age         = column{"SINCE", 7, 90, func(r *row) float64 { return r.since.Seconds() }, func(v float64) string { return readout.Age(time.Duration(v * float64(time.Second))) }}
)

// columns returns the columns of rows of that kind, in the order in which they are shown.
func (k kind) columns() []column {
	switch k {
	case ofHosts:
		return []column{age, share, requestRate, inUse, failureRate, rate5xx, bytesIn, bytesOut, median, slowest}
	case ofGroups:
		return []column{requestRate, inUse, waiting, failureRate, rate4xx, rate5xx, bytesIn, bytesOut}
	case ofRoutes:
		return []column{requestRate, failureRate, rate4xx, rate5xx, bytesIn, bytesOut, median, slowest}
	default:
		return []column{requestRate, acceptRate, inUse, rate4xx, rate5xx, bytesIn, bytesOut}
	}
}

// shown reports whether the screen is wide enough for a column.
func (m *Model) shown(c column) bool { return m.width >= c.screen }

// rows returns the rows of the selected kind, sorted.
func (m *Model) rows() []row {
	if m.status == nil {
		return nil
	}
	var rows []row
	switch m.kind {
	case ofHosts:
		for i := range m.status.Groups {
			rows = m.hosts(rows, &m.status.Groups[i])
		}
	case ofGroups:
		for i := range m.status.Groups {
			rows = append(rows, m.group(&m.status.Groups[i]))
		}
	default:
		for i := range m.status.Servers {
			rows = m.server(rows, &m.status.Servers[i])
		}
	}
	if columns := m.kind.columns(); m.by >= 0 && m.by < len(columns) {
		value := columns[m.by].value
		slices.SortStableFunc(rows, func(a, b row) int { return cmp.Compare(value(&b), value(&a)) })
	}
	if m.reverse {
		slices.Reverse(rows)
	}
	return rows
}

// traffic fills in the rates of r.
func (m *Model) traffic(r *row) {
	rate := func(what string) float64 { return m.rates.last(figure{r.key, what}) }
	r.requests, r.errors4xx, r.errors5xx, r.failures = rate(requests), rate(errors4xx), rate(errors5xx), rate(failures)
	r.received, r.sent, r.accepted = rate(received), rate(sent), rate(accepted)
	r.recent = m.rates.recent[figure{r.key, requests}]
}

func (m *Model) hosts(rows []row, g *admin.Group) []row {
	keys := hostKeys(g)
	for i := range g.Hosts {
		h := &g.Hosts[i]
		r := row{key: keys[i], name: g.Name + "/" + h.Host, state: h.State, active: float64(h.Active), weight: float64(h.Weight), p50: h.P50, p99: h.P99}
		if !h.Since.IsZero() {
			r.since = m.now.Sub(h.Since)
		}
		m.traffic(&r)
		if h.State == admin.StateDown {
			r.reason = h.LastError
		}
		r.detail = r.name + " is " + h.State
		if !h.Since.IsZero() {
			r.detail += " for " + readout.Age(r.since)
		}
		if remarks := readout.Remarks(h); remarks != "" {
			r.detail += ": " + remarks
		}
		rows = append(rows, r)
	}
	return rows
}

func (m *Model) group(g *admin.Group) row {
	r := row{key: groupKey(g), name: g.Name, active: float64(g.Active), queued: float64(g.Queued), p50: -1, p99: -1}
	m.traffic(&r)
	r.detail = r.name + ": " + g.Algorithm + ", " + fmt.Sprintf("%d of %s usable", g.Usable, readout.Many(len(g.Hosts), "host"))
	return r
}

// server adds a row for the server, or one for each of its routes.
func (m *Model) server(rows []row, s *admin.Server) []row {
	if m.kind == ofServers {
		r := row{key: serverKey(s), name: s.Name, active: float64(s.Active)}
		m.traffic(&r)
		r.detail = r.name + ": " + s.Mode + " on " + strings.Join(s.Listen, ", ")
		return append(rows, r)
	}
	for i := range s.Routes {
		route := &s.Routes[i]
		r := row{key: routeKey(s, route), name: route.Name, p50: route.P50, p99: route.P99}
		m.traffic(&r)
		r.detail = r.name + " of " + s.Name + ": to " + route.To
		rows = append(rows, r)
	}
	return rows
}
