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

// The environment variables that tell a started process its role, and the descriptors that it inherits.
const (
	workerVariable   = "KROXY_EV_WORKER"   // the slot
	handoverVariable = "KROXY_EV_HANDOVER" // handoverVersion
	handoverVersion  = "1"

	channelFD    = 3
	heartbeatsFD = 4 // workers only
)

// spawner starts processes from one OS thread, which lives until close. PR_SET_PDEATHSIG takes effect when the thread that
// started the process ends, not its process; and PR_SET_NO_NEW_PRIVS applies to a thread and is inherited from it.
type spawner struct{ jobs chan func() }

// newSpawner starts the thread.
func newSpawner(noNewPrivs bool) (*spawner, error) {
	s := &spawner{jobs: make(chan func())}
	ready := make(chan error)
	go onOwnThread(func() {
		// Go starts its other threads from one that is not locked, so none of them inherits what is set here.
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

// onOwnThread runs f on a thread that runs nothing else and ends with f. It avoids the process's first thread, which
// does not end, and whose attributes /proc shows as those of the whole process.
func onOwnThread(f func()) {
	runtime.LockOSThread()
	if unix.Gettid() != unix.Getpid() {
		f() // never unlocked: the thread ends with the goroutine
		return
	}
	elsewhere := make(chan struct{})
	go func() {
		runtime.LockOSThread() // another thread than the first, which is locked
		close(elsewhere)
		f()
	}()
	<-elsewhere
	runtime.UnlockOSThread()
}

// start is os.StartProcess on the spawner's thread, with PR_SET_PDEATHSIG.
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

// close ends the thread; no process that it has started may be running.
func (s *spawner) close() { close(s.jobs) }

// environment returns env with the given variable set, and without other variables of this package.
func environment(env []string, name, value string) []string {
	out := make([]string, 0, len(env)+1)
	for _, e := range env {
		if !strings.HasPrefix(e, workerVariable+"=") && !strings.HasPrefix(e, handoverVariable+"=") {
			out = append(out, e)
		}
	}
	return append(out, name+"="+value)
}

// takeVariable returns a variable and removes it, so that processes started by this one do not inherit it.
func takeVariable(name string) (string, bool) {
	v, ok := os.LookupEnv(name)
	_ = os.Unsetenv(name) // fails for impossible names only
	return v, ok
}

// sealDescriptors sets close-on-exec on every descriptor from 3 on, wherever it came from, so that a started process gets only
// the descriptors meant for it. Kernels before 5.11 do not support it and leave the descriptors unchanged.
func sealDescriptors() {
	_ = unix.CloseRange(3, math.MaxInt32, unix.CLOSE_RANGE_CLOEXEC)
}

// startWorker starts a slot's process and returns it with the master's end of its channel.
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
