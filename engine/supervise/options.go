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

// Errors of Apply, Upgrade and Start, after which nothing has changed.
var (
	// ErrReplaced means that a later Apply replaced this one while it waited for its turn.
	ErrReplaced = errors.New("supervise: a later plan replaced this one")
	// ErrStopping means that the master is draining or stopping, or has stopped.
	ErrStopping = errors.New("supervise: the master is stopping")
	// ErrSuperseded means that an Upgrade succeeded, and another master serves.
	ErrSuperseded = errors.New("supervise: a new master has taken over")
)

// Options say how workers are run. They do not change during a master's life.
type Options struct {
	// Program is the file that workers execute; "" means /proc/self/exe, the running binary itself, even if its file
	// was replaced or removed.
	Program string
	// Args are a worker's arguments, including its own name; nil means this process's.
	Args []string
	// Env is a worker's environment; nil means this process's. This package adds its own variable.
	Env []string
	// Stdout and Stderr are a worker's; nil means this process's. A worker's standard input is /dev/null.
	Stdout, Stderr *os.File
	// Credential, if not nil, is the user and the groups that workers run as.
	Credential *syscall.Credential
	// NoNewPrivs sets PR_SET_NO_NEW_PRIVS for workers (but not for the master or its successor in an Upgrade).
	NoNewPrivs bool
	// AnswerTimeout bounds how long a worker may take to answer to a plan, counted from its start or from the request;
	// 0 means 10 seconds.
	AnswerTimeout time.Duration
	// StopGrace is how long a worker may take to stop before it is killed; 0 means one second.
	StopGrace time.Duration
	// Healthy is how long a worker must serve until earlier failures in its slot are forgotten; 0 means 60
	// seconds.
	Healthy time.Duration
	// Log gets what happens to workers; nil means no log.
	Log *slog.Logger

	// Started, if not nil, is called after a worker was started.
	Started func(slot, pid int)
	// Gone, if not nil, is called once for each call of Started, after the process was reaped and before another process is
	// started in its slot.
	//
	// The master's goroutine calls both, one at a time, and does nothing else meanwhile. They must return quickly, and must
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
	// Slot and PID are the arguments of Started.
	Slot, PID int
	// State is the kernel's information about it; nil if that could not be read.
	State *os.ProcessState
	// Reason says briefly why it ended.
	Reason string
	// Superfluous says that the slot gets no other process, by the current plan or by one that Apply is trying.
	// An Apply that waits for its turn is ignored.
	Superfluous bool
}

// Plan describes the workers.
type Plan struct {
	// Workers is the number of workers, in slots 0 to Workers-1; from 1 to MaxWorkers.
	Workers int
	// WatchdogTimeout is how long a serving or draining worker may be silent before it is killed; 0 means 10 seconds, a negative
	// value means for ever.
	WatchdogTimeout time.Duration
	// DrainTimeout is how long workers may drain when a later plan has no slot for them; 0 means for ever.
	DrainTimeout time.Duration
	// For returns what the worker in a slot gets: bytes, and descriptors of which it gets duplicates. It is called for
	// each process, as long as the plan is current or being tried. The plan owns the descriptors and must keep them
	// open until then; the bytes are not kept. Calls do not overlap; the goroutine that calls Options.Gone makes them.
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

// State is the state of a worker process.
type State uint8

// The states of a worker, in order; a later plan may return a draining worker to Serving.
const (
	Starting State = iota // started, but does not follow a plan yet
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

// Notice is a message to all workers that has no reply.
type Notice uint8

// ReopenLogs asks workers to reopen their log files.
const ReopenLogs Notice = 1
