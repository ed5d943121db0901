package service

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"syscall"

	"golang.org/x/sys/unix"

	"kroxy-ev/config"
)

// identity is a user, or a user and groups, that files are opened as.
type identity struct {
	name       string              // for messages
	owner      string              // who would have to own a directory; "" for this process's user
	credential *syscall.Credential // nil for this process's
}

// thisProcess returns the identity of this process.
func thisProcess() identity { return identity{name: fmt.Sprintf("user %d", os.Geteuid())} }

// workerIdentity returns the identity of workers that run as who, as cfg asks; nil means as this process.
func workerIdentity(cfg *config.Config, who *syscall.Credential) identity {
	switch {
	case who == nil:
		return thisProcess()
	case cfg.User == "":
		return identity{name: "group " + cfg.GroupName, credential: who}
	}
	return identity{name: "user " + cfg.User, owner: cfg.User, credential: who}
}

// do runs f on a thread that has the identity w for the file system (credentials(7)). It returns false without running f if this process may
// not change its identity.
func (w identity) do(f func()) bool {
	if w.credential == nil {
		f()
		return true
	}
	own, err := unix.Getgroups()
	if err != nil {
		return false
	}
	done := make(chan bool)
	go func() {
		// A thread that cannot regain its own identity stays locked, so it ends with this goroutine. All other threads must be kept: when a thread
		// ends, the kernel may kill its children (PR_SET_PDEATHSIG).
		runtime.LockOSThread()
		ok := become(int(w.credential.Uid), int(w.credential.Gid), ints(w.credential.Groups))
		if ok {
			f()
		}
		if become(os.Geteuid(), os.Getegid(), own) {
			runtime.UnlockOSThread()
		}
		done <- ok
	}()
	return <-done
}

// become changes the calling thread's identity for the file system, and reports success.
func become(uid, gid int, groups []int) bool {
	if unix.Setgroups(groups) != nil || unix.Setfsgid(gid) != nil || unix.Setfsuid(uid) != nil {
		return false
	}
	// The system calls report no errors, so read the values back.
	nowGID, _ := unix.SetfsgidRetGid(-1)
	nowUID, _ := unix.SetfsuidRetUid(-1)
	return nowUID == uid && nowGID == gid
}

func ints(list []uint32) []int {
	out := make([]int, len(list))
	for i, n := range list {
		out[i] = int(n)
	}
	return out
}

// mayWrite returns what prevents w from writing or creating the file at path, and the remedy; "" if nothing does or if that is unknown. It
// opens and creates nothing.
func (w identity) mayWrite(path string) (what, remedy string) {
	if abs, err := filepath.Abs(path); err == nil {
		path = abs
	}
	w.do(func() { what, remedy = w.checkWrite(path) })
	return what, remedy
}

// checkWrite is mayWrite on a thread that has the identity w.
func (w identity) checkWrite(path string) (what, remedy string) {
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return w.checkCreate(filepath.Dir(target(path)))
	case err != nil:
		return w.obstacle(filepath.Dir(path), err)
	case info.IsDir():
		return fmt.Sprintf("%q is a directory", path), "name a file in it"
	case info.Mode()&os.ModeSocket != 0:
		return fmt.Sprintf("%q is a socket", path), "name a file"
	}
	if err := unix.Faccessat(unix.AT_FDCWD, path, unix.W_OK, unix.AT_EACCESS); err != nil {
		return fmt.Sprintf("%s may not write to %q: %v", w.name, path, err), fmt.Sprintf("let it write there, or %s", w.elsewhere())
	}
	return "", ""
}

// checkCreate returns what prevents w from creating a file in a directory.
func (w identity) checkCreate(dir string) (what, remedy string) {
	info, err := os.Stat(dir)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return fmt.Sprintf("the directory %q does not exist", dir), w.mkdir(dir)
	case err != nil:
		return w.obstacle(dir, err)
	case !info.IsDir():
		return fmt.Sprintf("%q is not a directory", dir), "name a file in a directory"
	}
	if err := unix.Faccessat(unix.AT_FDCWD, dir, unix.W_OK|unix.X_OK, unix.AT_EACCESS); err != nil {
		return fmt.Sprintf("%s may not create a file in %q: %v", w.name, dir, err), w.elsewhere()
	}
	return "", ""
}

// obstacle returns why a directory cannot be reached: the first path element that is not a directory or cannot be entered.
func (w identity) obstacle(dir string, err error) (what, remedy string) {
	for i := range dir + "/" {
		if i == 0 || i < len(dir) && dir[i] != '/' {
			continue
		}
		at := dir[:i]
		info, statErr := os.Stat(at)
		if statErr == nil && !info.IsDir() {
			return fmt.Sprintf("%q is not a directory", at), "name a file in a directory"
		}
		if accessErr := unix.Faccessat(unix.AT_FDCWD, at, unix.X_OK, unix.AT_EACCESS); accessErr != nil {
			return fmt.Sprintf("%s may not enter %q: %v", w.name, at, accessErr), w.elsewhere()
		}
	}
	return err.Error(), "name another file"
}

func (w identity) elsewhere() string {
	return "name a file in a directory that " + w.name + " may write to"
}

// mkdir returns a remedy with the command that creates a directory for w.
func (w identity) mkdir(dir string) string {
	if w.owner == "" {
		return fmt.Sprintf("create it: mkdir -p %q", dir)
	}
	return fmt.Sprintf("create it: install -d -o %s %q", w.owner, dir)
}

// target follows symbolic links, including one to a file that does not exist yet.
func target(path string) string {
	for range 40 { // as many as the kernel follows: path_resolution(7)
		link, err := os.Readlink(path)
		if err != nil {
			break
		}
		if !filepath.IsAbs(link) {
			link = filepath.Join(filepath.Dir(path), link)
		}
		path = link
	}
	return path
}
