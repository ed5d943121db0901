package supervise

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// Worker is this process in its role as a worker.
type Worker struct {
	// Slot is the worker's number, less than the Workers of its plan.
	Slot int

	channel *channel
	beats   *atomic.Uint64
}

// Inherit returns what a master has passed to this process, or nil if no master started it. It must be called once, early: it
// removes its variable from the environment, and until then processes started by this one would inherit the descriptors.
func Inherit() (*Worker, error) {
	v, ok := takeVariable(workerVariable)
	if !ok {
		return nil, nil
	}
	slot, err := strconv.Atoi(v)
	if err != nil || slot < 0 || slot >= MaxWorkers {
		return nil, fmt.Errorf("supervise: %s=%q is not the number of a slot; it is not meant to be set by hand", workerVariable, v)
	}
	h, err := mapHeartbeats(heartbeatsFD)
	if err != nil {
		return nil, fmt.Errorf("supervise: %w", err)
	}
	unix.Close(heartbeatsFD)
	ch, err := adoptChannel(channelFD)
	if err != nil {
		return nil, fmt.Errorf("supervise: %w", err)
	}
	rename()
	return &Worker{Slot: slot, channel: ch, beats: h.of(slot)}, nil
}

// rename sets this process's name in process lists to the program's name: executed as /proc/self/exe, it is called "exe".
func rename() {
	path := fmt.Sprintf("/proc/self/task/%d/comm", os.Getpid())
	_ = os.WriteFile(path, []byte(filepath.Base(os.Args[0])), 0) // only cosmetic
}

// Beat tells the master that the worker does not hang. A serving worker calls it several times per
// Plan.WatchdogTimeout, from a place that all its work passes. It neither allocates nor enters the kernel.
func (w *Worker) Beat() { w.beats.Add(1) }

// Handler carries out a master's requests to a worker. The goroutine in Worker.Serve calls its methods one at a time.
type Handler interface {
	// Prepare prepares a plan without following it yet; an error refuses the plan, with a text for the operator. The handler owns
	// body and files, which are close-on-exec, even if it refuses. A Commit or an Abort
	// follows, unless Prepare refused, or Drain or Stop came.
	Prepare(body []byte, files []int) error
	// Commit switches to the plan that was prepared last; when it returns, the worker serves by that plan. After Drain, it also
	// cancels the drain.
	Commit()
	// Abort discards the plan that was prepared last.
	Abort()
	// Drain makes the worker finish its work and then end the process with status 0. After timeout (0 means never) the master
	// calls Stop. Drain may be called again with another timeout.
	Drain(timeout time.Duration)
	// Stop ends the process with status 0 at once. If that takes longer than
	// Options.StopGrace, the process is killed.
	Stop()
	// Notice handles a Master.Broadcast. It may come at any time, even before the first Prepare.
	Notice(Notice)
	// Orphaned ends the process: the master is gone, or its messages are invalid. No method is called afterwards.
	Orphaned()
}

// Serve carries out the master's requests until the master is gone, calls Orphaned and returns. The error is nil if
// the master has ended; otherwise it says what is wrong with the channel.
func (w *Worker) Serve(h Handler) error {
	defer w.channel.close()
	err := w.serve(h)
	h.Orphaned()
	if errors.Is(err, io.EOF) || hungUp(err) {
		return nil
	}
	return fmt.Errorf("supervise: %w", err)
}

func (w *Worker) serve(h Handler) error {
	var prepared uint32 // the plan that Commit and Abort refer to, 0 if there is none
	for {
		m, err := w.channel.receive()
		if err != nil {
			return err
		}
		switch m.kind {
		case kindPrepare:
			prepared, err = w.prepare(h, m)
		case kindCommit:
			if m.id == prepared {
				prepared = 0
				h.Commit()
				err = w.channel.send(message{kind: kindCommitted, id: m.id})
			}
		case kindAbort:
			if m.id == prepared {
				prepared = 0
				h.Abort()
			}
		case kindDrain:
			h.Drain(time.Duration(m.value))
		case kindStop:
			h.Stop()
		case kindNotice:
			h.Notice(Notice(m.value))
		}
		if err != nil {
			return err
		}
	}
}

// prepare makes the handler prepare a plan, and replies. It returns the plan's number, 0 if it was refused.
func (w *Worker) prepare(h Handler, m message) (uint32, error) {
	err := m.damaged
	if err == nil {
		err = h.Prepare(m.body, m.files)
	}
	if err != nil {
		return 0, w.channel.send(message{kind: kindPrepared, id: m.id, value: 1, text: err.Error()})
	}
	return m.id, w.channel.send(message{kind: kindPrepared, id: m.id})
}
