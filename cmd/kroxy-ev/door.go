package main

import (
	"kroxy-ev/config"
	"kroxy-ev/engine"
)

// doors are the master's listening sockets on one port, one for each worker's slot. They stay open when their worker dies,
// so that clients in its queue wait for the successor, and when there are fewer workers than there were: only the kernel's
// numbering of a port's sockets tells Steer which is which, and it changes when one is closed.
type doors struct {
	port    uint16
	sockets []int
	// shared says that somebody else made the sockets, fewer than there may be workers, and that they cannot be steered.
	shared bool
	// open is how many have a worker behind them. New clients come to these only.
	open int
}

// openDoors opens a port for cfg's workers. Sockets that were inherited are used.
func openDoors(cfg *config.Config, inherited []int) (*doors, error) {
	if len(inherited) > 0 {
		if err := checkGiven(cfg, inherited, cfg.WorkersNum, "workers_num"); err != nil {
			closeAll(inherited)
			return nil, err
		}
		return &doors{port: onlyPort(cfg), sockets: inherited, shared: true, open: len(inherited)}, nil
	}
	sockets, err := openSockets(cfg, cfg.WorkersNum)
	if err != nil {
		return nil, err
	}
	return &doors{port: onlyPort(cfg), sockets: sockets, open: len(sockets)}, nil
}

// of is the socket of a slot.
func (d *doors) of(slot int) int { return d.sockets[slot%len(d.sockets)] }

// provide sees to it that there are sockets for n workers. Those that come into use get no clients before steer, and those
// that are to go out of use none from now on.
func (d *doors) provide(cfg *config.Config, n int) error {
	if d.shared {
		return checkGiven(cfg, d.sockets, n, "workers_num")
	}
	if n == d.open {
		return nil
	}
	if err := engine.Steer(d.sockets[0], min(n, d.open)); err != nil {
		return err
	}
	if missing := n - len(d.sockets); missing > 0 {
		more, err := moreSockets(cfg, missing)
		if err != nil {
			return err
		}
		d.sockets = append(d.sockets, more...)
	}
	return nil
}

// steer has clients come to the first n sockets.
func (d *doors) steer(n int) error {
	if d.shared || n == d.open {
		return nil
	}
	err := engine.Steer(d.sockets[0], n)
	if err == nil {
		d.open = n
	}
	return err
}

// close closes the port, as far as this process is concerned.
func (d *doors) close() {
	closeAll(d.sockets)
	d.sockets = nil
}

// restore undoes what provide did for another number of workers.
func (d *doors) restore() error {
	if d.shared {
		return nil
	}
	return engine.Steer(d.sockets[0], d.open)
}
