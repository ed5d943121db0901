package bench

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
)

func TestRevision(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("git"); err != nil {
		t.Skip("git is not installed")
	}
	top, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	sub, out := filepath.Join(top, "bench"), filepath.Join(top, "bench", "out")
	if r := revisionOf(top, out); r.Commit != "" || r.Changed != nil {
		t.Errorf("without a repository: %+v", r)
	}
	git := func(args ...string) {
		t.Helper()
		cmd := exec.Command("git", append([]string{"-c", "user.name=x", "-c", "user.email=x@localhost", "-c", "commit.gpgsign=false"}, args...)...)
		cmd.Dir = top
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("git %v: %v\n%s", args, err, out)
		}
	}
	write := func(name string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(top, name), []byte(name), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.MkdirAll(out, 0o755); err != nil {
		t.Fatal(err)
	}
	git("init", "-q")
	write("a.go")
	git("add", ".")
	git("commit", "-qm", "first")
	write("bench/out/2026-01-02.md") // writing a report does not count as a change
	r := revisionOf(sub, out)
	if len(r.Commit) < 40 || len(r.Changed) != 0 {
		t.Errorf("as committed: %+v", r)
	}
	git("mv", "a.go", "b.go")
	write("bench/é \"new\".go")
	write("bench/outer.go")
	if r := revisionOf(sub, out); !slices.Equal(r.Changed, []string{"a.go", "b.go", "bench/outer.go", "bench/é \"new\".go"}) {
		t.Errorf("changed: %q", r.Changed)
	}
}
