package bench

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"testing"
	"time"
)

// fakeGauge is a gauge of a number of threads; set replaces the contents of their schedstat: the time that each ran and the time that it waited.
func fakeGauge(t *testing.T, threads int) (g *gauge, set func(times ...time.Duration)) {
	t.Helper()
	dir := t.TempDir()
	g = &gauge{}
	set = func(times ...time.Duration) {
		for i := range threads {
			line := fmt.Sprintf("%d %d 7\n", times[2*i], times[2*i+1])
			if err := os.WriteFile(filepath.Join(dir, fmt.Sprint(i)), []byte(line), 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
	set(make([]time.Duration, 2*threads)...)
	for i := range threads {
		f, err := os.Open(filepath.Join(dir, fmt.Sprint(i)))
		if err != nil {
			t.Fatal(err)
		}
		g.threads = append(g.threads, threadTimes{stat: f})
	}
	t.Cleanup(g.close)
	return g, set
}

func TestGauge(t *testing.T) {
	t.Parallel()
	g, set := fakeGauge(t, 2)
	for i, tc := range []struct {
		times []time.Duration
		want  time.Duration
	}{
		{[]time.Duration{100, 30, 10, 900}, 20}, // 30 is the busiest other one, but its own sibling ran for 10 of them
		{[]time.Duration{200, 30, 10, 990}, 0},
		{[]time.Duration{300, 40, 90, 990}, 0}, // all of it was used by the family
		{[]time.Duration{300, 40, 190, 995}, 5},
		{[]time.Duration{300, 40, 190, 995}, 0},
	} {
		set(tc.times...)
		if got := g.kept(); got != tc.want {
			t.Errorf("reading %d: %d, want %d", i, got, tc.want)
		}
	}
	self, err := newGauge(os.Getpid())
	if err != nil || len(self.threads) == 0 {
		t.Fatalf("%+v, %v", self, err)
	}
	defer self.close()
	if d := self.kept(); d < 0 || d > time.Minute {
		t.Errorf("own process: %v", d)
	}
	known := len(self.threads)
	stop := make(chan bool)
	defer close(stop)
	for range known + 1 {
		go func() {
			runtime.LockOSThread()
			defer runtime.UnlockOSThread()
			<-stop
		}()
	}
	for end := time.Now().Add(30 * time.Second); len(self.threads) == known && time.Now().Before(end); {
		time.Sleep(time.Millisecond)
		self.kept()
	}
	if len(self.threads) == known {
		t.Error("threads that start later are not seen")
	}
	if _, err := newGauge(1 << 30); err == nil {
		t.Error("no error for a process that does not exist")
	}
}

// A slice counts if nobody else used the CPUs during it and during the one before.
func TestSampler(t *testing.T) {
	t.Parallel()
	const ms = time.Millisecond
	g, set := fakeGauge(t, 1)
	s := newSampler(g, 100)
	var waited time.Duration
	for i, foreign := range []time.Duration{0, 0, 3 * ms, 0, 0, 0, 0, 0} {
		waited += foreign
		begin := time.Duration(i) * sliceLength
		set(begin+sliceLength, waited)
		s.add(time.Duration(i+1) * time.Second)
		for now := ms / 2; now <= sliceLength; now += ms / 2 {
			if i == 5 && now > 50*ms && now < 53*ms {
				continue // the load has no CPU of its own
			}
			s.tick(begin + now)
		}
	}
	// Slices 2 and 5 (of 0 to 7) were disturbed, and 3 and 6 follow them.
	want := []time.Duration{1 * time.Second, 2 * time.Second, 5 * time.Second, 8 * time.Second}
	if fmt.Sprint(s.times) != fmt.Sprint(want) || s.counted != 4 || s.slices != 8 {
		t.Errorf("times %v of %d slices of %d, want %v", s.times, s.counted, s.slices, want)
	}
	if !s.enough(4*sliceLength) || s.enough(5*sliceLength) {
		t.Error("enough does not tell")
	}
	if p50, p99 := s.percentiles(); p50 != 5*time.Second || p99 != 8*time.Second {
		t.Errorf("percentiles %v, %v", p50, p99)
	}
	all := newSampler(nil, 0)
	all.add(1)
	all.tick(3 * sliceLength)
	if all.add(2); all.counted != 1 || len(all.times) != 1 {
		t.Errorf("without a gauge: %+v", all)
	}
}

// Hosts and load on one thread, without a proxy; with and without a process to watch.
func TestPingHosts(t *testing.T) {
	t.Parallel()
	p, err := newPinger()
	if err != nil {
		t.Fatal(err)
	}
	defer p.close()
	port, err := p.listen()
	if err != nil {
		t.Fatal(err)
	}
	j := job{Addr: fmt.Sprintf("127.0.0.1:%d", port), Exchange: getSmall, Conns: 8}
	if r, err := atLeast(8, lasting(j, p.do)); err != nil || r.Ops < 8 || r.Errors > 0 {
		t.Errorf("as fast as it goes: %+v, %v", r, err)
	}
	j.Rate = 1000
	var d time.Duration
	do := func(as time.Duration) (result, error) {
		d, j.Duration = as, as
		return p.do(j)
	}
	if r, err := atLeast(50, do); err != nil || r.Ops < 50 || r.Ops > d.Milliseconds()+1 || r.Errors > 0 || r.P50 == 0 || r.P99 < r.P50 || r.Counted != 1 {
		t.Errorf("at 1000/s for %v: %+v, %v", d, r, err)
	}
	j.Watch = os.Getpid() // it is busy with other tests, so hardly anything may count, but the load ends
	if r, err := atLeast(50, do); err != nil || r.Ops < 50 || r.Ops > mostSlices*d.Milliseconds()+1 || r.Errors > 0 || r.Elapsed < d {
		t.Errorf("with a watch, for %v: %+v, %v", d, r, err)
	}
	j.Exchange.Size++
	if _, err := p.do(j); err == nil {
		t.Error("a response of another size: no error")
	}
}
