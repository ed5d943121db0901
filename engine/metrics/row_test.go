package metrics_test

import (
	"errors"
	"testing"

	"golang.org/x/sys/unix"

	"kroxy-ev/engine/metrics"
	"kroxy-ev/engine/shared"
)

// Counts with an invalid place, or none, are lost and damage nothing.
func TestInvalidPlacesAreIgnored(t *testing.T) {
	t.Parallel()
	table := newTable(t)
	at := assign(t, table, server("a"))[0]
	r := row(t, table, 0)
	for _, p := range []metrics.Place{0, 1, 7, 1<<23 - 1, 1 << 23, 1<<32 - 1} {
		r.Server(p).Accepted.Add(1)
		r.Route(p).Duration.Observe(1)
		r.Group(p).Queued.Add(1)
		r.Host(p).Connect.Observe(1)
		table.Server(p)
	}
	metrics.NewRow().Server(at).Accepted.Add(1)
	metrics.NewRow().Process().Lines.Add(1)
	if table.Server(at).Accepted.Value() != 0 || table.Process(0).Lines.Value() != 0 {
		t.Error("something was counted")
	}
	mapped(t, r) // its head is unchanged
	if fd := metrics.NewRow().FD(); fd != -1 {
		t.Errorf("a row of the process's own has the descriptor %d", fd)
	}
}

func TestMapRowRefuses(t *testing.T) {
	t.Parallel()
	other, err := shared.New(shared.Format{Name: "test", Magic: 1, Layout: 1}, 100)
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	fd := dup(t, other.FD())
	if r, err := metrics.MapRow(fd); !errors.Is(err, shared.ErrLayout) || r != nil {
		t.Errorf("%v, %v", r, err)
	}
	if r, err := metrics.MapRow(-1); !errors.Is(err, unix.EBADF) || r != nil {
		t.Errorf("%v, %v", r, err)
	}
}

func TestCountingAllocatesNothing(t *testing.T) {
	table := newTable(t)
	p := assign(t, table, host("h"))[0]
	r := row(t, table, 0)
	if n := testing.AllocsPerRun(100, func() {
		h := r.Host(p)
		h.Requests.Count(200)
		h.Bytes.Count(metrics.Up, 10)
		h.Open.Add(1)
		h.Connect.Observe(123456)
		r.Process().Suppressed.Add(1)
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkCount(b *testing.B) {
	table := newTable(b)
	p := assign(b, table, host("h"))[0]
	r := row(b, table, 0)
	b.Run("counter", func(b *testing.B) {
		for b.Loop() {
			r.Host(p).Opened.Add(1)
		}
	})
	b.Run("histogram", func(b *testing.B) {
		ns := int64(1000)
		for b.Loop() {
			ns = ns*5%1000003 + 1000
			r.Host(p).Connect.Observe(ns)
		}
	})
}

func BenchmarkSum(b *testing.B) {
	table := newTable(b)
	p := assign(b, table, host("h"))[0]
	for n := range 8 {
		row(b, table, n).Host(p).Connect.Observe(1e6)
	}
	for b.Loop() {
		table.Host(p)
	}
}
