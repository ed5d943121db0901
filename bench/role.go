package bench

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// The roles of the test binary when it starts itself again.
const (
	roleEnv   = "KROXY_BENCH_ROLE"
	argEnv    = "KROXY_BENCH_ARG" // JSON
	roleGuard = "guard"           // argument: the directory to remove at the end
	roleHost  = "host"            // argument: hostOptions
	roleLoad  = "load"            // argument: job
	rolePing  = "ping"            // no argument: hosts and load in one
)

// roleCommand returns the command that starts this binary in the given role.
func roleCommand(role, dir string, cpus unix.CPUSet, arg any) (command, error) {
	exe, err := os.Executable()
	if err != nil {
		return command{}, fmt.Errorf("bench: finding own binary: %w", err)
	}
	b, err := json.Marshal(arg)
	if err != nil {
		return command{}, fmt.Errorf("bench: argument for %s: %w", role, err)
	}
	return command{
		name:  role,
		argv:  []string{exe},
		env:   []string{roleEnv + "=" + role, argEnv + "=" + string(b)},
		dir:   dir,
		cpus:  cpus,
		pipes: true,
	}, nil
}

// playRole runs the role named in the environment and returns the exit status; ok is false if there is none. A role writes JSON lines to stdout and
// ends
// at the latest at the end of stdin.
func playRole() (status int, ok bool) {
	role := os.Getenv(roleEnv)
	arg := []byte(os.Getenv(argEnv))
	out := json.NewEncoder(os.Stdout)
	in := bufio.NewReader(os.Stdin)
	var err error
	switch role {
	case "":
		return 0, false
	case roleGuard:
		err = playGuard(arg, in)
	case roleHost:
		err = playHost(arg, in, out)
	case roleLoad:
		err = playLoad(arg, in, out)
	case rolePing:
		err = playPing(arg, in, out)
	default:
		err = fmt.Errorf("no role %q", role)
	}
	if err != nil {
		fmt.Fprintf(os.Stderr, "bench: %s: %v\n", role, err)
		return 1, true
	}
	return 0, true
}

// playGuard reads "+PGID" and "-PGID" lines until the conductor is gone, then kills the remaining groups.
func playGuard(arg []byte, in *bufio.Reader) error {
	var dir string
	if err := json.Unmarshal(arg, &dir); err != nil {
		return err
	}
	groups := map[int]bool{}
	for {
		line, err := in.ReadString('\n')
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		pgid, err := strconv.Atoi(strings.TrimSpace(line[1:]))
		if err != nil || pgid <= 1 {
			return fmt.Errorf("not a process group: %q", line)
		}
		if line[0] == '+' {
			groups[pgid] = true
		} else {
			delete(groups, pgid)
		}
	}
	for pgid := range groups {
		_ = syscall.Kill(-pgid, syscall.SIGKILL)
	}
	return os.RemoveAll(dir)
}

// raiseFileLimit sets the soft limit on open files to the hard limit, for this process and its children, and returns it. It uses package syscall,
// which would otherwise restore the original limit in children.
func raiseFileLimit() (int, error) {
	var l syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &l); err != nil {
		return 0, fmt.Errorf("bench: reading the limit on open files: %w", err)
	}
	l.Cur = l.Max
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &l); err != nil {
		return 0, fmt.Errorf("bench: raising the limit on open files: %w", err)
	}
	return int(min(l.Cur, 1<<30)), nil
}
