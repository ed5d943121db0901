package bench

import (
	"os/exec"
	"path/filepath"
	"strings"
)

// revision is a state of a source tree.
type revision struct {
	Commit  string   // as git describes it, with its hash; "" if unknown
	Changed []string // files that are modified or not committed
}

// revisionOf asks git about the tree that contains directory. Files below except are ignored, because a run writes there.
func revisionOf(directory, except string) revision {
	git := func(args ...string) string {
		cmd := exec.Command("git", args...)
		cmd.Dir = directory
		out, err := cmd.Output()
		if err != nil {
			return ""
		}
		return strings.TrimRight(string(out), "\n")
	}
	r := revision{Commit: git("rev-parse", "HEAD")}
	if name := git("describe", "--tags"); name != "" {
		r.Commit = name + ", " + r.Commit
	}
	top := git("rev-parse", "--show-toplevel")
	for entry := range strings.SplitSeq(git("status", "--porcelain", "-z", "--no-renames", "--untracked-files=all"), "\x00") {
		if len(entry) < len("XY f") {
			continue
		}
		path := entry[len("XY "):]
		if below, err := filepath.Rel(except, filepath.Join(top, path)); err != nil || !filepath.IsLocal(below) {
			r.Changed = append(r.Changed, path)
		}
	}
	return r
}
