package supervise

import (
	"errors"
	"fmt"
	"os"
	"time"
)

// Successor describes the new master of an Upgrade.
type Successor struct {
	// Program is the file to execute; "" means the file that this process was started from, in its current version.
	Program string
	// Args are its arguments, including its own name; nil means this process's.
	Args []string
	// Env is its environment; nil means this process's. This package adds its own variable.
	Env []string
	// Body and Files are handed over to it. The caller keeps the files; the successor gets duplicates.
	Body  []byte
	Files []int
	// Timeout bounds the time until it serves; 0 means 10 seconds.
	Timeout time.Duration
	// Remarks, if not nil, is called with the remarks that it sends when it serves.
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

// Upgrade starts a program as a new master, which shares only this one's standard streams, and returns its process id
// once it serves: the caller then drains this master and ends. On an error there is no new master (its
// workers, if it had any, are being killed), and this one continues unchanged.
//
// Upgrade waits for an Apply in progress; a later Apply waits for the Upgrade. Drain and Stop end it.
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
	// Not on the spawner's thread, which sets PR_SET_PDEATHSIG: the new master must not be killed when
	// this process's threads end.
	proc, err := startProcess(s.Program, s.Args, &os.ProcAttr{
		Env:   environment(s.Env, handoverVariable, handoverVersion),
		Files: []*os.File{os.Stdin, m.o.Stdout, m.o.Stderr, channelFD: theirs},
	})
	theirs.Close()
	if err != nil {
		return 0, fmt.Errorf("supervise: starting a new master: %w", err)
	}
	end := &end{done: make(chan struct{})}
	go func() { // also after it serves: it may end before this process does
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

// end says how a process ended.
type end struct {
	done   chan struct{} // closed when the process has ended
	reason string
}

// within waits up to d for the end. It reports whether the process has ended.
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

// handOver sends the handover to a new master and waits for its reply. If it fails, the process may still be running.
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
		return fmt.Errorf("it sent the unknown message %d", answer.kind)
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
