package supervise_test

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"kroxy-ev/engine/supervise"
)

const bodyVariable = "SUPERVISE_TEST_BODY"

// master is a role: a master whose workers have the body in the environment, and report on descriptor 3. It prints a line when
// it serves, and ends with its standard input.
func master() error {
	report := os.NewFile(3, "report")
	m, err := supervise.Start(supervise.Options{Env: workerEnv(), StopGrace: testTimeout}, supervise.Plan{
		Workers: 3,
		For: func(int) ([]byte, []int, error) {
			return []byte(os.Getenv(bodyVariable)), []int{int(report.Fd())}, nil
		},
	})
	if err != nil {
		return err
	}
	fmt.Println("serving")
	_, _ = os.Stdin.Read(make([]byte, 1))
	m.Stop()
	return nil
}

// workerEnv returns this process's environment without its role.
func workerEnv() []string {
	var env []string
	for _, v := range os.Environ() {
		if !strings.HasPrefix(v, roleVariable+"=") {
			env = append(env, v)
		}
	}
	return env
}

// role returns a command that runs this binary in a role, with a pipe as descriptor 3. Its standard input stays open.
func role(t *testing.T, name string, report *os.File, env ...string) *exec.Cmd {
	t.Helper()
	c := exec.Command("/proc/self/exe")
	c.Env = append(os.Environ(), append(env, roleVariable+"="+name)...)
	c.ExtraFiles = []*os.File{report}
	c.Stderr = os.Stderr
	if _, err := c.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	return c
}

// startRole starts the command and waits for its first line.
func startRole(t *testing.T, c *exec.Cmd) (line string) {
	t.Helper()
	out, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = c.Process.Kill()
		_ = c.Wait()
	})
	if line, err = bufio.NewReader(out).ReadString('\n'); err != nil {
		t.Fatalf("role: %v", err)
	}
	return strings.TrimSpace(line)
}

// A worker's variable that no master has set causes an error, not a hang or a crash.
func TestVariablesSetByHand(t *testing.T) {
	t.Parallel()
	null, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	for name, test := range map[string]struct{ variable, role, want string }{
		"not a number":  {"KROXY_EV_WORKER=x", "", `KROXY_EV_WORKER="x" is not`},
		"too large":     {"KROXY_EV_WORKER=1024", "", `KROXY_EV_WORKER="1024" is not`},
		"no heartbeats": {"KROXY_EV_WORKER=0", "", "descriptor 4 is not the heartbeats' memory"},
		"no channel":    {"KROXY_EV_HANDOVER=1", "new master", "descriptor 3 is not a control channel"},
	} {
		c := role(t, test.role, null, test.variable)
		c.Stderr = nil
		out, err := c.CombinedOutput()
		if err == nil || !strings.Contains(string(out), test.want) {
			t.Errorf("%s: %v, %q, want %q", name, err, out, test.want)
		}
	}
}

// Workers do not outlive a killed master: the end of the channel alone suffices, and so does PR_SET_PDEATHSIG.
func TestMasterIsKilled(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		body, orphan string
		orphaned     bool
	}{
		"channel":          {"a", "1", true},
		"PR_SET_PDEATHSIG": {"a ignore-orphaned", "", false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p, err := newPipe()
			if err != nil {
				t.Fatal(err)
			}
			defer p.r.Close()
			c := role(t, "master", p.w, bodyVariable+"="+test.body, orphanVariable+"="+test.orphan)
			if got := startRole(t, c); got != "serving" {
				t.Fatalf("the master says %q", got)
			}
			p.w.Close()
			if err := c.Process.Signal(syscall.SIGKILL); err != nil {
				t.Fatal(err)
			}
			events := p.finished(t)
			if n := count(events, "commit"); n != 3 {
				t.Errorf("%d workers served: %v", n, events)
			}
			if n := count(events, "orphaned"); test.orphaned && n != 3 {
				t.Errorf("%d workers were told: %v", n, events)
			}
			if n := count(events, "served <nil>"); test.orphaned && n != 3 {
				t.Errorf("%d workers left without an error: %v", n, events)
			}
		})
	}
}
