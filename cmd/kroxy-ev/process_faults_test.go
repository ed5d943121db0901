package main_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"sync"
	"testing"
	"time"
)

// faulty builds a program whose workers fail on demand: see faults.go.
var faulty = sync.OnceValue(func() string {
	file := filepath.Join(publicDir, "kroxy-ev-faults")
	args := []string{"build", "-tags", "faults", "-o", file}
	if raceEnabled {
		args = append(args, "-race")
	}
	if out, err := exec.Command("go", append(args, ".")...).CombinedOutput(); err != nil {
		return fmt.Sprintf("building kroxy-ev with faults: %v\n%s", err, out)
	}
	return file
})

// withFault returns a prepare function that makes the program's workers fail.
func withFault(t *testing.T, fault string) func(*exec.Cmd) {
	t.Helper()
	file := faulty()
	if !filepath.IsAbs(file) {
		t.Fatal(file)
	}
	return func(cmd *exec.Cmd) {
		cmd.Path, cmd.Args[0] = file, file
		cmd.Env = append(os.Environ(), "KROXY_EV_FAULT="+fault)
	}
}

func TestCrashLoop(t *testing.T) {
	t.Parallel()
	prepare := withFault(t, "exit-after-serving")
	h := listen(t, "127.0.0.1", echo)
	begin := time.Now()
	p := start(t, setup{hosts: endpoints(h), multi: true, prepare: prepare, settings: settings{"workers_num": 1}})
	before := p.cpu()
	// The eighth process starts 6.3 s after the first. The pause after it, 6.4 s, would last until second 12.
	p.await(p.stderr, `restart_in=6\.4s`)
	if took := time.Since(begin); took < 6*time.Second {
		t.Errorf("8 processes started within %v, want at least 6 s", took)
	}
	if n := p.stderr.count(`msg="worker ended".*restart_in`); n != 8 {
		t.Errorf("%d processes have ended, want 8", n)
	}
	pauses := fmt.Sprint(regexp.MustCompile(`restart_in=\S+`).FindAllString(p.stderr.String(), -1))
	if want := "[restart_in=0s restart_in=100ms restart_in=200ms restart_in=400ms restart_in=800ms restart_in=1.6s restart_in=3.2s restart_in=6.4s]"; pauses != want {
		t.Errorf("pauses %s, want %s", pauses, want)
	}
	used, took := p.cpu()-before, time.Since(begin)
	t.Logf("the master used %v of CPU in %v", used, took)
	if !raceEnabled && used > took/20 {
		t.Errorf("the master used %v of CPU in %v", used, took)
	}
}

// A program whose workers never come up says so and exits.
func TestWorkersThatNeverServe(t *testing.T) {
	t.Parallel()
	hosts := []endpoint{{"127.0.0.1", 9}}
	for fault, pattern := range map[string]string{
		"exit-at-start": `worker \d.*exit status 3`,
		"hang-at-start": `worker \d`,
	} {
		t.Run(fault, func(t *testing.T) {
			t.Parallel()
			startFails(t, reservePort(t), setup{hosts: hosts, multi: true, prepare: withFault(t, fault), settings: settings{"workers_num": 2}}, pattern)
		})
	}
}

// A worker whose loop hangs is replaced, even if everything else in it works.
func TestHangingLoop(t *testing.T) {
	t.Parallel()
	prepare := withFault(t, "hang-loop")
	h := listen(t, "127.0.0.1", echo)
	p := start(t, setup{hosts: endpoints(h), multi: true, prepare: prepare, settings: settings{"workers_num": 1, "watchdog_timeout": 400, "shutdown_timeout": 100}})
	p.await(p.stderr, `msg="worker ended".*no heartbeat for 400ms`)
	p.awaitServing(2)
}
