package readout

import (
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"kroxy-ev/cmd/kroxy-ev/internal/admin"
)

// Text writes a status as text; now is the time for ages. The status must be clean (Clean).
func Text(w io.Writer, s *admin.Status, now time.Time) error {
	t := &text{w: w, now: now}
	t.process(s)
	t.servers(s.Servers)
	t.routes(s.Servers)
	for i := range s.Groups {
		t.group(&s.Groups[i])
	}
	t.workers(s.Workers)
	t.certificates(s.Certificates)
	return t.err
}

// text writes sections until a write fails.
type text struct {
	w   io.Writer
	now time.Time
	err error
}

func (t *text) line(format string, args ...any) {
	if t.err == nil {
		_, t.err = fmt.Fprintf(t.w, format+"\n", args...)
	}
}

// table writes a table after an empty line.
func (t *text) table(table *Table) {
	if len(table.Rows) > 1 {
		t.line("")
		t.indented(table, "")
	}
}

func (t *text) indented(table *Table, indent string) {
	if t.err == nil {
		t.err = table.Write(t.w, indent)
	}
}

func (t *text) process(s *admin.Status) {
	role := ""
	if s.Mode == "master" {
		role = " (master)"
	}
	t.line("kroxy-ev %s, process %d%s, %s, up %s", s.Version, s.PID, role, s.State, Age(time.Duration(s.Uptime*float64(time.Second))))
	t.line("configuration %s, hash %.12s", s.Path, s.Hash)
	if !s.LatencySince.IsZero() {
		t.line("latencies of the last %s", since(s.LatencySince, t.now))
	}
	r := s.LastReload
	if r == nil {
		return
	}
	outcome := "reloaded " + since(r.Time, t.now) + " ago by " + r.By
	if !r.OK {
		outcome = "reload " + since(r.Time, t.now) + " ago by " + r.By + " failed: " + r.Error
	}
	if n := len(r.Warnings); n > 0 {
		outcome += ", " + Many(n, "warning")
	}
	t.line("%s", outcome)
}

func (t *text) servers(servers []admin.Server) {
	table := Table{Align: "lllrrrrrrrr"}
	table.Add("SERVER", "MODE", "LISTEN", "ACTIVE", "ACCEPTED", "REFUSED", "REQUESTS", "4XX", "5XX", "IN", "OUT")
	for i := range servers {
		s := &servers[i]
		table.Add(s.Name, s.Mode, strings.Join(s.Listen, " "), number(s.Active), number(s.Accepted), number(s.Refused),
			number(s.Requests), code(&s.Traffic, "4xx"), code(&s.Traffic, "5xx"), Bytes(float64(s.Received)), Bytes(float64(s.Sent)))
	}
	t.table(&table)
}

func (t *text) routes(servers []admin.Server) {
	table := Table{Align: "lllrrrrrrrrr"}
	table.Add("ROUTE", "SERVER", "TO", "REQUESTS", "4XX", "5XX", "FAILED", "RETRIES", "P50", "P99", "IN", "OUT")
	for i := range servers {
		for j := range servers[i].Routes {
			r := &servers[i].Routes[j]
			table.Add(r.Name, servers[i].Name, r.To, number(r.Requests), code(&r.Traffic, "4xx"), code(&r.Traffic, "5xx"),
				number(r.Failures), number(r.Retries), Milliseconds(r.P50), Milliseconds(r.P99), Bytes(float64(r.Received)), Bytes(float64(r.Sent)))
		}
	}
	t.table(&table)
}

func (t *text) group(g *admin.Group) {
	t.line("")
	t.line("group %s, %s, %d of %s usable, %d active, %d queued, %s, %d failed, %d retries", g.Name, g.Algorithm, g.Usable, Many(len(g.Hosts), "host"),
		g.Active, g.Queued, Many(int(g.Requests), "request"), g.Failures, g.Retries)
	table := Table{Align: "llrrrrrrrl"}
	table.Add("HOST", "STATE", "SINCE", "ACTIVE", "SERVED", "FAILED", "WEIGHT", "P50", "P99", "REMARKS")
	for i := range g.Hosts {
		h := &g.Hosts[i]
		table.Add(h.Host, h.State, since(h.Since, t.now), number(h.Active), number(h.Served), number(h.Failed), number(h.Weight),
			Milliseconds(h.P50), Milliseconds(h.P99), Remarks(h))
	}
	t.indented(&table, "  ")
}

// Remarks returns further facts about a host.
func Remarks(h *admin.Host) string {
	var all []string
	if h.State == admin.StateDown && h.LastError != "" {
		all = append(all, h.LastError)
	}
	if h.Name != "" {
		all = append(all, "name "+h.Name)
	}
	if h.Backup {
		all = append(all, "backup")
	}
	if h.Ordered {
		all = append(all, "by command, until the next reload")
	}
	return strings.Join(all, "; ")
}

func (t *text) workers(workers []admin.Worker) {
	table := Table{Align: "rrlrr"}
	table.Add("WORKER", "PID", "STATE", "SINCE", "RESTARTS")
	for i := range workers {
		w := &workers[i]
		table.Add(number(w.Slot), number(w.PID), w.State, since(w.Since, t.now), number(w.Restarts))
	}
	t.table(&table)
}

func (t *text) certificates(certificates []admin.Certificate) {
	table := Table{Align: "lll"}
	table.Add("CERTIFICATE", "EXPIRES", "NAMES")
	for i := range certificates {
		c := &certificates[i]
		left := "in " + Age(c.NotAfter.Sub(t.now))
		if c.NotAfter.Before(t.now) {
			left = "expired"
		}
		table.Add(c.Path, c.NotAfter.UTC().Format(time.DateOnly)+", "+left, strings.Join(c.Names, " "))
	}
	t.table(&table)
}

func number[T int | int64 | uint64](n T) string { return fmt.Sprint(n) }

// code returns the number of requests with a status of that class; "-" for a stream, whose sessions have no status.
func code(t *admin.Traffic, class string) string {
	if len(t.Codes) == 0 && t.Requests > 0 {
		return "-"
	}
	return strconv.FormatUint(t.Codes[class], 10)
}
