package supervise_test

import (
	"errors"
	"fmt"
	"io"
	"os"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"kroxy-ev/engine/supervise"
)

// descriptors returns the number of this process's open descriptors.
func descriptors() int {
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		panic(err)
	}
	return len(entries) - 1 // minus that of the directory
}

// childless returns an error if this process has a child, running or ended.
func childless() error {
	if pid, err := syscall.Wait4(-1, nil, syscall.WNOHANG, nil); !errors.Is(err, syscall.ECHILD) {
		return fmt.Errorf("process %d is left (%w)", pid, err)
	}
	return nil
}

// mastersManyDeaths is a role: a master whose workers are killed 50 times, and that leaks nothing.
func mastersManyDeaths() error {
	report, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	events := make(chan string, 1000)
	await := func(want string) {
		for got := range events {
			if got == want {
				return
			}
		}
	}
	unused := descriptors()
	m, err := supervise.Start(supervise.Options{
		Env:     workerEnv(),
		Healthy: 1,
		Gone:    func(supervise.Exit) { events <- "gone" },
		Started: func(int, int) { events <- "started" },
	}, supervise.Plan{Workers: 2, For: func(int) ([]byte, []int, error) {
		return []byte("a"), []int{int(report.Fd())}, nil
	}})
	if err != nil {
		return err
	}
	again := supervise.Plan{Workers: 2, For: func(int) ([]byte, []int, error) {
		return []byte("b"), []int{int(report.Fd())}, nil
	}}
	await("started")
	await("started")
	used := descriptors()
	for i := range 50 {
		pid := m.Workers()[i%2].PID
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
			return err
		}
		await("gone")
		await("started")
		if err := m.Apply(again); err != nil { // and waits until all serve
			return err
		}
	}
	if now := descriptors(); now != used {
		return fmt.Errorf("%d descriptors after 50 deaths, %d before", now, used)
	}
	m.Stop()
	if now := descriptors(); now != unused {
		return fmt.Errorf("%d descriptors after Stop, %d before Start", now, unused)
	}
	return childless()
}

// starvedMaster is a role: Start fails cleanly for each number of descriptors that is too small.
func starvedMaster() error {
	report, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	plan := supervise.Plan{Workers: 2, For: func(int) ([]byte, []int, error) {
		return []byte("a"), []int{int(report.Fd())}, nil
	}}
	o := supervise.Options{Env: workerEnv()}
	m, err := supervise.Start(o, plan) // opens what Go's runtime needs only once
	if err != nil {
		return err
	}
	m.Stop()
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return err
	}
	unused := descriptors()
	failures := 0
	for more := 0; ; more++ {
		next, err := lowestFree()
		if err != nil {
			return err
		}
		if err := setFiles(uint64(next+more), limit.Max); err != nil {
			return err
		}
		m, started := supervise.Start(o, plan)
		if err := setFiles(limit.Cur, limit.Max); err != nil {
			return err
		}
		if started == nil {
			m.Stop()
			break
		}
		failures++
		if !errors.Is(started, unix.EMFILE) && more < 2 { // later errors are a worker's, in text form
			return fmt.Errorf("with %d descriptors: %w", more, started)
		}
		fmt.Println(more, started)
		if now := descriptors(); now != unused {
			return fmt.Errorf("%d descriptors after Start failed with %d (%w), %d before", now, more, started, unused)
		}
		if err := childless(); err != nil {
			return fmt.Errorf("after Start failed with %d descriptors (%w): %w", more, started, err)
		}
	}
	if failures < 6 {
		return fmt.Errorf("only %d failures", failures)
	}
	return nil
}

func lowestFree() (int, error) {
	fd, err := unix.Open(os.DevNull, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	unix.Close(fd)
	return fd, err
}

// setFiles sets the limit on open files without Go's runtime noticing, which would restore it in child processes.
func setFiles(soft, hard uint64) error {
	return unix.Prlimit(0, unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: soft, Max: hard}, nil)
}

func TestMasterLeaksNothing(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"masters many deaths", "starved master"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			null, err := os.Open(os.DevNull)
			if err != nil {
				t.Fatal(err)
			}
			defer null.Close()
			c := role(t, name, null)
			out, err := c.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := c.Start(); err != nil {
				t.Fatal(err)
			}
			text, err := io.ReadAll(out)
			if err := errors.Join(err, c.Wait()); err != nil {
				t.Errorf("%v\n%s", err, text)
			}
			t.Logf("%s", text)
		})
	}
}
