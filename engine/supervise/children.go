package supervise

import (
	"os"
	"os/signal"
	"sync"

	"golang.org/x/sys/unix"
)

// children are the processes that this one has started and that a goroutine waits for. Other children are orphans that this process
// inherits if it is the first of its PID namespace (pid_namespaces(7)).
var children = struct {
	mu   sync.Mutex // held from before a process is started until it is in pids, and while looking for orphans
	pids map[int]struct{}
	gone chan struct{} // one slot: signals that a child was waited for
}{pids: map[int]struct{}{}, gone: make(chan struct{}, 1)}

// startProcess is os.StartProcess. The caller must call await as soon as it has returned.
func startProcess(program string, args []string, attr *os.ProcAttr) (*os.Process, error) {
	children.mu.Lock()
	defer children.mu.Unlock()
	p, err := os.StartProcess(program, args, attr)
	if err == nil {
		children.pids[p.Pid] = struct{}{}
	}
	return p, err
}

// await is p.Wait.
func await(p *os.Process) (*os.ProcessState, error) {
	state, err := p.Wait()
	children.mu.Lock()
	delete(children.pids, p.Pid)
	children.mu.Unlock()
	select {
	case children.gone <- struct{}{}:
	default:
	}
	return state, err
}

// ReapOrphans starts to reap children that this process has not started, for the process's lifetime. It is for the first process of
// a PID namespace, whose orphans would otherwise remain zombies. Such a process must start others only through this package.
func ReapOrphans() {
	ended := make(chan os.Signal, 1)
	signal.Notify(ended, unix.SIGCHLD)
	go func() {
		for {
			reap()
			select {
			case <-ended:
			case <-children.gone: // that child may have hidden an orphan
			}
		}
	}()
}

// reap reaps orphans, up to the first ended process that another goroutine is about to wait for.
func reap() {
	children.mu.Lock()
	defer children.mu.Unlock()
	for {
		pid := endedChild()
		if _, started := children.pids[pid]; started || pid == 0 {
			return
		}
		if _, err := unix.Wait4(pid, nil, unix.WNOHANG, nil); err != nil {
			return
		}
	}
}
