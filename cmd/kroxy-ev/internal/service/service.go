// Package service runs the process: it serves with or without worker processes, handles signals, takes orders from other processes, switches
// to new configurations and new binaries, opens the listening sockets, and talks to systemd. It owns the error log, the pid file and
// the choice of the users that workers run as.
//
// It neither parses the command line nor serves clients: package proxy serves clients, and package supervise keeps the workers alive.
package service

// Exit statuses.
const (
	ExitOK    = 0
	ExitError = 1
)
