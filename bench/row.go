package bench

import (
	"fmt"
	"time"
)

// requestRow makes w a workload of repeated exchanges on conns connections.
func requestRow(w workload, e exchange, conns int) *workload {
	return jobRow(w, job{Exchange: e, Conns: conns})
}

// jobRow makes w a workload of repeated exchanges of j.
func jobRow(w workload, j job) *workload {
	unit, share := "op", time.Duration(1)
	if j.Exchange.closes() {
		unit, share = "conn", 2 // half the time, because each connection leaves sockets in TIME_WAIT
	}
	w.units = []string{"cpu-us/" + unit, unit + "s/s", "errors"}
	w.measure = func(h *harness, t *target) (metrics, error) {
		j := j
		j.Addr, j.TLS, j.Duration = t.addr, t.tls(), h.load/share
		d, err := j.dialer()
		var one int64
		if err == nil {
			one, err = j.Exchange.once(d, nil)
		}
		if err == nil && j.TLS && h.takesWrk(j) {
			err = h.checkWrk(j.Addr)
		}
		if err != nil {
			return nil, fmt.Errorf("bench: before the load: %w", err)
		}
		cpu, r, err := t.cpuDuring(func() (result, error) { return requests(h, j) })
		if err != nil {
			return nil, err
		}
		if err := r.checkSize(one, j.Conns); err != nil {
			return nil, err
		}
		return perOp(unit, cpu, r)
	}
	return &w
}

// perOp returns the metrics of small units of work. Failures cost the proxy time too, so more than a few make the figures worthless: that is an
// error.
func perOp(unit string, cpu time.Duration, r result) (metrics, error) {
	if r.Errors > r.Ops/1000 {
		return nil, fmt.Errorf("bench: %d of %d requests failed: %s", r.Errors, r.Errors+r.Ops, r.Failure)
	}
	return metrics{
		"cpu-us/" + unit: float64(cpu) / float64(time.Microsecond) / float64(r.Ops),
		unit + "s/s":     float64(r.Ops) / r.Elapsed.Seconds(),
		"errors":         float64(r.Errors),
	}, nil
}
