package supervise

import (
	"errors"
	"fmt"
	"os"
	"time"
)

// Successor is a new master to be.
type Successor struct {
	// Program is the file to execute; "" is the one that this process was started from, as it is now.
	Program string
	// Args are its arguments, from its own name on; nil are this process's.
	Args []string
	// Env is its environment; nil is this process's. This package adds its own variable.
	Env []string
	// Body and Files are what it is left. The files stay the caller's; it gets duplicates.
	Body  []byte
	Files []int
	// Timeout is how long it may take until it serves; 0 is 10 seconds.
	Timeout time.Duration
	// Remarks, if not nil, is called with what it says when it serves.
	Remarks func(text string)
}

func (s Successor) withDefaults() (Successor, error) {
	if s.Program == "" {
		var err error
		if s.Program, err = os.Executable(); err != nil {
			return s, fmt.Errorf("supervise: finding the program: %w", err)
		}
	}
	if s.Args == nil {
		s.Args = os.Args
	}
	if s.Env == nil {
		s.Env = os.Environ()
	}
	if s.Remarks == nil {
		s.Remarks = func(string) {}
	}
	if s.Timeout == 0 {
		s.Timeout = 10 * time.Second
	}
	return s, nil
}

// Upgrade starts a program as a new master, with this one's output and otherwise of its own, and returns its process id
// when it says that it serves: the caller then drains this master and ends. On an error there is no new master (its
// workers, if it had any, are being killed), and this one goes on as if nothing had happened.
//
// It waits for an Apply that is at work; an Apply that comes later waits for it. Drain and Stop end it.
func (m *Master) Upgrade(s Successor) (pid int, err error) {
	if err := m.take(); err != nil {
		return 0, err
	}
	defer m.release()
	if s, err = s.withDefaults(); err != nil {
		return 0, err
	}
	ch, theirs, err := newChannel()
	if err != nil {
		return 0, fmt.Errorf("supervise: %w", err)
	}
	defer ch.close()
	// Not from the spawner's thread, whose end kills. The process may not share our thread's fate, and does not: it has no
	// PR_SET_PDEATHSIG.
	proc, err := startProcess(s.Program, s.Args, &os.ProcAttr{
		Env:   environment(s.Env, handoverVariable, handoverVersion),
		Files: []*os.File{os.Stdin, m.o.Stdout, m.o.Stderr, channelFD: theirs},
	})
	theirs.Close()
	if err != nil {
		return 0, fmt.Errorf("supervise: starting a new master: %w", err)
	}
	end := &end{done: make(chan struct{})}
	go func() { // also when it serves: it may end before we do
		end.reason = ending(await(proc))
		close(end.done)
	}()
	m.log.Info("new master started", "pid", proc.Pid)
	if err := m.handOver(ch, s, end); err != nil {
		_ = proc.Kill() // fails if it has ended
		<-end.done
		return 0, fmt.Errorf("supervise: new master: %w", err)
	}
	m.superseded = true
	return proc.Pid, nil
}

// end is how a process ended.
type end struct {
	done   chan struct{} // closed when it has
	reason string
}

// within waits for the end, for so long at most.
func (e *end) within(d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-e.done:
		return true
	case <-t.C:
		return false
	}
}

// handOver gives a new master what it is left and waits for its word. When it fails the process may live on.
func (m *Master) handOver(ch *channel, s Successor, end *end) error {
	late := time.Now().Add(s.Timeout)
	ch.giveUp(late)
	answered := make(chan struct{})
	defer close(answered)
	go func() {
		select {
		case <-m.leaving:
			ch.giveUp(time.Now())
		case <-answered:
		}
	}()
	err := ch.sendPayload(message{kind: kindHandover}, s.Body, s.Files)
	if err != nil && !hungUp(err) {
		return err
	}
	answer, err := ch.receive()
	closeAll(answer.files)
	switch {
	case err == nil && answer.kind == kindServing:
		s.Remarks(answer.text)
		return nil
	case err == nil && answer.kind == kindFailed:
		end.within(m.o.StopGrace) // it is about to leave by itself
		return errors.New(answer.text)
	case err == nil:
		return fmt.Errorf("it sent message %d, which is not known here", answer.kind)
	}
	select {
	case <-m.leaving:
		return ErrStopping
	default:
	}
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return fmt.Errorf("it did not serve within %v", s.Timeout)
	}
	if end.within(m.o.StopGrace) {
		return fmt.Errorf("it ended: %s", end.reason)
	}
	return errors.New("it closed the channel to this master")
}
