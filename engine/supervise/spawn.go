package supervise

import (
	"fmt"
	"math"
	"os"
	"runtime"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// What a started process finds. The variables say that, and what, it is.
const (
	workerVariable   = "KROXY_EV_WORKER"   // the slot
	handoverVariable = "KROXY_EV_HANDOVER" // handoverVersion
	handoverVersion  = "1"

	channelFD    = 3
	heartbeatsFD = 4 // of a worker
)

// spawner starts processes from one OS thread, which lives until close: PR_SET_PDEATHSIG strikes when the thread that
// started the process ends, not its process, and PR_SET_NO_NEW_PRIVS is a thread's and inherited from it.
type spawner struct{ jobs chan func() }

// newSpawner starts the thread.
func newSpawner(noNewPrivs bool) (*spawner, error) {
	s := &spawner{jobs: make(chan func())}
	ready := make(chan error)
	go onOwnThread(func() {
		// Go makes its other threads from one that is not locked, so that none of them inherits what is set here.
		var err error
		if noNewPrivs {
			err = unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
		}
		ready <- err
		for job := range s.jobs {
			job()
		}
	})
	if err := <-ready; err != nil {
		s.close()
		return nil, fmt.Errorf("setting no_new_privs: %w", err)
	}
	return s, nil
}

// onOwnThread runs f on a thread that nothing else runs on and that ends with f. It is not the process's first thread, which
// does not end, and whose properties pass for the whole process's in /proc.
func onOwnThread(f func()) {
	runtime.LockOSThread()
	if unix.Gettid() != unix.Getpid() {
		f() // never unlocked: the thread ends with the goroutine
		return
	}
	elsewhere := make(chan struct{})
	go func() {
		runtime.LockOSThread() // not the first thread, which is taken
		close(elsewhere)
		f()
	}()
	<-elsewhere
	runtime.UnlockOSThread()
}

// start is os.StartProcess on the thread, with PR_SET_PDEATHSIG.
func (s *spawner) start(program string, args []string, attr *os.ProcAttr, credential *syscall.Credential) (*os.Process, error) {
	attr.Sys = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Credential: credential}
	var p *os.Process
	var err error
	done := make(chan struct{})
	s.jobs <- func() {
		defer close(done)
		p, err = startProcess(program, args, attr)
	}
	<-done
	return p, err
}

// close ends the thread; no process that it started may be running.
func (s *spawner) close() { close(s.jobs) }

// environment returns env with a variable of ours set, and without those that env may have of old.
func environment(env []string, name, value string) []string {
	out := make([]string, 0, len(env)+1)
	for _, e := range env {
		if !strings.HasPrefix(e, workerVariable+"=") && !strings.HasPrefix(e, handoverVariable+"=") {
			out = append(out, e)
		}
	}
	return append(out, name+"="+value)
}

// takeVariable returns a variable and removes it, so that what this process starts does not take it for its own.
func takeVariable(name string) (string, bool) {
	v, ok := os.LookupEnv(name)
	_ = os.Unsetenv(name) // fails for impossible names only
	return v, ok
}

// sealDescriptors sets close-on-exec on every descriptor from 3 on, whoever left them to us: a started process is to have
// those that it is given and no others. Kernels before 5.11 cannot and leave them as they are.
func sealDescriptors() {
	_ = unix.CloseRange(3, math.MaxInt32, unix.CLOSE_RANGE_CLOEXEC)
}

// startWorker starts the process of a slot and returns it with the master's end of its channel.
func (m *Master) startWorker(slot int) (*os.Process, *channel, error) {
	ch, theirs, err := newChannel()
	if err != nil {
		return nil, nil, err
	}
	defer theirs.Close()
	proc, err := m.spawner.start(m.o.Program, m.o.Args, &os.ProcAttr{
		Env:   environment(m.o.Env, workerVariable, strconv.Itoa(slot)),
		Files: []*os.File{m.null, m.o.Stdout, m.o.Stderr, channelFD: theirs, heartbeatsFD: m.beats.file},
	}, m.o.Credential)
	if err != nil {
		ch.close()
		return nil, nil, fmt.Errorf("starting a worker: %w", err)
	}
	return proc, ch, nil
}
