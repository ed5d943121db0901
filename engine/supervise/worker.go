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

// Worker is this process, as a worker knows itself.
type Worker struct {
	// Slot is the worker's number, less than the Workers of its plan.
	Slot int

	channel *channel
	beats   *atomic.Uint64
}

// Inherit returns what a master left to this process, or nil if none started it. It is to be called once, early: it
// removes what it reads from the environment, and until then what this process starts would inherit the descriptors.
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

// rename gives this process its program's name in lists of processes: executed as /proc/self/exe, it is called "exe".
func rename() {
	path := fmt.Sprintf("/proc/self/task/%d/comm", os.Getpid())
	_ = os.WriteFile(path, []byte(filepath.Base(os.Args[0])), 0) // a nicety
}

// Beat tells the master that the worker does not hang. A serving worker calls it several times in
// Plan.WatchdogTimeout, from where all its work passes. It neither allocates nor enters the kernel.
func (w *Worker) Beat() { w.beats.Add(1) }

// Handler does what a master asks a worker for. Its methods are called one at a time by the goroutine in Worker.Serve.
type Handler interface {
	// Prepare gets ready to follow a plan, but goes on as before; an error refuses it, with a text for the operator. Body
	// and files, which are close-on-exec, are the handler's from here on, also if it refuses. A Commit or an Abort
	// follows, unless it refused or Drain or Stop came.
	Prepare(body []byte, files []int) error
	// Commit follows the plan that was prepared last; when it returns, the worker serves by it. After Drain it takes
	// that back.
	Commit()
	// Abort forgets the plan that was prepared last.
	Abort()
	// Drain has the worker finish what it does and end the process with status 0. The master does not wait for longer
	// than timeout (0 is for ever) before it calls Stop. It may be called again with another one.
	Drain(timeout time.Duration)
	// Stop ends the process with status 0, without regard for what it does. It is killed if it takes longer than
	// Options.StopGrace.
	Stop()
	// Notice follows a Master.Broadcast. It may come at any time, also before the first Prepare.
	Notice(Notice)
	// Orphaned ends the process: the master is gone, or can not be understood. Nothing is called after it.
	Orphaned()
}

// Serve does what the master asks for until there is no master any more, calls Orphaned and returns. The error is nil if
// the master ended, and else says what is wrong with the channel to it.
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
	var prepared uint32 // the plan that Commit and Abort are about, 0 if there is none
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

// prepare has the handler prepare a plan and answers. It returns the plan's number, 0 if it was refused.
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
