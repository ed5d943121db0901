package proxy

import (
	"golang.org/x/sys/unix"

	"kroxy-ev/config"
)

// Listeners returns all listeners of a configuration.
func Listeners(cfg *config.Config) (all []config.Listen) {
	for _, s := range cfg.Servers {
		all = append(all, s.Listen...)
	}
	return all
}

// Sockets are listening sockets by their keys (config.Listen.Key), one per reactor of a process.
type Sockets map[string][]int

// of returns the sockets of one reactor, by their keys. The caller owns them from now on.
func (s Sockets) of(reactor int) map[string]int {
	fds := make(map[string]int, len(s))
	for key, list := range s {
		fds[key] = list[reactor]
		list[reactor] = -1
	}
	return fds
}

// Close closes the sockets that were not taken by of.
func (s Sockets) Close() {
	for _, list := range s {
		for _, fd := range list {
			if fd >= 0 {
				_ = unix.Close(fd)
			}
		}
	}
}

// Keys are a set of config.Listen.Key.
type Keys map[string]bool
