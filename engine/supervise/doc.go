// Package supervise runs a program as one master process and a number of worker processes, each in a numbered slot, and
// keeps it so: Go cannot fork without exec, so a worker is the same program started anew, which learns from Inherit that
// it is one.
//
// The master tells each worker over a control channel what it is to be, a Plan: bytes and file descriptors that this
// package does not look into. A plan is taken up in two phases, so that either every worker follows it or none does.
// A worker that dies has a successor in its slot, at once or, if it goes on dying, after growing pauses; one that stops
// beating is killed. A new binary is started as a second master beside the first, which leaves once the new one serves.
//
// Workers do not outlive their master: the end of the control channel tells them to leave, and PR_SET_PDEATHSIG kills
// those that do not listen. (The kernel drops the latter for a program file with capabilities; the former remains.)
//
// The package does not handle signals, listen, read configuration or know what workers do; it keeps no counters and
// writes no pid file. It does not know of systemd either: the owner takes LISTEN_FDS and NOTIFY_SOCKET out of
// Options.Env if workers are not to have them. Workers stay in the master's process group, so what the terminal sends to
// the group reaches them too.
package supervise
