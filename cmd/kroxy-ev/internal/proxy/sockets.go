package proxy

import (
	"golang.org/x/sys/unix"

	"kroxy-ev/config"
)

// Listeners are all listeners of a configuration.
func Listeners(cfg *config.Config) (all []config.Listen) {
	for _, s := range cfg.Servers {
		all = append(all, s.Listen...)
	}
	return all
}

// Sockets are listening sockets by their keys (config.Listen.Key), one for each reactor of a process.
type Sockets map[string][]int

// of are those of one reactor, by their keys, which are the caller's from now on.
func (s Sockets) of(reactor int) map[string]int {
	fds := make(map[string]int, len(s))
	for key, list := range s {
		fds[key] = list[reactor]
		list[reactor] = -1
	}
	return fds
}

// Close closes those that were not taken.
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
