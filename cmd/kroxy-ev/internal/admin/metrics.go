package admin

import (
	"fmt"
	"io"
	"maps"
	"math"
	"net/http"
	"os"
	"runtime"
	"slices"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"google.golang.org/protobuf/proto"

	"kroxy-ev/engine/metrics"
)

// Measured is the input of a scrape: the counts, and what the program does now.
type Measured struct {
	Table  *metrics.Table
	Series []metrics.Series // of the configuration in force
	Places []metrics.Place  // of Series, in Table
	Status *Status
}

// Metrics writes the measurements in the formats of Prometheus. Its methods may be called from any goroutine.
//
// The families are made here and not by a prometheus.Registry, which would sort and check some 30,000 metrics at each scrape of 1,000 hosts:
// names and labels come from declarations and the configuration, so there is nothing to check. Metrics of this process itself come from the
// collectors of client_golang.
type Metrics struct {
	measure func() (Measured, error)
	process prometheus.Gatherer
}

// NewMetrics makes Metrics that call measure at each scrape.
func NewMetrics(measure func() (Measured, error)) *Metrics {
	r := prometheus.NewRegistry()
	r.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return &Metrics{measure, r}
}

// Gather writes all metrics in the format that accept, a header field value, asks for: Prometheus text, OpenMetrics, or protocol buffers, which
// alone have native histograms. It returns the media type.
func (m *Metrics) Gather(w io.Writer, accept string) (mediaType string, err error) {
	measured, err := m.measure()
	if err != nil {
		return "", fmt.Errorf("admin: while gathering metrics: %w", err)
	}
	families := measured.families()
	process, err := m.process.Gather()
	if err != nil {
		return "", fmt.Errorf("admin: while gathering metrics of this process: %w", err)
	}
	format := expfmt.NegotiateAccept(http.Header{"Accept": {accept}}, expfmt.DefaultOpenMetricsAcceptedFormats()...)
	e := expfmt.NewEncoder(w, format)
	for _, f := range append(families, process...) {
		if len(f.Metric) == 0 {
			continue
		}
		if err := e.Encode(f); err != nil {
			return "", fmt.Errorf("admin: while writing metrics: %w", err)
		}
	}
	if c, ok := e.(expfmt.Closer); ok { // OpenMetrics has an end marker
		if err := c.Close(); err != nil {
			return "", fmt.Errorf("admin: while writing metrics: %w", err)
		}
	}
	return string(format), nil
}

// families returns all metrics: those declared by the columns of engine/metrics, and those of the status.
func (m *Measured) families() []*dto.MetricFamily {
	var all []*dto.MetricFamily
	var columns [metrics.KindService + 1][]column
	for kind := range columns {
		for _, c := range metrics.Columns(metrics.Kind(kind)) {
			col := newColumn(c)
			columns[kind] = append(columns[kind], col)
			all = append(all, col.family)
		}
	}
	var sums metrics.Sums
	for i, s := range m.Series {
		if m.Places[i] != 0 { // otherwise there is no room to count it
			sums = m.Table.Sum(s.Kind, m.Places[i], sums)
			collect(columns[s.Kind], sums, pairs(s.Labels()))
		}
	}
	for _, row := range m.Table.Rows() {
		collect(columns[metrics.KindProcess], m.Table.ProcessSums(row), pairs([]string{"loop"}, []string{strconv.Itoa(row)}))
	}
	collect(columns[metrics.KindService], m.Table.ServiceSums(), nil)
	return append(all, m.Status.families()...)
}

// column is a declared column with its metric family.
type column struct {
	metrics.Column
	family *dto.MetricFamily
	cells  [][]*dto.LabelPair // the labels of each cell; nil for a cell that is never counted
}

func newColumn(c metrics.Column) column {
	kind := dto.MetricType_COUNTER
	switch c.Type {
	case metrics.TypeHistogram:
		kind = dto.MetricType_HISTOGRAM
	case metrics.TypeGauge, metrics.TypeMoment:
		kind = dto.MetricType_GAUGE
	}
	col := column{c, &dto.MetricFamily{Name: &c.Name, Help: &c.Help, Type: &kind}, make([][]*dto.LabelPair, len(c.Values))}
	for i, values := range c.Values {
		if values != nil {
			col.cells[i] = pairs(c.Labels, values)
		}
	}
	return col
}

// pairs returns labels with these names and values; never nil.
func pairs(names, values []string) []*dto.LabelPair {
	list := make([]*dto.LabelPair, len(names))
	for i := range names {
		list[i] = &dto.LabelPair{Name: &names[i], Value: &values[i]}
	}
	return list
}

// collect adds the counts of a series with these labels.
func collect(columns []column, sums metrics.Sums, labels []*dto.LabelPair) {
	for i := range columns {
		c := &columns[i]
		for cell, more := range c.cells {
			if more == nil {
				continue
			}
			m := &dto.Metric{Label: append(labels[:len(labels):len(labels)], more...)}
			c.family.Metric = append(c.family.Metric, m)
			if c.Type == metrics.TypeHistogram {
				m.Histogram = newHistogram(sums.Histogram(&c.Column, cell))
				continue
			}
			value := float64(sums.Value(&c.Column, cell))
			if c.Type == metrics.TypeTime || c.Type == metrics.TypeMoment {
				value /= 1e9
			}
			if c.family.GetType() == dto.MetricType_GAUGE {
				m.Gauge = &dto.Gauge{Value: &value}
			} else {
				m.Counter = &dto.Counter{Value: &value}
			}
		}
	}
}

// The classic buckets are octaves: from firstBucket on, perBucket buckets of engine/metrics make one. They end at 0.49 ms, 0.98 ms and so on, up to
// 64 s. These are exact bounds of the finer buckets, so nothing is interpolated.
const (
	perBucket   = 8
	firstBucket = 9*perBucket - 1
)

// ordinaryBuckets is the number of classic buckets.
const ordinaryBuckets = (metrics.Buckets - firstBucket + perBucket - 1) / perBucket

// newHistogram returns a histogram with both kinds of buckets: a scraper that supports native ones uses those.
func newHistogram(from *metrics.Histogram) *dto.Histogram {
	h := &dto.Histogram{Schema: proto.Int32(metrics.NativeSchema), ZeroThreshold: proto.Float64(metrics.Bound(-1)), ZeroCount: proto.Uint64(0)}
	h.Bucket = make([]*dto.Bucket, 0, ordinaryBuckets)
	var total, last int64
	next := 0 // the native bucket after the last one that was written
	for i := range metrics.Buckets {
		n := int64(from.Bucket(i))
		total = min(total, math.MaxInt64-n) + n
		if n > 0 {
			if gap := i - next; len(h.PositiveSpan) == 0 {
				h.PositiveSpan = []*dto.BucketSpan{{Offset: proto.Int32(int32(metrics.NativeIndex(i))), Length: proto.Uint32(0)}}
			} else if gap > 0 {
				h.PositiveSpan = append(h.PositiveSpan, &dto.BucketSpan{Offset: proto.Int32(int32(gap)), Length: proto.Uint32(0)})
			}
			*h.PositiveSpan[len(h.PositiveSpan)-1].Length++
			h.PositiveDelta = append(h.PositiveDelta, n-last)
			next, last = i+1, n
		}
		if i >= firstBucket && (i-firstBucket)%perBucket == 0 {
			h.Bucket = append(h.Bucket, &dto.Bucket{UpperBound: proto.Float64(metrics.Bound(i)), CumulativeCount: proto.Uint64(uint64(total))})
		}
	}
	h.SampleCount, h.SampleSum = proto.Uint64(uint64(total)), proto.Float64(from.Sum().Seconds())
	if len(h.PositiveSpan) == 0 { // a span without buckets marks the histogram as native
		h.PositiveSpan = []*dto.BucketSpan{{Offset: proto.Int32(0), Length: proto.Uint32(0)}}
	}
	return h
}

// gauges collects gauge families. Each family is made when the first gauge is added.
type gauges struct {
	list   []*dto.MetricFamily
	byName map[string]*dto.MetricFamily
}

// add adds a gauge. Labels are names and values alternately.
func (g *gauges) add(name, help string, value float64, labels ...string) {
	f := g.byName[name]
	if f == nil {
		name = "kroxy_" + name
		f = &dto.MetricFamily{Name: &name, Help: &help, Type: dto.MetricType_GAUGE.Enum()}
		g.byName[name[len("kroxy_"):]] = f
		g.list = append(g.list, f)
	}
	m := &dto.Metric{Gauge: &dto.Gauge{Value: &value}}
	for i := 0; i < len(labels); i += 2 {
		m.Label = append(m.Label, &dto.LabelPair{Name: &labels[i], Value: &labels[i+1]})
	}
	f.Metric = append(f.Metric, m)
}

// families returns the metrics that come from the status.
func (s *Status) families() []*dto.MetricFamily {
	g := gauges{byName: make(map[string]*dto.MetricFamily)}
	g.add("build_info", "Always 1; the labels say which program runs.", 1, "version", s.Version, "go", runtime.Version())
	g.add("start_time_seconds", "Time when the program started, in seconds since 1970; an upgrade does not change it.", seconds(s.Started))
	g.add("serving", "1 while new clients are accepted, else 0.", number(s.State == "serving" || s.State == "reloading"))
	if len(s.Hash) >= 12 {
		hash, _ := strconv.ParseUint(s.Hash[:12], 16, 64) // 0 if it is none
		g.add("config_hash", "The first 48 bits of the hash of the configuration in force; it changes with the configuration.", float64(hash))
	}
	s.processes(&g)
	for i := range s.Groups {
		s.Groups[i].gauges(&g)
	}
	told := make(map[string]bool)
	for _, c := range s.Certificates {
		if !told[c.Path] {
			told[c.Path] = true
			g.add("certificate_not_after_timestamp_seconds", "Time when the certificate expires, in seconds since 1970.", seconds(c.NotAfter), "path", c.Path)
		}
	}
	return g.list
}

// processes adds the metrics of the running processes, by slot: labels with PIDs would make a series for each process that ever ran.
func (s *Status) processes(g *gauges) {
	const help = "Open descriptors of a process."
	if n, ok := descriptors(s.PID); ok {
		g.add("open_descriptors", help, float64(n), "process", s.Mode)
	}
	states := make(map[string]int)
	slots := make(map[int]bool)
	for _, w := range s.Workers {
		states[w.State]++
		if n, ok := descriptors(w.PID); ok && !slots[w.Slot] {
			slots[w.Slot] = true
			g.add("open_descriptors", help, float64(n), "process", "worker "+strconv.Itoa(w.Slot))
		}
	}
	for _, state := range slices.Sorted(maps.Keys(states)) {
		g.add("workers", "Worker processes, by state.", float64(states[state]), "state", state)
	}
}

// gauges adds the metrics of a group and its hosts.
func (group *Group) gauges(g *gauges) {
	g.add("upstream_hosts_usable", "Hosts of the group that get new clients now.", float64(group.Usable), "group", group.Name)
	g.add("upstream_hosts", "Hosts of the group.", float64(len(group.Hosts)), "group", group.Name)
	seen := make(map[string]bool, len(group.Hosts))
	for i := range group.Hosts {
		h := &group.Hosts[i]
		if seen[h.Host] { // the same host twice is one series
			continue
		}
		seen[h.Host] = true
		add := func(name, help string, value float64) { g.add(name, help, value, "group", group.Name, "host", h.Host) }
		add("host_up", "1 unless the host is down.", number(h.State != StateDown))
		add("host_draining", "1 if the host is drained and gets no new clients.", number(h.Drain))
		add("host_requests_active", "Active requests and sessions of the host.", float64(h.Active))
		add("host_weight", "The host's weight in force.", float64(h.Weight))
		add("host_max_requests", "The host's max_conns; 0 is no limit.", float64(h.MaxConns))
		add("host_state_timestamp_seconds", "Time when the host entered its state, in seconds since 1970.", seconds(h.Since))
	}
}

// seconds returns the seconds since 1970, or 0 for the zero time.
func seconds(t time.Time) float64 {
	if t.IsZero() {
		return 0
	}
	return float64(t.UnixNano()) / 1e9
}

func number(is bool) float64 {
	if is {
		return 1
	}
	return 0
}

// descriptors returns how many files a process has open.
func descriptors(pid int) (n int, ok bool) {
	if pid <= 0 {
		return 0, false
	}
	dir := "/proc/" + strconv.Itoa(pid) + "/fd"
	if st, err := os.Stat(dir); err == nil && st.Size() > 0 { // since Linux 6.2
		return int(st.Size()), true
	}
	list, err := os.ReadDir(dir)
	return len(list), err == nil
}
