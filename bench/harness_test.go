package bench

import (
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A contestant that does not exist stops the run, and nothing is left behind. Not parallel: it sets TMPDIR.
func TestHarnessFailsCleanly(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("TMPDIR", dir)
	h, err := newHarness(options{thoroughness: thoroughness{rounds: 1}, only: []string{"apache"}}, io.Discard)
	if h != nil || err == nil || !strings.Contains(err.Error(), `"apache"`) {
		t.Fatalf("got %v, %v", h, err)
	}
	if left, _ := filepath.Glob(filepath.Join(dir, "*")); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

// All programs that were started end, with their children, when the guard's owner disappears: the test closes the guard's stdin.
func TestGuardKillsGroups(t *testing.T) {
	t.Parallel()
	dir, err := os.MkdirTemp("", "kroxy-bench-test-")
	if err != nil {
		t.Fatal(err)
	}
	c, err := splitCores()
	if err != nil {
		t.Fatal(err)
	}
	g, err := startGuard(dir, c.rest)
	if err != nil {
		_ = os.RemoveAll(dir)
		t.Fatal(err)
	}
	p, err := start(command{name: "sh", argv: []string{"/bin/sh", "-c", "(echo started; cat); :"}, dir: dir, cpus: c.rest, pipes: true}, g)
	if err != nil {
		g.stop()
		t.Skipf("no shell: %v", err)
	}
	if _, err := io.ReadFull(p.out, make([]byte, len("started\n"))); err != nil {
		t.Fatal(err)
	}
	g.stop()
	<-p.done
	if _, err := io.Copy(io.Discard, p.out); err != nil { // it ends when the child, which has inherited it, has ended
		t.Error(err)
	}
	if _, err := os.Stat(dir); !os.IsNotExist(err) {
		t.Errorf("%s is still there: %v", dir, err)
	}
}
