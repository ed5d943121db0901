package proxy

import (
	"fmt"
	"io"
	"testing"
	"time"

	"kroxy-ev/engine/enginetest"
	"kroxy-ev/engine/metrics"
)

// Figures that belong to no server are counted, too: the time of loops, pauses in accepting, and log lines that are lost or only counted.
func TestProcessIsCounted(t *testing.T) {
	t.Parallel()
	refusing := enginetest.Refusing(t, enginetest.Loopback)
	c := serveCounted(t, 1, func(_ string, ports []uint16) string {
		return fmt.Sprintf(`{"max_connections": 1, "file_log": "/dev/full", "servers": {"none": {"hosts": [{"host": "127.0.0.1", "port": %d}]}},
			"http": {"listen": [{"address": "127.0.0.1", "port": %d}], "proxy_to": "none"}}`, refusing.Port(), ports[0])
	})
	first := c.dial(0)
	_, _ = io.WriteString(first, "GET")
	second := c.dial(0) // it has to wait
	sum := func(count func(*metrics.Process) uint64) (n uint64) {
		for _, row := range c.rows {
			n += count(c.table.Process(row))
		}
		return n
	}
	for until := time.Now().Add(enginetest.Patience); sum(func(p *metrics.Process) uint64 { return p.Paused[metrics.PausedLimit].Value() }) == 0; time.Sleep(time.Millisecond) {
		if time.Now().After(until) {
			t.Fatal("accepting has not paused")
		}
	}
	_ = first.Close()
	_ = second.Close()
	const times = 20
	for range times {
		c.asks(0, []int{502}, get("/", "Connection: close\r\n"))
	}
	c.close()
	lines, lost := sum(func(p *metrics.Process) uint64 { return p.Lines.Value() }), sum(func(p *metrics.Process) uint64 { return p.LinesLost.Value() })
	if lines < times || lines > times+1 || lost != lines { // there may be one about the first client
		t.Errorf("%d lines, of which %d are lost, want %d and all of them", lines, lost, times)
	}
	if n := sum(func(p *metrics.Process) uint64 { return p.Suppressed.Value() }); n < times-1 {
		t.Errorf("%d lines of the error log were only counted, want %d at least", n, times-1)
	}
	for _, row := range c.rows {
		if p := c.table.Process(row); p.Busy.Value() <= 0 || p.Waited.Value() <= 0 || p.Runs.Count() == 0 {
			t.Errorf("the loop of row %d was busy for %v in %d runs and has waited for %v", row, p.Busy.Value(), p.Runs.Count(), p.Waited.Value())
		}
	}
}
