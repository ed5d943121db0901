// Package service looks after the process: it serves with or without worker processes, catches signals, takes orders from other
// processes, goes over to new configurations and to new binaries, opens the listening sockets, and talks to systemd. It owns the error
// log, the pid file and the users that workers run as.
//
// It does not parse a command line, and it serves no client itself: package proxy does, and package supervise keeps the workers alive.
package service

// Exit statuses.
const (
	ExitOK    = 0
	ExitError = 1
)
