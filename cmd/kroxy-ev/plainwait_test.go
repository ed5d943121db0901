package main_test

import (
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"testing"
)

// Built with a Go version whose scheduler the event loops do not know, the program still works, and warns once at the start what that costs and what to do.
// The tag plainwait simulates such a Go version.
func TestUnknownScheduler(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "kroxy-ev")
	args := []string{"build", "-tags", "plainwait", "-o", file}
	if raceEnabled {
		args = append(args, "-race")
	}
	if out, err := exec.Command("go", append(args, ".")...).CombinedOutput(); err != nil {
		t.Fatalf("building kroxy-ev for another Go: %v\n%s", err, out)
	}
	modes(t, func(t *testing.T, multi bool) {
		h := namedHosts(t, 1)[0]
		p := startHTTP(t, setup{hosts: endpoints(h), multi: multi, settings: settings{"workers_num": 2}, prepare: func(cmd *exec.Cmd) {
			cmd.Path, cmd.Args[0] = file, file
		}})
		warning := `level=WARN msg="kroxy-ev: .*not built for the scheduler of ` + regexp.QuoteMeta(runtime.Version()) + `.*remedy="build with Go 1\.26`
		p.awaitLog(warning)
		l := loadWith(p, 4)
		end := p.keepAliveLoad(4)
		l.awaitRequests(t, 100)
		end()
		l.endWithoutFailures(t)
		if n := p.stderr.count(warning); n != 1 {
			t.Errorf("the warning was logged %d times, want once", n)
		}
	})
}
