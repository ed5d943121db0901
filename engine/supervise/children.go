package supervise

import (
	"os"
	"os/signal"
	"sync"

	"golang.org/x/sys/unix"
)

// children are the processes that this one has started and that somebody waits for. Others are orphans, which become this
// process's children if it is the first of its PID namespace (pid_namespaces(7)).
var children = struct {
	mu   sync.Mutex // held from before a process is started until it is in pids, and while orphans are told from others
	pids map[int]struct{}
	gone chan struct{} // one slot: one was waited for
}{pids: map[int]struct{}{}, gone: make(chan struct{}, 1)}

// startProcess is os.StartProcess. Whoever calls it calls await as soon as it has returned.
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

// ReapOrphans begins to wait for children that this process has not started, for as long as it lives. It is for the first process of
// a PID namespace, whose orphans would stay zombies without it. Such a process must start others through this package only.
func ReapOrphans() {
	ended := make(chan os.Signal, 1)
	signal.Notify(ended, unix.SIGCHLD)
	go func() {
		for {
			reap()
			select {
			case <-ended:
			case <-children.gone: // it may have stood before an orphan
			}
		}
	}()
}

// reap waits for orphans that have ended, up to the first process that somebody else is about to wait for.
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
