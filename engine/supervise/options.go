package supervise

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"syscall"
	"time"
)

// MaxWorkers is the largest Plan.Workers.
const MaxWorkers = 1024

// Errors of Apply, Upgrade and Start. None of them changes anything.
var (
	// ErrReplaced: a later Apply took the place of this one, which was still waiting for its turn.
	ErrReplaced = errors.New("supervise: a later plan took this one's place")
	// ErrStopping: the master is draining or stopping, or has stopped.
	ErrStopping = errors.New("supervise: the master is stopping")
	// ErrSuperseded: an Upgrade succeeded; another master serves.
	ErrSuperseded = errors.New("supervise: a new master has taken over")
)

// Options say how workers are run. They hold for a master's whole life.
type Options struct {
	// Program is the file that workers execute; "" is /proc/self/exe, the very binary that is running, even if its file
	// was replaced or removed meanwhile.
	Program string
	// Args are a worker's arguments, from its own name on; nil are this process's.
	Args []string
	// Env is a worker's environment; nil is this process's. This package adds its own variable.
	Env []string
	// Stdout and Stderr are a worker's; nil are this process's. A worker's standard input is /dev/null.
	Stdout, Stderr *os.File
	// Credential, if not nil, is the user and the groups that workers run as.
	Credential *syscall.Credential
	// NoNewPrivs sets PR_SET_NO_NEW_PRIVS for workers (not for the master, nor for its successor in an Upgrade).
	NoNewPrivs bool
	// AnswerTimeout bounds how long a worker may take to answer to a plan, from its start or from when it was asked;
	// 0 is 10 seconds.
	AnswerTimeout time.Duration
	// StopGrace is how long a worker that was told to stop may take before it is killed; 0 is a second.
	StopGrace time.Duration
	// Healthy is how long a worker has to serve for the failures of those before it in its slot to be forgotten; 0 is 60
	// seconds.
	Healthy time.Duration
	// Log is told what happens to workers; nil is nobody.
	Log *slog.Logger

	// Started, if not nil, is called after a worker was started.
	Started func(slot, pid int)
	// Gone, if not nil, is called once for each call of Started, after the process was reaped and before a successor is
	// started in its slot.
	//
	// Both are called one at a time by a goroutine that does nothing else meanwhile: they have to return soon, and must
	// not call the Master's methods.
	Gone func(Exit)
}

// withDefaults returns o with its zero values replaced.
func (o Options) withDefaults() Options {
	if o.Program == "" {
		o.Program = "/proc/self/exe"
	}
	if o.Args == nil {
		o.Args = os.Args
	}
	if o.Env == nil {
		o.Env = os.Environ()
	}
	if o.Stdout == nil {
		o.Stdout = os.Stdout
	}
	if o.Stderr == nil {
		o.Stderr = os.Stderr
	}
	if o.AnswerTimeout == 0 {
		o.AnswerTimeout = 10 * time.Second
	}
	if o.StopGrace == 0 {
		o.StopGrace = time.Second
	}
	if o.Healthy == 0 {
		o.Healthy = 60 * time.Second
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Started == nil {
		o.Started = func(int, int) {}
	}
	if o.Gone == nil {
		o.Gone = func(Exit) {}
	}
	return o
}

// Exit is the end of a worker process.
type Exit struct {
	// Slot and PID are those that Started was called with.
	Slot, PID int
	// State is what the kernel says of it; nil if it could not be asked.
	State *os.ProcessState
	// Reason is why it ended, in a few words.
	Reason string
	// Superfluous is whether nothing follows in the slot, neither by the current plan nor by one that Apply is trying.
	// An Apply that waits for its turn is not looked at.
	Superfluous bool
}

// Plan is what the workers are to be.
type Plan struct {
	// Workers is how many there are, in slots 0 to Workers-1; from 1 to MaxWorkers.
	Workers int
	// WatchdogTimeout is how long a serving or draining worker may be silent before it is killed; 0 is 10 seconds, less
	// is for ever.
	WatchdogTimeout time.Duration
	// DrainTimeout is how long the workers may drain that a later plan has no slot for; 0 is for ever.
	DrainTimeout time.Duration
	// For returns what the worker in a slot is told: bytes, and descriptors of which it gets duplicates. It is called for
	// each process anew, as long as the plan is current or being tried. The descriptors stay the plan's and have to be
	// open until then; the bytes are not kept. One call at a time, by the goroutine that Options.Gone speaks of.
	For func(slot int) (body []byte, files []int, err error)
}

func (p Plan) check() error {
	if p.Workers < 1 || p.Workers > MaxWorkers {
		return fmt.Errorf("supervise: %d workers: must be from 1 to %d", p.Workers, MaxWorkers)
	}
	if p.For == nil {
		return errors.New("supervise: a plan without For")
	}
	return nil
}

// watchdog returns how long a worker may be silent, 0 for ever.
func (p Plan) watchdog() time.Duration {
	switch {
	case p.WatchdogTimeout == 0:
		return 10 * time.Second
	case p.WatchdogTimeout < 0:
		return 0
	}
	return p.WatchdogTimeout
}

// State is what a worker process is doing.
type State uint8

// The states of a worker, in their order; a later plan may take a draining one back to serving.
const (
	Starting State = iota // was started and has not taken up a plan yet
	Serving               // follows a plan
	Draining              // was told to leave
	Gone                  // ended and reaped
)

// String returns the state in lower case.
func (s State) String() string {
	names := [...]string{"starting", "serving", "draining", "gone"}
	if int(s) >= len(names) {
		return fmt.Sprintf("state %d", uint8(s))
	}
	return names[s]
}

// Notice is something to tell all workers that has no answer.
type Notice uint8

// ReopenLogs asks workers to open their log files anew.
const ReopenLogs Notice = 1
