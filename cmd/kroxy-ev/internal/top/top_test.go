package top

import (
	"errors"
	"flag"
	"fmt"
	"image/color"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	tea "charm.land/bubbletea/v2"
	"github.com/charmbracelet/x/ansi"

	"kroxy-ev/cmd/kroxy-ev/internal/admin"
)

var update = flag.Bool("update", false, "write testdata anew")

var begin = time.Date(2026, 11, 29, 3, 0, 0, 0, time.UTC)

// status is the status of a small program after a number of seconds.
func status(second int) *admin.Status {
	n := uint64(second)
	traffic := func(rate uint64) admin.Traffic {
		ups := n*rate + rate*n%7 // it goes up and down
		return admin.Traffic{Requests: ups, Codes: map[string]uint64{"2xx": ups - n, "4xx": n / 2, "5xx": n / 4}, Received: ups * 200, Sent: ups * 5000}
	}
	since := begin.Add(-time.Hour)
	hosts := []admin.Host{
		{Host: "127.0.0.1:9001", State: admin.StateUp, Since: since, Active: 12, Served: int64(n * 400), Weight: 1, Traffic: traffic(400), Latency: admin.Latency{P50: 1.2, P99: 18}},
		{Host: "127.0.0.1:9002", State: admin.StateDown, LastError: "connection refused", Since: begin, Failed: int64(n), Weight: 1, Traffic: traffic(0)},
		{Host: "app-3.internal.example:9003", Name: "app", State: admin.StateDrain, Drain: true, Ordered: true, Since: begin, Active: 2, Weight: 5, Traffic: traffic(7), Latency: admin.Latency{P50: 3, P99: 1234}},
	}
	return &admin.Status{
		Version: "1.0", PID: 4711, Mode: "master", Uptime: 3700 + float64(n), State: "serving", Path: "/etc/kroxy-ev.json",
		Workers: []admin.Worker{{Slot: 0, PID: 4712, State: "serving"}, {Slot: 1, PID: 4713, State: "restarting"}},
		Servers: []admin.Server{
			{Name: "http", Mode: "http", Listen: []string{"0.0.0.0:80", "unix:/run/kroxy.sock"}, Active: 40, Accepted: n * 10, Traffic: traffic(407), Routes: []admin.Route{
				{Name: "http.routes[0]", To: "web", Traffic: traffic(400), Latency: admin.Latency{P50: 2, P99: 20}}, {Name: "api", To: "api", Traffic: traffic(7)},
			}},
			{Name: "db", Mode: "stream", Listen: []string{"0.0.0.0:5432"}, Active: 3, Accepted: n, Traffic: admin.Traffic{Requests: n}, Routes: []admin.Route{{Name: "db", To: "db"}}},
		},
		Groups: []admin.Group{
			{Name: "web", Algorithm: "least_conn", Usable: 1, Active: 14, Queued: 3, Traffic: traffic(407), Failures: n, Hosts: hosts},
			{Name: "db", Algorithm: "first", Usable: 1, Hosts: []admin.Host{{Host: "unix:/run/db.sock", State: admin.StateUp, Backup: true, Weight: 1}}},
		},
		LastReload: &admin.Reload{Error: "f.json:1:1: it is empty"},
	}
}

// after returns a view after a number of seconds, on a screen of the given size.
func after(seconds, width, height int, messages ...tea.Msg) Model {
	m := tea.Model(New(nil, time.Second))
	messages = append([]tea.Msg{tea.WindowSizeMsg{Width: width, Height: height}}, messages...)
	for i := range seconds {
		messages = append(messages, Sample{Status: status(i), At: begin.Add(time.Duration(i) * time.Second)})
	}
	for _, msg := range messages {
		m, _ = m.Update(msg)
	}
	return m.(Model)
}

func press(m Model, keys ...string) Model {
	for _, k := range keys {
		msg := tea.KeyPressMsg{Text: k}
		if code, ok := map[string]rune{"down": tea.KeyDown, "up": tea.KeyUp, "tab": tea.KeyTab, "end": tea.KeyEnd, "home": tea.KeyHome, "pgdown": tea.KeyPgDown}[k]; ok {
			msg = tea.KeyPressMsg{Code: code}
		}
		next, _ := m.Update(msg)
		m = next.(Model)
	}
	return m
}

// The expected screens are in testdata, with ␛ for the escape character. "go test -update" rewrites them.
func TestScreens(t *testing.T) {
	t.Parallel()
	dark, light := tea.BackgroundColorMsg{Color: color.Black}, tea.BackgroundColorMsg{Color: color.White}
	for name, m := range map[string]Model{
		"hosts-80x24-dark":   after(30, 80, 24, dark),
		"hosts-80x24-light":  after(30, 80, 24, light),
		"hosts-200x50-dark":  after(30, 200, 50, dark),
		"hosts-200x50-light": after(30, 200, 50, light),
		"groups-80x24":       press(after(30, 80, 24), "2"),
		"routes-80x24":       press(after(30, 80, 24), "3", "down"),
		"servers-80x24":      press(after(30, 80, 24), "4", "s"),
		"sorted-80x24":       press(after(30, 80, 24), "s", "r", "down"),
		"first-80x24":        after(1, 80, 24),
		"none-80x24":         after(0, 80, 24),
		"tiny-40x8":          press(after(30, 40, 8), "end"),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := strings.ReplaceAll(m.Text(), "\x1b", "␛") + "\n"
			file := filepath.Join("testdata", name+".txt")
			if *update {
				if err := errors.Join(os.MkdirAll("testdata", 0o755), os.WriteFile(file, []byte(got), 0o644)); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if got != string(want) {
				t.Errorf("got\n%s\nwant\n%s", got, want)
			}
		})
	}
}

// Whatever the size of the terminal and the keys pressed, a screen is never larger than the terminal.
func TestScreensFit(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(1, 2))
	keys := []string{"1", "2", "3", "4", "s", "S", "r", "up", "down", "pgdown", "home", "end", "tab", "x"}
	for range 300 {
		width, height := 1+random.IntN(230), 1+random.IntN(60)
		m := after(random.IntN(4), width, height)
		for range random.IntN(8) {
			m = press(m, keys[random.IntN(len(keys))])
		}
		text := m.Text()
		lines := strings.Split(text, "\n")
		if len(lines) > height {
			t.Fatalf("%dx%d: %d lines", width, height, len(lines))
		}
		for _, line := range lines {
			if n := ansi.StringWidth(line); n > width {
				t.Fatalf("%dx%d: a line of %d: %q", width, height, n, line)
			}
		}
	}
}

// A long list scrolls with the selected row, which stays selected when rows are reordered.
func TestScrolling(t *testing.T) {
	t.Parallel()
	s := &admin.Status{Groups: []admin.Group{{Name: "g"}}}
	for i := range 100 {
		s.Groups[0].Hosts = append(s.Groups[0].Hosts, admin.Host{Host: fmt.Sprintf("h:%02d", i), State: admin.StateUp, Active: int64(i)})
	}
	next, _ := New(nil, time.Second).Update(Sample{Status: s, At: begin})
	m := next.(Model)
	sees := func(what string) {
		t.Helper()
		if !strings.Contains(ansi.Strip(m.Text()), what) {
			t.Errorf("no %q in\n%s", what, ansi.Strip(m.Text()))
		}
	}
	sees("▸ g/h:00 ")
	sees("  g/h:17 ")
	m = press(m, "down", "pgdown")
	sees("▸ g/h:19 ")
	sees("20 of 100  g/h:19 is up")
	m = press(m, "end")
	sees("▸ g/h:99 ")
	sees("  g/h:82 ")
	m = press(m, "s", "s") // sorted by active requests, descending
	sees("▸ g/h:99 ")
	sees("1 of 100")
	sees("▼ACTIVE")
	m = press(m, "r")
	sees("100 of 100")
	m = press(m, "home")
	sees("▸ g/h:00 ")
}

// If an answer does not arrive or is an error, that is shown, and the previous values stay.
func TestTrouble(t *testing.T) {
	t.Parallel()
	m := after(2, 120, 24)
	next, cmd := m.Update(ticked(begin.Add(2 * time.Second)))
	if m = next.(Model); cmd == nil || !m.asking {
		t.Error("it does not ask")
	}
	next, _ = m.Update(ticked(begin.Add(9 * time.Second)))
	if text := ansi.Strip(next.(Model).Text()); !strings.Contains(text, "no answer for 8s") || !strings.Contains(text, "127.0.0.1:9001") {
		t.Error(text)
	}
	next, _ = next.Update(Sample{Err: errors.New("kroxy-ev: no kroxy-ev serves it\nany more"), At: begin.Add(9 * time.Second)})
	if text := ansi.Strip(next.(Model).Text()); !strings.Contains(text, "\nno kroxy-ev serves it any more") {
		t.Error(text)
	}
	// Another process, whose counters start at zero, does not result in negative rates.
	next, _ = next.Update(Sample{Status: status(0), At: begin.Add(10 * time.Second)})
	if m := next.(Model); m.rates.last(figure{everything, requests}) != 0 || m.err != nil {
		t.Errorf("%v requests a second, error %v", m.rates.last(figure{everything, requests}), m.err)
	}
	for _, key := range []string{"q", "Q"} {
		if _, cmd := m.Update(tea.KeyPressMsg{Text: key}); cmd == nil || cmd() != tea.Quit() {
			t.Errorf("%s does not end it", key)
		}
	}
}

func TestSpark(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		values []float64
		width  int
		want   string
	}{
		{nil, 3, "   "}, {[]float64{0, 0}, 3, " ▁▁"}, {[]float64{9, 1, 0, 50, 100}, 4, "▂▁▄█"}, {[]float64{1}, 0, ""}, {[]float64{1}, -1, ""},
	} {
		if got := spark(test.values, test.width); got != test.want {
			t.Errorf("%v in %d: %q, want %q", test.values, test.width, got, test.want)
		}
	}
}
