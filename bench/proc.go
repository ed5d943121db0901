package bench

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// command says how to start a program.
type command struct {
	name string // for messages, and for the name of the output file
	argv []string
	env  []string // added to this process's environment
	dir  string   // working directory; NAME.out in it gets stderr, and stdout unless pipes is set
	cpus unix.CPUSet
	// pipes connects stdin and stdout to the proc's in and out instead of /dev/null and the output file.
	pipes bool
}

// proc is a running program, the leader of its own process group. The caller must call stop once.
type proc struct {
	name   string
	pid    int
	in     io.WriteCloser // nil unless command.pipes
	out    io.ReadCloser  // nil unless command.pipes
	output string         // path of its output file
	done   chan struct{}  // closed when the program has ended
	err    error          // why it ended; valid after done
	guard  *guard
}

// start starts c. The program dies with this process: at once by PDEATHSIG, and with its whole group by the guard. If g is nil, as for the guard
// itself, it
// does not. A failure names the program.
func start(c command, g *guard) (*proc, error) {
	p := &proc{name: c.name, output: filepath.Join(c.dir, c.name+".out"), done: make(chan struct{}), guard: g}
	f, err := os.OpenFile(p.output, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		return nil, fmt.Errorf("bench: starting %s: %w", c.name, err)
	}
	defer f.Close()
	cmd := exec.Command(c.argv[0], c.argv[1:]...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = c.dir, f, f
	cmd.Env = append(os.Environ(), c.env...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if g != nil {
		cmd.SysProcAttr.Pdeathsig = syscall.SIGKILL
	}
	if c.pipes {
		cmd.Stdout = nil
		if p.in, err = cmd.StdinPipe(); err == nil {
			p.out, err = cmd.StdoutPipe()
		}
		if err != nil {
			return nil, fmt.Errorf("bench: starting %s: %w", c.name, err)
		}
	}
	if err := onCPUs(c.cpus, cmd.Start); err != nil {
		return nil, fmt.Errorf("bench: starting %s: %w", c.name, err)
	}
	p.pid = cmd.Process.Pid
	g.add(p.pid)
	go func() {
		// Do not use cmd.Wait: it closes the pipes, and the program's last output may not have been read yet.
		var state *os.ProcessState
		if state, p.err = cmd.Process.Wait(); p.err == nil {
			p.err = errors.New(state.String()) // such as "exit status 1", "signal: killed"
		}
		close(p.done)
	}()
	return p, nil
}

// startTime is how long a program may take to start; the machine may be busy.
const startTime = 30 * time.Second

// answers waits until p accepts connections on addr. It returns an error if p ends first, or after startTime.
func (p *proc) answers(addr string) error {
	deadline := time.Now().Add(startTime)
	for {
		c, err := net.DialTimeout("tcp", addr, time.Second)
		if err == nil {
			return c.Close()
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("bench: %s does not answer on %s: %w%s", p.name, addr, err, p.said())
		}
		select {
		case <-p.done:
			return fmt.Errorf("bench: %s ended (%w) before it answered on %s%s", p.name, p.err, addr, p.said())
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// complete waits until p and its descendants are n processes. It returns an error if p ends first, or after startTime.
func (p *proc) complete(n int) error {
	for deadline := time.Now().Add(startTime); ; time.Sleep(10 * time.Millisecond) {
		pids, err := descendants(p.pid)
		if err != nil {
			return p.blame(err)
		}
		if len(pids) == n {
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("bench: %s has %d processes, want %d%s", p.name, len(pids), n, p.said())
		}
	}
}

// blame returns err, the error of a measurement. If p has ended, it adds that, with p's output, as the reason.
func (p *proc) blame(err error) error {
	select {
	case <-p.done:
		return fmt.Errorf("bench: %s ended during the measurement (%w): %w%s", p.name, p.err, err, p.said())
	default:
		return err
	}
}

// stop kills p and its whole group, and waits for all of it. There is nothing to save: the measurement is over.
func (p *proc) stop() {
	_ = syscall.Kill(-p.pid, syscall.SIGKILL) // ESRCH: the group has already ended
	<-p.done
	for { // p's children are now this process's (see adoptOrphans)
		if _, err := syscall.Wait4(-p.pid, nil, 0, nil); err != nil && err != syscall.EINTR {
			break // ECHILD: none left
		}
	}
	p.guard.remove(p.pid)
	if p.in != nil {
		_ = p.in.Close()
		_ = p.out.Close()
	}
}

// adoptOrphans makes this process, instead of process 1, the parent of descendants whose parent has ended, so that stop can wait for them.
func adoptOrphans() error {
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("bench: becoming a subreaper: %w", err)
	}
	return nil
}

// said returns the end of p's output for an error message, or "".
func (p *proc) said() string {
	b, err := os.ReadFile(p.output)
	if err != nil || len(b) == 0 {
		return ""
	}
	return "; it said:\n" + string(b[max(0, len(b)-2000):])
}

// guard is a process that slightly outlives this one and kills the process groups that are left: after a panic, a test timeout or a SIGKILL nothing
// else would end nginx's worker, whose parent was killed by PDEATHSIG. A nil guard does nothing.
type guard struct {
	p *proc
}

// startGuard starts the guard, which removes dir at the end.
func startGuard(dir string, cpus unix.CPUSet) (*guard, error) {
	c, err := roleCommand(roleGuard, dir, cpus, dir)
	if err != nil {
		return nil, err
	}
	// The guard has pipes, so that whoever waits for the end of this process's output need not wait for the guard too.
	p, err := start(c, nil)
	if err != nil {
		return nil, err
	}
	return &guard{p: p}, nil
}

func (g *guard) add(pgid int)    { g.tell("+" + strconv.Itoa(pgid)) }
func (g *guard) remove(pgid int) { g.tell("-" + strconv.Itoa(pgid)) }

func (g *guard) tell(s string) {
	if g != nil {
		_, _ = io.WriteString(g.p.in, s+"\n")
	}
}

// stop makes the guard clean up, and waits for it.
func (g *guard) stop() {
	_ = g.p.in.Close()
	<-g.p.done
}
