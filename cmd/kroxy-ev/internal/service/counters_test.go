package service

import (
	"bytes"
	"log/slog"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"kroxy-ev/cmd/kroxy-ev/internal/proxy"
	"kroxy-ev/config"
)

func countersOf(t *testing.T) *counters {
	t.Helper()
	c, err := newCounters(slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.close)
	return c
}

// passedOn returns descriptors as a successor receives them.
func passedOn(t *testing.T, files ...int) []int {
	t.Helper()
	own := make([]int, len(files))
	for i, fd := range files {
		var err error
		if own[i], err = unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 0); err != nil {
			t.Fatal(err)
		}
	}
	return own
}

// successorOf makes the counters of a successor of c, and returns them with what it has logged.
func successorOf(t *testing.T, c *counters, memory int, state []byte) (*counters, string) {
	t.Helper()
	_, rows := c.metrics.Snapshot()
	var log bytes.Buffer
	h, err := inheritCounters(memory, c.registry.Snapshot(), passedOn(t, rows...), state, slog.New(slog.NewTextHandler(&log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(h.close)
	return h, log.String()
}

func oneServer() *config.Config {
	g := &config.Group{Name: "g", Hosts: []config.Host{{Name: "127.0.0.1", Port: 9}}}
	return &config.Config{Groups: []*config.Group{g}, Servers: []*config.Server{{Name: "s", Routes: []config.Route{{Name: "r", To: []config.Target{{Group: g}}}}}}}
}

// When a worker dies, what it has counted remains, and what it held is subtracted; the next one continues in its row. A successor of the master
// knows all of that, and its workers never get the row of one that is still running.
func TestCountersOutliveWorkersAndMasters(t *testing.T) {
	t.Parallel()
	c := countersOf(t)
	var res proxy.Resources
	if err := c.assign(oneServer(), &res); err != nil {
		t.Fatal(err)
	}
	c.commit()
	c.reloaded(nil)
	place := proxy.PlacesOf(oneServer(), res.Places).Server(0)
	first, row, err := c.take()
	if err != nil {
		t.Fatal(err)
	}
	row.Server(place).Accepted.Add(2)
	row.Server(place).Active.Add(2)
	c.clear(first)
	again, row, err := c.take()
	if err != nil || again != first {
		t.Fatalf("row %d, then %d, %v", first, again, err)
	}
	row.Server(place).Accepted.Add(1)
	row.Server(place).Active.Add(1)
	if s := c.metrics.Server(place); s.Accepted.Value() != 3 || s.Active.Value() != 1 {
		t.Errorf("%d accepted, %d active", s.Accepted.Value(), s.Active.Value())
	}

	state, _ := c.metrics.Snapshot()
	h, said := successorOf(t, c, passedOn(t, c.memory.FD())[0], state)
	if said != "" || !h.inherited {
		t.Errorf("inherited %t: %s", h.inherited, said)
	}
	var next proxy.Resources
	if err := h.assign(oneServer(), &next); err != nil || !slices.Equal(next.Places, res.Places) {
		t.Errorf("places %v, then %v, %v", res.Places, next.Places, err)
	}
	other, own, err := h.take()
	if err != nil || other == again {
		t.Fatalf("the successor's worker has row %d, and so has one of its predecessor, %v", other, err)
	}
	own.Server(place).Accepted.Add(1)
	row.Server(place).Accepted.Add(1) // continues the count of its predecessor
	c.clear(again)
	if s := h.metrics.Server(place); s.Accepted.Value() != 5 || s.Active.Value() != 0 || h.metrics.Service().Reloads.OK() != 1 {
		t.Errorf("%d accepted, %d active, %d reloads", s.Accepted.Value(), s.Active.Value(), h.metrics.Service().Reloads.OK())
	}
}

// If nothing can be taken over, counters start again from zero.
func TestCountersBeginAnew(t *testing.T) {
	t.Parallel()
	c := countersOf(t)
	if _, _, err := c.take(); err != nil {
		t.Fatal(err)
	}
	state, rows := c.metrics.Snapshot()
	for what, try := range map[string]struct {
		memory    int
		state     []byte
		inherited bool
		says      string
	}{
		"hosts are counted otherwise":   {rows[0], state, false, ""},
		"there were no metrics":         {c.memory.FD(), nil, true, ""},
		"metrics are counted otherwise": {c.memory.FD(), []byte(`{"Rows":[0,1,2]}`), true, "metrics start again from zero"},
	} {
		h, said := successorOf(t, c, passedOn(t, try.memory)[0], try.state)
		if h.inherited != try.inherited || !strings.Contains(said, try.says) || try.says == "" && said != "" {
			t.Errorf("%s: inherited %t, says %q", what, h.inherited, said)
		}
		if n := h.metrics.Rows(); len(n) != 0 {
			t.Errorf("%s: there are rows %v", what, n)
		}
	}
}
