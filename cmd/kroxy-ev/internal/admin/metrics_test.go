package admin_test

import (
	"bytes"
	"fmt"
	"io"
	"math"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"kroxy-ev/cmd/kroxy-ev/internal/admin"
	"kroxy-ev/engine/metrics"
)

// counted is a table with one writer, and matching series and status.
type counted struct {
	table  *metrics.Table
	row    *metrics.Row
	series []metrics.Series
	places []metrics.Place
	status *admin.Status
}

func newCounted(t testing.TB, hosts, routes int, names func(i int) string) *counted {
	t.Helper()
	table, err := metrics.NewTable()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(table.Close)
	c := &counted{table: table, status: &admin.Status{Version: "1.2", Mode: "single", State: "serving", PID: os.Getpid(), Started: time.Unix(1700000000, 0), Hash: "00000000000aff"}}
	if c.row, err = table.Row(0); err != nil {
		t.Fatal(err)
	}
	c.series = []metrics.Series{{Kind: metrics.KindServer, Server: "http"}, {Kind: metrics.KindGroup, Group: "web"}}
	for i := range routes {
		c.series = append(c.series, metrics.Series{Kind: metrics.KindRoute, Server: "http", Route: names(i)})
	}
	group := admin.Group{Name: "web"}
	for i := range hosts {
		c.series = append(c.series, metrics.Series{Kind: metrics.KindHost, Group: "web", Host: names(i)})
		group.Hosts = append(group.Hosts, admin.Host{Host: names(i), State: admin.StateUp, Weight: 1})
	}
	c.status.Groups = []admin.Group{group}
	c.places, _ = table.Assign(c.series)
	table.Commit()
	return c
}

func (c *counted) measure() (admin.Measured, error) {
	return admin.Measured{Table: c.table, Series: c.series, Places: c.places, Status: c.status}, nil
}

// scrape returns the metrics as text, and parsed.
func (c *counted) scrape(t testing.TB) (string, map[string]*dto.MetricFamily) {
	t.Helper()
	var out bytes.Buffer
	media, err := admin.NewMetrics(c.measure).Gather(&out, "")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(media, "text/plain; version=0.0.4") {
		t.Errorf("the media type is %q", media)
	}
	text := out.String()
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(strings.NewReader(text))
	if err != nil {
		t.Fatalf("%v in\n%s", err, text)
	}
	return text, families
}

// All counters appear under the names and labels that their columns declare, each with its type.
func TestMetrics(t *testing.T) {
	t.Parallel()
	c := newCounted(t, 2, 2, func(i int) string { return fmt.Sprintf("a%d", i) })
	server, host := c.row.Server(c.places[0]), c.row.Host(c.places[4])
	for range 3 {
		server.Requests.Count(200)
	}
	server.Requests.Count(0)
	server.Active.Add(2)
	server.Bytes.Count(metrics.Down, 1234)
	server.Handshakes.Count(0x0304, true)
	host.FirstByte.Observe(int64(3 * time.Millisecond))
	host.FirstByte.Observe(int64(70 * time.Second))
	c.row.Process().Busy.Add(int64(1500 * time.Millisecond))
	c.table.Service().Reloads.Count(false)
	text, _ := c.scrape(t)
	for _, line := range []string{
		`kroxy_server_requests_total{server="http",code="2xx"} 3`,
		`kroxy_server_requests_total{server="http",code=""} 1`,
		`kroxy_server_requests_total{server="http",code="5xx"} 0`,
		`# TYPE kroxy_server_requests_total counter`,
		`kroxy_server_connections_active{server="http"} 2`,
		`# TYPE kroxy_server_connections_active gauge`,
		`kroxy_server_bytes_total{server="http",direction="down"} 1234`,
		`kroxy_server_tls_handshakes_total{server="http",version="1.3",resumed="yes"} 1`,
		`kroxy_route_requests_total{server="http",route="a1",code="2xx"} 0`,
		`kroxy_upstream_requests_total{group="web",code="2xx"} 0`,
		`kroxy_host_requests_total{group="web",host="a1",code="4xx"} 0`,
		`kroxy_host_first_byte_seconds_bucket{group="web",host="a0",le="0.001953125"} 0`,
		`kroxy_host_first_byte_seconds_bucket{group="web",host="a0",le="0.00390625"} 1`,
		`kroxy_host_first_byte_seconds_bucket{group="web",host="a0",le="+Inf"} 2`,
		`kroxy_host_first_byte_seconds_sum{group="web",host="a0"} 70.003`,
		`kroxy_host_first_byte_seconds_count{group="web",host="a0"} 2`,
		`# TYPE kroxy_host_first_byte_seconds histogram`,
		`kroxy_process_loop_busy_seconds_total{loop="0"} 1.5`,
		`kroxy_reloads_total{outcome="failed"} 1`,
		`kroxy_host_up{group="web",host="a0"} 1`,
		`kroxy_config_hash 10`,
	} {
		if !strings.Contains(text, line+"\n") {
			t.Errorf("no line %s in\n%s", line, text)
		}
	}
	if strings.Contains(text, `reason="complete"`) {
		t.Error("what ended well is told among the failures")
	}
}

// The ordinary buckets are those of the table, cumulated: each counts all values up to its bound. The native buckets contain them one by one.
func TestMetricsHistogram(t *testing.T) {
	t.Parallel()
	c := newCounted(t, 0, 1, func(int) string { return "r" })
	h := &c.row.Route(c.places[2]).Duration
	var all []time.Duration
	for d := 100 * time.Nanosecond; d < 200*time.Second; d = d*5/4 + 1 {
		for range 1 + len(all)%3 {
			h.Observe(int64(d))
			all = append(all, d)
		}
	}
	var out bytes.Buffer
	media, err := admin.NewMetrics(c.measure).Gather(&out, "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited")
	if err != nil {
		t.Fatal(err)
	}
	var got *dto.Histogram
	for dec := expfmt.NewDecoder(&out, expfmt.Format(media)); got == nil; {
		var f dto.MetricFamily
		if err := dec.Decode(&f); err != nil {
			t.Fatalf("no histogram of durations: %v", err)
		}
		if f.GetName() == "kroxy_route_duration_seconds" {
			got = f.Metric[0].Histogram
		}
	}
	for _, b := range got.Bucket {
		var want uint64
		for _, d := range all {
			if d.Seconds() <= b.GetUpperBound() || math.IsInf(b.GetUpperBound(), 1) {
				want++
			}
		}
		if b.GetUpperBound() < 64 && b.GetCumulativeCount() != want {
			t.Errorf("up to %v s there are %d, of %d", b.GetUpperBound(), b.GetCumulativeCount(), want)
		}
	}
	if n := len(got.Bucket); n < 17 || got.Bucket[0].GetUpperBound() > 0.0005 || got.Bucket[n-1].GetUpperBound() < 60 {
		t.Errorf("the buckets are %v", got.Bucket)
	}
	if got.GetSampleCount() != uint64(len(all)) || got.GetSchema() != 3 {
		t.Errorf("there are %d of %d, by schema %d", got.GetSampleCount(), len(all), got.GetSchema())
	}
	var count, total int64
	at := 0
	for i, span := range got.PositiveSpan {
		if i > 0 && span.GetOffset() <= 0 {
			t.Errorf("span %d begins %d behind the one before", i, span.GetOffset())
		}
		for range span.GetLength() {
			count += got.PositiveDelta[at]
			total += count
			at++
			if count <= 0 {
				t.Errorf("native bucket %d has %d", at, count)
			}
		}
	}
	if at != len(got.PositiveDelta) || total != int64(len(all)) {
		t.Errorf("the native buckets have %d in %d of %d deltas, want %d", total, at, len(got.PositiveDelta), len(all))
	}
}

// The name of a host or route may contain any characters.
func TestMetricsOddLabels(t *testing.T) {
	t.Parallel()
	odd := "a\"b\\c\nd{}=é"
	c := newCounted(t, 1, 1, func(int) string { return odd })
	_, families := c.scrape(t)
	for _, name := range []string{"kroxy_host_requests_total", "kroxy_route_requests_total"} {
		found := false
		for _, l := range families[name].GetMetric()[0].Label {
			found = found || l.GetValue() == odd
		}
		if !found {
			t.Errorf("%s is not told of %q", name, odd)
		}
	}
}

// Clients that ask for OpenMetrics get it, with its end marker.
func TestMetricsOpenMetrics(t *testing.T) {
	t.Parallel()
	c := newCounted(t, 1, 1, func(int) string { return "x" })
	var out bytes.Buffer
	media, err := admin.NewMetrics(c.measure).Gather(&out, "application/openmetrics-text;version=1.0.0,text/plain;q=0.5")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(media, "application/openmetrics-text") || !strings.HasSuffix(out.String(), "# EOF\n") {
		t.Errorf("%q ends with %q", media, out.String()[max(0, out.Len()-40):])
	}
}

// Prometheus' own checker has no complaints.
func TestMetricsPromtool(t *testing.T) {
	t.Parallel()
	promtool, err := exec.LookPath("promtool")
	if err != nil {
		t.Skip("promtool is not installed (Debian's package prometheus has it)")
	}
	c := newCounted(t, 2, 2, func(i int) string { return fmt.Sprintf("a%d", i) })
	c.status.Certificates = []admin.Certificate{{Path: "a.pem", NotAfter: time.Now()}}
	c.status.Workers = []admin.Worker{{Slot: 0, PID: os.Getpid(), State: "serving"}}
	text, _ := c.scrape(t)
	cmd := exec.Command(promtool, "check", "metrics")
	cmd.Stdin = strings.NewReader(text)
	if said, err := cmd.CombinedOutput(); err != nil || len(said) > 0 {
		t.Errorf("promtool check metrics: %v\n%s", err, said)
	}
}

// If a host appears twice, or series have no place, there is an answer nevertheless.
func TestMetricsTwiceTheSame(t *testing.T) {
	t.Parallel()
	c := newCounted(t, 1, 1, func(int) string { return "x" })
	c.status.Groups[0].Hosts = append(c.status.Groups[0].Hosts, c.status.Groups[0].Hosts[0])
	c.places[2] = 0
	_, families := c.scrape(t)
	if n := len(families["kroxy_host_up"].GetMetric()); n != 1 {
		t.Errorf("the host is told of %d times", n)
	}
	if families["kroxy_route_requests_total"] != nil {
		t.Error("a route that has no place is told of")
	}
}

// BenchmarkScrape measures a scrape of 1,000 hosts and 100 routes, with 2 loops.
func BenchmarkScrape(b *testing.B) {
	c := newCounted(b, 1000, 100, func(i int) string { return fmt.Sprintf("10.0.%d.%d:8080", i/250, i%250) })
	second, err := c.table.Row(1)
	if err != nil {
		b.Fatal(err)
	}
	for i, s := range c.series {
		for _, row := range []*metrics.Row{c.row, second} {
			if s.Kind == metrics.KindHost {
				for d := time.Millisecond; d < time.Second; d *= 2 {
					row.Host(c.places[i]).FirstByte.Observe(int64(d))
				}
			}
		}
	}
	m := admin.NewMetrics(c.measure)
	for b.Loop() {
		if _, err := m.Gather(io.Discard, ""); err != nil {
			b.Fatal(err)
		}
	}
}
