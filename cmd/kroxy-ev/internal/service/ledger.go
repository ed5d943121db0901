package service

import (
	"kroxy-ev/balance"
	"kroxy-ev/cmd/kroxy-ev/internal/proxy"
	"kroxy-ev/config"
)

// ledger is where hosts are counted, over reloads, workers and binaries.
type ledger struct {
	counters *balance.Counters
	registry *balance.Registry
}

func newLedger() (*ledger, error) {
	c, err := balance.NewShared(balance.MaxRows, balance.MaxHosts)
	if err != nil {
		return nil, err
	}
	return &ledger{c, balance.NewRegistry(c)}, nil
}

// inheritLedger takes over what a predecessor has counted. If this program counts in another way, it begins anew.
func inheritLedger(fd int, registry []byte) (*ledger, error) {
	c, err := balance.MapCounters(fd)
	if err != nil {
		return newLedger()
	}
	r, err := balance.RestoreRegistry(c, registry)
	if err != nil {
		c.Close()
		return newLedger()
	}
	return &ledger{c, r}, nil
}

// assign gives cfg's hosts their ids, until commit or the next assign.
func (l *ledger) assign(cfg *config.Config) ([]int, error) {
	keys, _ := proxy.HostKeys(cfg)
	ids, err := l.registry.Assign(keys)
	if err != nil {
		return nil, proxy.Problem(cfg, "servers", err.Error(), "remove some")
	}
	return ids, nil
}

// table takes rows for n writers that count cfg's hosts.
func (l *ledger) table(cfg *config.Config, n int) (proxy.Table, error) {
	t := proxy.Table{Counters: l.counters, Given: proxy.Given{Tickets: proxy.Tickets{}.Rotated()}}
	var err error
	if t.IDs, err = l.assign(cfg); err != nil {
		return t, err
	}
	l.registry.Commit()
	for range n {
		row, err := l.counters.TakeRow()
		if err != nil {
			return t, proxy.Problem(cfg, "reactors_num", err.Error(), "use fewer")
		}
		t.Rows = append(t.Rows, row)
	}
	return t, nil
}
