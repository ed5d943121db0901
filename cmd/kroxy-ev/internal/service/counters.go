package service

import (
	"errors"
	"log/slog"
	"time"

	"golang.org/x/sys/unix"

	"kroxy-ev/balance"
	"kroxy-ev/cmd/kroxy-ev/internal/proxy"
	"kroxy-ev/config"
	"kroxy-ev/engine/metrics"
)

// counters are the memory in which all processes count, and the assignment of places in it: connections to hosts, by which hosts are chosen,
// and metrics. They outlive reloads, workers and upgrades. A writer has the same row number in both.
type counters struct {
	memory    *balance.Counters
	registry  *balance.Registry
	metrics   *metrics.Table
	inherited bool // a predecessor made memory
	log       *slog.Logger
	full      bool // the lack of room for more metrics has been logged
}

// newCounters makes empty counters.
func newCounters(log *slog.Logger) (*counters, error) {
	c, err := balance.NewShared(balance.MaxRows, balance.MaxHosts)
	if err != nil {
		return nil, err
	}
	table, err := metrics.NewTable()
	if err != nil {
		return nil, err
	}
	return &counters{memory: c, registry: balance.NewRegistry(c), metrics: table, log: log}, nil
}

// close releases the memory; nobody may count in it any more.
func (c *counters) close() {
	c.memory.Close()
	c.metrics.Close()
}

// inheritCounters takes over a predecessor's counts. It takes ownership of the files: that of memory, and those of the metrics. If this
// version counts in another way, it starts from zero.
func inheritCounters(memory int, registry []byte, rows []int, state []byte, log *slog.Logger) (*counters, error) {
	c, err := newCounters(log)
	if err != nil {
		return nil, err
	}
	shared, err := balance.MapCounters(memory)
	if err != nil {
		closeAll(rows) // their row numbers may be used anew
		return c, nil
	}
	r, err := balance.RestoreRegistry(shared, registry)
	if err != nil {
		shared.Close()
		closeAll(rows)
		return c, nil
	}
	c.memory.Close()
	c.memory, c.registry, c.inherited = shared, r, true
	if state == nil { // the predecessor had none
		closeAll(rows)
		return c, nil
	}
	table, err := metrics.RestoreTable(state, rows)
	if err != nil {
		log.Warn("kroxy-ev: metrics start again from zero", "error", err)
		return c, nil
	}
	c.metrics.Close()
	c.metrics = table
	return c, nil
}

// assign sets the ids and places for cfg in res. They are provisional until commit.
func (c *counters) assign(cfg *config.Config, res *proxy.Resources) error {
	ids, err := c.registry.Assign(proxy.HostKeys(cfg))
	if err != nil {
		return cfg.KeyError(nil, "servers", err.Error(), "remove some")
	}
	places, unmeasured := c.metrics.Assign(proxy.SeriesOf(cfg))
	if unmeasured > 0 && !c.full {
		c.full = true
		c.log.Warn("kroxy-ev: there are too many servers, routes, groups and hosts for the metrics; some are not counted", "without", unmeasured)
	}
	res.IDs, res.Places = ids, places
	return nil
}

// commit puts the configuration of the last assign in force.
func (c *counters) commit() {
	c.registry.Commit()
	c.metrics.Commit()
}

// started records when the first configuration of this process came into force.
func (c *counters) started() { c.metrics.Service().Applied.Set(time.Now()) }

// reloaded counts a reload with this outcome.
func (c *counters) reloaded(err error) {
	s, now := c.metrics.Service(), time.Now()
	s.Reloads.Count(err == nil)
	if s.Reloaded.Set(now); err == nil {
		s.Applied.Set(now)
	}
}

// take takes a row for a writer.
func (c *counters) take() (int, *metrics.Row, error) {
	n, err := c.memory.TakeRow()
	if err != nil {
		return 0, nil, err
	}
	row, err := c.metrics.Row(n)
	if err != nil {
		c.memory.ClearRow(n)
		return 0, nil, err
	}
	return n, row, nil
}

// reserve makes the rows of the next n writers, which may be a successor's workers. Then both masters read these rows; otherwise, a client that
// asks one master and then the other could see counters fall.
func (c *counters) reserve(n int) error {
	for _, row := range c.memory.FreeRows(n) {
		if _, err := c.metrics.Row(row); err != nil {
			return err
		}
	}
	return nil
}

// clear gives up a row whose writer is gone, with everything that the writer held.
func (c *counters) clear(row int) {
	c.metrics.ClearGauges(row) // first, because the row may get another writer as soon as it is given up
	c.memory.ClearRow(row)
}

// orphanTime is how long the workers of a killed master may still run.
const orphanTime = time.Second

// reclaim gives up the rows of masters that died without doing so, once their workers have ended too. Dead is the PID of such a master, which
// may not have been reaped yet; 0 if there is none.
func (c *counters) reclaim(dead int) {
	time.Sleep(orphanTime)
	for {
		row, ok := c.memory.TakeOrphan(func(pid int) bool { return pid != dead && !errors.Is(unix.Kill(pid, 0), unix.ESRCH) })
		if !ok {
			return
		}
		c.clear(row)
		c.log.Warn("kroxy-ev: a master died before its workers had ended; the connections that they held are subtracted", "row", row)
	}
}

// reclaimAfter reclaims the predecessor's rows when the predecessor has ended.
func (c *counters) reclaimAfter(predecessor int) {
	fd, err := unix.PidfdOpen(predecessor, 0)
	if err == nil {
		for err = unix.EINTR; errors.Is(err, unix.EINTR); {
			_, err = unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, -1)
		}
		_ = unix.Close(fd)
	}
	if err == nil || errors.Is(err, unix.ESRCH) {
		c.reclaim(predecessor)
	}
}

// options returns the options of a proxy with n reactors: a row for each, and new session ticket keys.
func (c *counters) options(cfg *config.Config, n int) (proxy.Options, error) {
	o := proxy.Options{Counters: c.memory, Resources: proxy.Resources{Tickets: proxy.Tickets{}.Rotated(), Secret: proxy.NewSecret()}}
	if err := c.assign(cfg, &o.Resources); err != nil {
		return o, err
	}
	c.commit()
	for range n {
		n, row, err := c.take()
		if err != nil {
			return o, cfg.KeyError(nil, "reactors_num", err.Error(), "use fewer")
		}
		o.Rows, o.Metrics = append(o.Rows, n), append(o.Metrics, row)
	}
	return o, nil
}
