// Package supervise runs a program as one master process and a number of worker processes, each in a numbered slot, and
// keeps them running. Go cannot fork without exec, so a worker is the same program started anew; Inherit tells it that
// it is a worker.
//
// The master sends each worker its Plan over a control channel: bytes and file descriptors that this
// package does not interpret. Plans are applied in two phases, so that either every worker follows a plan or none does.
// A worker that dies is replaced, at once or, if its slot's workers keep dying, after growing pauses. A worker whose heartbeat
// stops is killed. For an upgrade, a new binary is started as a second master, and the old one leaves once the new one serves.
//
// Workers do not outlive their master: the end of the control channel tells them to leave, and PR_SET_PDEATHSIG kills
// those that do not react. (The kernel ignores PR_SET_PDEATHSIG for a program file with capabilities; the channel remains.)
//
// The package does not handle signals, listen, read configuration or know what workers do; it keeps no counters and
// writes no pid file. It knows nothing of systemd: the caller must remove LISTEN_FDS and NOTIFY_SOCKET from
// Options.Env if workers must not have them. Workers stay in the master's process group, so signals that the terminal sends to
// the group reach them too.
package supervise
