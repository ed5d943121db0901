package main_test

import (
	"bufio"
	"crypto/rand"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"regexp"
	"runtime"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// fakeControl is a control socket for a configuration, opened by this process, as any user of the machine may do. It claims to be in the mount namespace with
// that number. If it is silent it sends nothing; otherwise it accepts every order and answers with text.
type fakeControl struct {
	file   string
	uid    int
	mounts uint64
	silent bool
	text   string
}

// ownMounts returns the number of this process's mount namespace.
func ownMounts(t *testing.T) uint64 {
	t.Helper()
	var st unix.Stat_t
	if err := unix.Stat("/proc/self/ns/mnt", &st); err != nil {
		t.Fatal(err)
	}
	return st.Ino
}

// open makes the control socket listen until the test ends.
func (i fakeControl) open(t *testing.T) {
	t.Helper()
	var st unix.Stat_t
	if err := unix.Stat(i.file, &st); err != nil {
		t.Fatal(err)
	}
	about, err := json.Marshal(map[string]any{
		"Path": i.file, "File": map[string]uint64{"Dev": st.Dev, "Ino": st.Ino}, "PID": os.Getpid(), "Mounts": i.mounts, "State": "serves",
	})
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256([]byte(i.file))
	ln, err := listenAs(i.uid, fmt.Sprintf("@kroxy-ev/%x/%s", sum[:16], rand.Text()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = ln.Close() })
	go func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			if i.silent {
				continue // the connection stays open
			}
			go func() {
				defer c.Close()
				_, _ = fmt.Fprintf(c, "%s\n", about)
				if _, err := bufio.NewReader(c).ReadString('\n'); err == nil {
					_, _ = io.WriteString(c, i.text+"\n")
				}
			}()
		}
	}()
}

// listenAs listens as another user, whom the kernel then reports to those who connect.
func listenAs(uid int, name string) (ln net.Listener, err error) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		// The thread becomes root again and lives on: the kernel kills the children of a thread that ends (PR_SET_PDEATHSIG).
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		become := func(uid int) error {
			const same = ^uintptr(0)
			if _, _, errno := unix.RawSyscall(unix.SYS_SETRESUID, same, uintptr(uid), same); errno != 0 {
				return errno
			}
			return nil
		}
		if err = become(uid); err == nil {
			ln, err = net.Listen("unix", name)
			err = errors.Join(err, become(0))
		}
	}()
	<-done
	return ln, err
}

// A process of another user that claims to be the proxy neither gets root's orders nor delays them.
func TestOrdersDespiteAnImpostor(t *testing.T) {
	t.Parallel()
	needRoot(t)
	for _, silent := range []bool{false, true} {
		t.Run(fmt.Sprint("silent ", silent), func(t *testing.T) {
			t.Parallel()
			h := listen(t, "127.0.0.1", echo)
			p, _ := startUpgradable(t, setup{hosts: endpoints(h), settings: settings{"shutdown_timeout": 300}})
			fakeControl{p.file, 1001, ownMounts(t), silent, `{}`}.open(t)
			for _, verb := range []string{"reload", "upgrade", "reload"} {
				begun := time.Now()
				p.mustOrder(verb)
				if took := time.Since(begun); took > patience/2 {
					t.Errorf("%s took %v, want at most %v", verb, took, patience/2)
				}
			}
			pid := p.awaitSuccessor(1)
			eventually(t, "two reloads are logged", func() bool { return p.stderr.count(`msg="kroxy-ev: reloaded"`) == 2 })
			p.stopSuccessor(pid)
		})
	}
}

// Among equally trusted users, being in the caller's mount namespace does not decide who gets an order.
func TestOrdersAmongOtherUsers(t *testing.T) {
	t.Parallel()
	needRoot(t)
	file := writeConfig(t, t.TempDir(), []byte("{}"))
	fakeControl{file, 1001, ownMounts(t), false, `{"Warnings":["\u001b[2Jone\ntwo"]}`}.open(t)
	out, err := exec.Command(program, "reload", "--config", file).CombinedOutput()
	if want := fmt.Sprintf("kroxy-ev: warning: [2Jonetwo\nkroxy-ev: reload done by process %d of user 1001\n", os.Getpid()); err != nil || string(out) != want {
		t.Errorf("%v: %q, want %q", err, out, want)
	}
	fakeControl{file, 1002, 1, false, `{}`}.open(t)
	orderFails(t, exec.Command(program, "reload", "--config", file), `several processes serve .*: (\d+ of user 100[12](, |;)){2} send SIGHUP`)
	// The owner of the file is trusted more.
	if err := os.Chown(file, 1003, -1); err != nil {
		t.Fatal(err)
	}
	fakeControl{file, 1003, 1, false, `{"Error":"no\u001b[2J\nreally"}`}.open(t)
	orderFails(t, exec.Command(program, "reload", "--config", file), `^no\[2J\nreally\n$`)
}

// What another process says about itself is shown without control characters and truncated.
func TestOrdersShowNoRawText(t *testing.T) {
	t.Parallel()
	for text, pattern := range map[string]string{
		`{"Refusal":"\u001b[2J\nkroxy-ev: reload done"}`:   `process \d+ says "\\x1b\[2J\\nkroxy-ev: reload done"\n$`,
		`{"Path":"/\u001b[2J","PID":PID}`:                  `process \d+ serves "/\\x1b\[2J"\n$`,
		`{"Refusal":"` + strings.Repeat("x", 1<<16) + `"}`: `process \d+ says "x{1000}x{24}"\n$`,
		strings.Repeat("x", 2<<20):                         `process \d+ sends no greeting: [^\n]*\n$`,
	} {
		file := writeConfig(t, t.TempDir(), []byte("{}"))
		sum := sha256.Sum256([]byte(file))
		ln, err := net.Listen("unix", fmt.Sprintf("@kroxy-ev/%x/%s", sum[:16], rand.Text()))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = ln.Close() })
		go func() {
			for {
				c, err := ln.Accept()
				if err != nil {
					return
				}
				_, _ = io.WriteString(c, strings.ReplaceAll(text, "PID}", fmt.Sprint(os.Getpid(), "}"))+"\n")
				_ = c.Close()
			}
		}()
		orderFails(t, exec.Command(program, "reload", "--config", file), `^kroxy-ev: no kroxy-ev serves `+regexp.QuoteMeta(file)+` here: `+pattern)
	}
}
