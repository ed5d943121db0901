package top

import (
	"fmt"
	"strings"
	"time"

	tea "charm.land/bubbletea/v2"
	"github.com/charmbracelet/x/ansi"

	"kroxy-ev/cmd/kroxy-ev/internal/admin"
	"kroxy-ev/cmd/kroxy-ev/internal/readout"
)

// frameHeight is the number of lines other than rows: three above them, the headings, and two below.
const frameHeight = 6

const (
	nameWidth  = 26 // of the first column, at least
	stateWidth = 5
	trendWidth = 8 // at least
	trendMost  = 60

	versionWidth = 16 // at most
)

// View draws the screen.
func (m Model) View() tea.View {
	v := tea.NewView(m.Text())
	v.AltScreen = true
	return v
}

// Text returns the screen: lines with the escape sequences of their colours, which fit into the terminal.
func (m Model) Text() string {
	t := themeFor(!m.light)
	var lines []string
	if m.status == nil {
		lines = []string{t.title.Styled("kroxy-ev"), "waiting for the first answer"}
	} else {
		lines = append(lines, m.first(t), m.totals(t), m.tabs(t))
		lines = append(lines, m.table(t)...)
	}
	lines = lines[:min(len(lines), max(0, m.height-1))]
	for len(lines) < m.height-1 {
		lines = append(lines, "")
	}
	lines = append(lines, t.dim.Styled("q quit  tab view  s/S sort  r reverse  ↑↓ PgUp PgDn move"))
	for i, line := range lines {
		lines[i] = ansi.Truncate(line, m.width, "")
	}
	return strings.Join(lines[:min(len(lines), max(1, m.height))], "\n")
}

// first returns the line about the process.
func (m *Model) first(t theme) string {
	s := m.status
	text := t.title.Styled("kroxy-ev "+ansi.Truncate(s.Version, versionWidth, "…")) + fmt.Sprintf("  process %d  up %s  %s", s.PID, readout.Age(time.Duration(s.Uptime*float64(time.Second))), s.State)
	if n := len(s.Workers); n > 0 {
		serving := 0
		for _, w := range s.Workers {
			if w.State == "serving" {
				serving++
			}
		}
		text += fmt.Sprintf("  workers %d/%d", serving, n)
	}
	if r := s.LastReload; r != nil && !r.OK {
		return text + "  " + t.bad.Styled("reload failed")
	}
	return text + t.dim.Styled("  "+s.Path)
}

// trouble says why there is no newer answer; "" if there is one.
func (m *Model) trouble() string {
	switch {
	case m.err != nil:
		return readout.Line(strings.TrimPrefix(m.err.Error(), "kroxy-ev: "))
	case m.now.Sub(m.at) > 3*m.Every+time.Second:
		return "no answer for " + readout.Age(m.now.Sub(m.at))
	default:
		return ""
	}
}

// totals returns the line about all servers.
func (m *Model) totals(t theme) string {
	rate := func(what string) float64 { return m.rates.last(figure{everything, what}) }
	var active int64
	for i := range m.status.Servers {
		active += m.status.Servers[i].Active
	}
	text := number(rate(requests), readout.Rate) + " req/s " + t.trend.Styled(spark(m.rates.recent[figure{everything, requests}], min(max(m.width-72, 0), 60))) +
		"  " + readout.Count(float64(active)) + " active"
	for _, class := range []string{errors4xx, errors5xx} {
		style := t.dim
		if rate(class) > 0 {
			style = t.warn
		}
		text += "  " + style.Styled(class+" "+number(rate(class), readout.Rate)+"/s")
	}
	return text + "  in " + number(rate(received), readout.Bytes) + "/s  out " + number(rate(sent), readout.Bytes) + "/s"
}

// number returns a rate as text, or "-" if it is not known yet.
func number(v float64, text func(float64) string) string {
	if v < 0 {
		return "-"
	}
	return text(v)
}

// tabs returns the line with the kinds of rows, their numbers, and the states of the hosts.
func (m *Model) tabs(t theme) string {
	s := m.status
	var states [3]int
	hosts, routes := 0, 0
	for i := range s.Groups {
		hosts += len(s.Groups[i].Hosts)
		for j := range s.Groups[i].Hosts {
			switch s.Groups[i].Hosts[j].State {
			case admin.StateUp:
				states[0]++
			case admin.StateDown:
				states[1]++
			default:
				states[2]++
			}
		}
	}
	for i := range s.Servers {
		routes += len(s.Servers[i].Routes)
	}
	var text strings.Builder
	for k, n := range []int{hosts, len(s.Groups), routes, len(s.Servers)} {
		tab := fmt.Sprintf("%d %s %d", k+1, kind(k), n)
		if kind(k) == m.kind {
			tab = t.title.Styled("[" + tab + "]")
		} else {
			tab = t.dim.Styled(" " + tab + " ")
		}
		text.WriteString(tab)
	}
	fmt.Fprintf(&text, "  %s", t.good.Styled(fmt.Sprintf("%d up", states[0])))
	if states[1] > 0 {
		fmt.Fprintf(&text, " %s", t.bad.Styled(fmt.Sprintf("%d down", states[1])))
	}
	if states[2] > 0 {
		fmt.Fprintf(&text, " %s", t.warn.Styled(fmt.Sprintf("%d drain", states[2])))
	}
	return text.String()
}

// table returns the headings, the visible rows, and the line with the details of the selected row.
func (m *Model) table(t theme) []string {
	rows := m.rows()
	columns := make([]column, 0, 16)
	sorted := "" // title of the sorted column
	figures := 0
	for i, c := range m.kind.columns() {
		if m.shown(c) {
			columns = append(columns, c)
			figures += 1 + c.width
			if i == m.by {
				sorted = c.title
			}
		}
	}
	space := m.width - 2 - figures - 1 // for the name and the trend
	if m.kind == ofHosts {
		space -= 1 + stateWidth
	}
	name := 0
	for i := range rows {
		name = max(name, ansi.StringWidth(rows[i].name))
	}
	name = max(nameWidth, min(name, space-trendWidth))
	trend := min(space-name, trendMost)

	lines := []string{t.head.Styled(readout.Pad(m.heading(columns, sorted, name, trend), m.width, false))}
	at := m.position(rows)
	for i := m.from; i < min(m.from+m.page(), len(rows)); i++ {
		lines = append(lines, m.line(t, &rows[i], i == at, columns, name, trend))
	}
	for len(lines) < m.page()+1 {
		lines = append(lines, "")
	}
	if trouble := m.trouble(); trouble != "" {
		return append(lines, t.bad.Styled(ansi.Truncate(trouble, m.width, "…")))
	}
	detail := ""
	if len(rows) > 0 {
		detail = fmt.Sprintf("%d of %d  %s", at+1, len(rows), rows[at].detail)
	}
	return append(lines, t.dim.Styled(ansi.Truncate(detail, m.width, "…")))
}

func (m *Model) heading(columns []column, sorted string, name, trend int) string {
	first := strings.ToUpper(strings.TrimSuffix(m.kind.String(), "s"))
	arrow := map[bool]string{false: "▼", true: "▲"}[m.reverse]
	if m.by < 0 && m.reverse {
		first += arrow
	}
	text := "  " + readout.Pad(first, name, false)
	if m.kind == ofHosts {
		text += " " + readout.Pad("STATE", stateWidth, false)
	}
	for _, c := range columns {
		title := c.title
		if title == sorted {
			title = arrow + title
		}
		text += readout.Pad(title, c.width+1, true)
	}
	if trend > 5 {
		text += " TREND"
	}
	return text
}

// line returns one row. For a host that is down, the reason replaces the latencies and the trend.
func (m *Model) line(t theme, r *row, selected bool, columns []column, name, trend int) string {
	var b strings.Builder
	mark, title := "  ", ansi.Style(nil)
	if selected {
		mark, title = "▸ ", t.title
	}
	b.WriteString(mark + title.Styled(readout.Pad(middle(r.name, name), name, false)))
	if m.kind == ofHosts {
		b.WriteString(" " + t.ofState(r.state).Styled(readout.Pad(r.state, stateWidth, false)))
	}
	for i, c := range columns {
		if r.reason != "" && c.title == median.title {
			room := trend
			for _, rest := range columns[i:] {
				room += rest.width + 1
			}
			b.WriteString(" " + t.bad.Styled(ansi.Truncate(r.reason, room, "…")))
			return b.String()
		}
		text := number(c.value(r), c.text)
		cell := readout.Pad(text, c.width, true)
		if v := c.value(r); v > 0 && (c.title == failureRate.title || c.title == rate5xx.title) {
			cell = t.warn.Styled(cell)
		}
		b.WriteString(" " + cell)
	}
	if trend > 0 {
		b.WriteString(" " + t.trend.Styled(spark(r.recent, trend)))
	}
	return b.String()
}

// middle shortens a name to width by cutting out its middle, because hosts' names differ at their ends.
func middle(name string, width int) string {
	n := ansi.StringWidth(name)
	if n <= width {
		return name
	}
	left := (width - 1) / 2
	return ansi.Truncate(name, left, "") + "…" + ansi.TruncateLeft(name, n-(width-1-left), "")
}
