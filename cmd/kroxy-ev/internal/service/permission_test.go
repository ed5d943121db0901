package service

import (
	"errors"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
)

// Both primary and supplementary groups count, and changing one thread's identity does not change the others'.
func TestGroupsMayWrite(t *testing.T) {
	t.Parallel()
	if os.Getuid() != 0 {
		t.Skip("only root can become somebody else")
	}
	dir, err := os.MkdirTemp("", "kroxy-ev-groups") // all users may enter the directories above it
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	private := filepath.Join(dir, "private")
	if err := errors.Join(os.Chmod(dir, 0o755), os.Mkdir(private, 0), os.Chown(private, 0, 54321), os.Chmod(private, 0o770)); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(private, "log")
	var all sync.WaitGroup
	for range 20 {
		for name, test := range map[string]struct {
			credential syscall.Credential
			may        bool
		}{
			"stranger":      {syscall.Credential{Uid: 12345, Gid: 12345, Groups: []uint32{1, 2, 3}}, false},
			"no groups":     {syscall.Credential{Uid: 12345, Gid: 12345}, false},
			"primary":       {syscall.Credential{Uid: 12345, Gid: 54321}, true},
			"supplementary": {syscall.Credential{Uid: 12345, Gid: 12345, Groups: []uint32{1, 54321}}, true},
			"root":          {syscall.Credential{}, true},
		} {
			all.Go(func() {
				w := identity{name: name, credential: &test.credential}
				if what, _ := w.mayWrite(file); (what == "") != test.may {
					t.Errorf("%s: %q", name, what)
				}
				if what, _ := thisProcess().mayWrite(file); what != "" {
					t.Errorf("this process is not root any more: %s", what)
				}
			})
		}
	}
	all.Wait()
	for range 100 {
		all.Go(func() {
			if what, _ := thisProcess().mayWrite(file); what != "" {
				t.Errorf("a thread is not root any more: %s", what)
			}
		})
	}
	all.Wait()
	if !(identity{credential: &syscall.Credential{Uid: 1}}).do(func() {}) {
		t.Error("root cannot become somebody else")
	}
}
