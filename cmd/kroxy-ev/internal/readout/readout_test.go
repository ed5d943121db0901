package readout_test

import (
	"bytes"
	"errors"
	"flag"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/goccy/go-json"

	"kroxy-ev/cmd/kroxy-ev/internal/admin"
	"kroxy-ev/cmd/kroxy-ev/internal/readout"
)

var update = flag.Bool("update", false, "write testdata anew")

var now = time.Date(2026, 11, 29, 3, 0, 0, 0, time.UTC)

func status() *admin.Status {
	web := admin.Traffic{Requests: 12345, Codes: map[string]uint64{"2xx": 12000, "4xx": 300, "5xx": 45}, Received: 2345678, Sent: 98765432}
	return &admin.Status{
		Version: "1.0", PID: 4711, Mode: "master", Uptime: 93784, State: "serving", Path: "/etc/kroxy-ev.json", Hash: "0123456789abcdef0123456789abcdef",
		LatencySince: now.Add(-47 * time.Second),
		LastReload:   &admin.Reload{Time: now.Add(-75 * time.Second), By: "command", OK: true, Warnings: []string{"a", "b"}},
		Workers:      []admin.Worker{{Slot: 0, PID: 4712, State: "serving", Since: now.Add(-26 * time.Hour)}, {Slot: 1, State: "restarting", Since: now, Restarts: 3}},
		Servers: []admin.Server{
			{Name: "http", Mode: "http", Listen: []string{"0.0.0.0:80", "unix:/run/kroxy.sock"}, Active: 40, Accepted: 5000, Refused: 2, Traffic: web, Routes: []admin.Route{
				{Name: "http.routes[0]", To: "web", Traffic: web, Failures: 7, Retries: 5, Latency: admin.Latency{P50: 2.25, P99: 1234}},
				{Name: "http.routes[1]", To: "redirect"},
			}},
			{Name: "db", Mode: "stream", Listen: []string{"0.0.0.0:5432"}, Accepted: 9, Traffic: admin.Traffic{Requests: 9}},
		},
		Groups: []admin.Group{
			{Name: "web", Algorithm: "least_conn", Usable: 1, Active: 14, Queued: 3, Traffic: web, Failures: 7, Retries: 5, Hosts: []admin.Host{
				{Host: "127.0.0.1:9001", State: admin.StateUp, Since: now.Add(-time.Hour), Active: 12, Served: 12300, Failed: 45, Weight: 1, Latency: admin.Latency{P50: 0.3, P99: 18.4}},
				{Host: "127.0.0.1:9002", State: admin.StateDown, LastError: "connection refused\x1b[2J\nat all", Since: now.Add(-59 * time.Second), Failed: 3, Weight: 1, Backup: true},
				{Host: "app.internal:9003", Name: "app", State: admin.StateDrain, Drain: true, Ordered: true, Active: 2, Weight: 5},
			}},
			{Name: "db", Algorithm: "first", Usable: 1, Traffic: admin.Traffic{Requests: 1}, Hosts: []admin.Host{{Host: "unix:/run/db.sock", State: admin.StateUp, Weight: 1}}},
		},
		Certificates: []admin.Certificate{
			{Path: "/etc/a.pem", Names: []string{"a.example", "*.a.example"}, NotAfter: now.Add(40 * 24 * time.Hour)},
			{Path: "/etc/b.pem", Names: []string{"b.example"}, NotAfter: now.Add(-time.Hour)},
		},
	}
}

// The expected texts are in testdata. "go test -update" rewrites them.
func TestText(t *testing.T) {
	t.Parallel()
	failed := status()
	failed.Mode, failed.Workers, failed.Certificates = "single", nil, nil
	failed.LastReload = &admin.Reload{Time: now, By: "signal", Error: "f.json:1:2: http: it is wrong\nf.json:2:2: http: it is too"}
	for name, s := range map[string]*admin.Status{"status": status(), "failed-reload": failed, "empty": {Version: "1", State: "starting"}} {
		var b bytes.Buffer
		readout.Clean(s)
		if err := readout.Text(&b, s, now); err != nil {
			t.Fatal(err)
		}
		file := "testdata/" + name + ".txt"
		if *update {
			if err := errors.Join(os.MkdirAll("testdata", 0o755), os.WriteFile(file, b.Bytes(), 0o644)); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if b.String() != string(want) {
			t.Errorf("%s: got\n%s\nwant\n%s", name, b.String(), want)
		}
	}
}

// No text in a status can send control sequences to a terminal.
func TestClean(t *testing.T) {
	t.Parallel()
	text, err := json.Marshal(status())
	if err != nil {
		t.Fatal(err)
	}
	var s *admin.Status
	hostile := regexp.MustCompile(`"([a-z_]+)":"[^"T]*"`).ReplaceAll(text, []byte(`"$1":"\u001b[2J\n\u009b$1"`)) // all strings except times
	if err := json.Unmarshal(hostile, &s); err != nil {
		t.Fatal(err)
	}
	s.Certificates[0].Names = []string{"\x1b"}
	var b bytes.Buffer
	readout.Clean(s)
	if err := readout.Text(&b, s, now); err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(b.String()) {
		if rest := strings.TrimSuffix(line, "\n"); readout.Line(rest) != rest {
			t.Errorf("%q", line)
		}
	}
	if n := strings.Count(b.String(), "[2J"); n < 20 {
		t.Errorf("only %d texts were hostile:\n%s", n, b.String())
	}
}

// full is a disk that runs out of space.
type full struct{ room int }

func (f *full) Write(p []byte) (int, error) {
	if f.room -= len(p); f.room < 0 {
		return 0, errors.New("no room")
	}
	return len(p), nil
}

func TestTextToAFullDisk(t *testing.T) {
	t.Parallel()
	var b bytes.Buffer
	if err := readout.Text(&b, status(), now); err != nil {
		t.Fatal(err)
	}
	for room := range b.Len() {
		if err := readout.Text(&full{room}, status(), now); err == nil {
			t.Fatalf("no error with room for %d of %d bytes", room, b.Len())
		}
	}
}

func TestNumbers(t *testing.T) {
	t.Parallel()
	for want, got := range map[string]string{
		"0 B": readout.Bytes(0), "999 B": readout.Bytes(999.4), "1.0 kB": readout.Bytes(999.5), "99.9 MB": readout.Bytes(99.94e6), "100 MB": readout.Bytes(99.96e6), "12000 EB": readout.Bytes(1.2e22),
		"12": readout.Count(12), "1.2k": readout.Count(1234), "0": readout.Rate(0), "0.2": readout.Rate(0.25), "9.9": readout.Rate(9.9), "10": readout.Rate(9.96), "1.5M": readout.Rate(1.5e6),
		"-": readout.Milliseconds(0), "120 µs": readout.Milliseconds(0.12), "999 µs": readout.Milliseconds(0.9994), "1.0 ms": readout.Milliseconds(0.9995), "10 ms": readout.Milliseconds(9.96), "999 ms": readout.Milliseconds(999.4), "1.0 s": readout.Milliseconds(999.5),
		"0s": readout.Age(-time.Second), "59s": readout.Age(59 * time.Second), "1m": readout.Age(time.Minute), "1m 1s": readout.Age(61 * time.Second), "1h 1m": readout.Age(3661 * time.Second), "2d 3h": readout.Age(51 * time.Hour),
		"1 host": readout.Many(1, "host"), "0 hosts": readout.Many(0, "host"), "a b": readout.Line("a\nb\x1b\x00"),
		"a… ": readout.Pad("a…", 3, false), "ab…": readout.Pad("abcd", 3, false), "  a": readout.Pad("a", 3, true), "": strings.TrimSpace(readout.Pad("", 2, true)),
	} {
		if got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}
