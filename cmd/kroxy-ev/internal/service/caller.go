package service

import (
	"bufio"
	"cmp"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
	"unicode"

	"github.com/goccy/go-json"
	"golang.org/x/sys/unix"
)

const (
	introductionTimeout = 5 * time.Second // for a desk to introduce itself
	// settleTime is for how long a caller looks again, if what it finds may be about to change: the file is just being replaced,
	// or one process takes over from another.
	settleTime = time.Second
	maxAnswers = 1 << 20 // bytes that are heard from a desk
)

// caller is somebody with an order for whoever serves a configuration.
type caller struct {
	path   string // as it was given
	abs    string // made absolute
	file   fileID // that is there, seen from here
	owner  int    // the user that the file belongs to
	mounts uint64 // the mount namespace's number, 0 if it is not known
}

// candidate is a process that has a desk, as a caller meets it.
type candidate struct {
	introduction
	conn net.Conn
	in   *bufio.Reader
	pid  int   // seen from here; 0 if it is in another PID namespace
	uid  int   // -1 if it is not known
	err  error // why it cannot be asked; nothing else is known then
}

// GiveOrder asks whoever serves this configuration, and returns what was answered. By names the process if it belongs neither to
// root nor to the caller.
func GiveOrder(verb, path string) (a Answer, by string, err error) {
	s, err := findServing(path)
	if err != nil {
		return Answer{}, "", fmt.Errorf("kroxy-ev: %w", err)
	}
	defer s.close()
	if _, err := fmt.Fprintln(s.conn, verb); err != nil {
		return Answer{}, "", fmt.Errorf("kroxy-ev: giving the order to process %d: %w", s.pid, err)
	}
	if err := s.hear(&a); err != nil {
		return Answer{}, "", fmt.Errorf("kroxy-ev: the kroxy-ev that serves %s ended before it had told the outcome: %w", path, err)
	}
	if s.uid != 0 && s.uid != os.Geteuid() {
		by = fmt.Sprintf("%s of user %d", s.name(), s.uid)
	}
	return a, by, nil
}

// findServing connects to the process that serves this configuration.
func findServing(path string) (*candidate, error) {
	abs, err := filepath.Abs(path)
	if err != nil {
		return nil, err
	}
	c := caller{path: path, abs: abs, mounts: mounts()}
	for deadline := time.Now().Add(settleTime); ; time.Sleep(20 * time.Millisecond) {
		st, err := stat(path)
		if err != nil {
			return nil, fmt.Errorf("looking for the process that serves %s: %w; name the file as when it was started", path, err)
		}
		c.file, c.owner = fileID{st.Dev, st.Ino}, int(st.Uid)
		all, err := meet(deskPrefix(abs))
		if err != nil {
			return nil, err
		}
		s, again, err := c.choose(all)
		for _, other := range all {
			if other != s {
				other.close()
			}
		}
		if s != nil || !again || time.Now().After(deadline) {
			return s, err
		}
	}
}

// rank is how far a process's word counts: less is more. Everything that a desk says is known to every user of the machine.
func (c *caller) rank(s *candidate) int {
	switch s.uid {
	case 0:
		return 0
	case c.owner:
		return 1
	}
	return 2
}

// choose picks the server that is meant. If there is none, the error says why, and again whether that may change soon.
//
// It is one that has been given the same path and sees the same file there. Several may. Those of a user who is trusted less are
// not even heard then. If containers share a directory, it is that of the caller's own mount namespace; but this decides between
// processes of one user only, since each user can start one there.
func (c *caller) choose(all []*candidate) (s *candidate, again bool, err error) {
	var good []*candidate
	var why []string
	slices.SortStableFunc(all, func(a, b *candidate) int { return cmp.Compare(c.rank(a), c.rank(b)) })
	for rest := all; len(rest) > 0 && len(good) == 0; {
		n := 1
		for n < len(rest) && c.rank(rest[n]) == c.rank(rest[0]) {
			n++
		}
		each(rest[:n], (*candidate).listen)
		for _, s := range rest[:n] {
			if err := c.check(s); err != nil {
				why = append(why, err.Error())
			} else {
				good = append(good, s)
			}
		}
		rest = rest[n:]
	}
	near := map[int]bool{} // users that have a process here
	here := func(s *candidate) bool { return s.Mounts == c.mounts && c.mounts != 0 }
	for _, s := range good {
		near[s.uid] = near[s.uid] || here(s)
	}
	good = slices.DeleteFunc(good, func(s *candidate) bool { return near[s.uid] && !here(s) })
	serving := slices.DeleteFunc(slices.Clone(good), func(s *candidate) bool { return s.State != deskServes.String() })
	switch {
	case len(serving) == 1:
		return serving[0], false, nil
	case len(serving) > 1:
		return nil, true, fmt.Errorf("several processes serve %s: %s; send SIGHUP to the one that is meant", c.path, pids(serving))
	case len(good) > 0:
		again = slices.ContainsFunc(good, func(s *candidate) bool { return s.State == deskLeaves.String() })
		return nil, again, fmt.Errorf("process %s serves %s: %w", pids(good), c.path, errStopping)
	case len(why) > 0:
		return nil, true, fmt.Errorf("no kroxy-ev serves %s here: %s", c.path, strings.Join(why, "; "))
	}
	return nil, false, fmt.Errorf("no kroxy-ev of this machine serves %s; start it with --config %s, or name the file as when it was started%s", c.path, c.path, c.otherNames())
}

// check reports why s is not the one that is meant.
func (c *caller) check(s *candidate) error {
	switch {
	case s.err != nil:
		return s.err
	case s.uid != 0 && s.uid != os.Geteuid() && os.Geteuid() != 0:
		return fmt.Errorf("%s belongs to user %d, who is not to be trusted", s.name(), s.uid)
	case s.Refusal != "":
		return fmt.Errorf("%s says %.*q", s.name(), maxShown, s.Refusal)
	case s.pid != 0 && innermost(s.pid) != s.PID:
		return fmt.Errorf("%s says that it is process %d of its PID namespace, which it is not", s.name(), s.PID)
	case s.Path != c.abs:
		return fmt.Errorf("%s serves %.*q", s.name(), maxShown, s.Path)
	case s.File != c.file:
		return fmt.Errorf("%s serves that path, but the file there is another one, as in another container; give the order from inside of it", s.name())
	}
	return nil
}

// otherNames says which processes serve the same file by another path.
func (c *caller) otherNames() string {
	all, err := meet(deskNames)
	if err != nil {
		return "" // only a hint
	}
	each(all, (*candidate).listen)
	var hint string
	for _, s := range all {
		named := caller{abs: s.Path, file: c.file}
		if named.check(s) == nil {
			hint += fmt.Sprintf("; %s serves the same file as %.*q", s.name(), maxShown, s.Path)
		}
		s.close()
	}
	return hint
}

func (s *candidate) close() {
	if s.conn != nil {
		_ = s.conn.Close()
	}
}

// name is the process for people.
func (s *candidate) name() string {
	if s.pid == 0 {
		return "a process of another PID namespace"
	}
	return fmt.Sprintf("process %d", s.pid)
}

// pids lists processes for people.
func pids(list []*candidate) string {
	var names []string
	for _, s := range list {
		name := strconv.Itoa(cmp.Or(s.pid, s.PID))
		if s.uid != os.Geteuid() {
			name += fmt.Sprintf(" of user %d", s.uid)
		}
		names = append(names, name)
	}
	return strings.Join(names, ", ")
}

// meet connects to every desk whose name begins with prefix.
func meet(prefix string) ([]*candidate, error) {
	names, err := deskList(prefix)
	if err != nil {
		return nil, err
	}
	var all []*candidate
	for _, name := range names {
		if s := visit(name); s != nil {
			all = append(all, s)
		}
	}
	return all, nil
}

// each calls f for all of a list at once, and returns when all calls have.
func each(list []*candidate, f func(*candidate)) {
	var calls sync.WaitGroup
	for _, s := range list {
		calls.Go(func() { f(s) })
	}
	calls.Wait()
}

// deskList finds the names that desks listen at.
func deskList(prefix string) ([]string, error) {
	text, err := os.ReadFile("/proc/self/net/unix") // proc_pid_net(5)
	if err != nil {
		return nil, fmt.Errorf("looking for running processes: %w; without /proc there is only SIGHUP", err)
	}
	const flags, path, listens = 3, 7, "00010000"
	var names []string
	for line := range strings.Lines(string(text)) {
		if f := strings.Fields(line); len(f) > path && f[flags] == listens && strings.HasPrefix(f[path], prefix) && Printable(f[path]) == f[path] {
			names = append(names, f[path])
		}
	}
	return names, nil
}

// visit connects to a desk, which takes no time: the kernel answers, whatever the other process does. It returns nil if nobody is there.
func visit(name string) *candidate {
	c, err := net.DialTimeout("unix", name, introductionTimeout)
	if errors.Is(err, unix.ECONNREFUSED) {
		return nil
	}
	if err != nil {
		return &candidate{uid: -1, err: err}
	}
	s := &candidate{conn: c, in: bufio.NewReader(io.LimitReader(c, maxAnswers)), uid: -1}
	peer, err := peerOf(c.(*net.UnixConn))
	if err != nil {
		s.err = fmt.Errorf("asking who listens at %s: %w", name, err)
		return s
	}
	s.pid, s.uid = int(peer.Pid), int(peer.Uid)
	return s
}

// listen has the process introduce itself.
func (s *candidate) listen() {
	if s.err != nil {
		return
	}
	_ = s.conn.SetReadDeadline(time.Now().Add(introductionTimeout))
	if err := s.hear(&s.introduction); err != nil {
		s.err = fmt.Errorf("%s does not say who it is: %w", s.name(), err)
	}
	_ = s.conn.SetReadDeadline(time.Time{})
}

// hear reads a line that say has sent.
func (s *candidate) hear(what any) error {
	line, err := s.in.ReadBytes('\n')
	if err != nil {
		return err
	}
	return json.Unmarshal(line, what)
}

// maxShown is how many bytes are shown of a text that another process has sent.
const maxShown = 1024

// Printable is a text without what would steer a terminal: another process has sent it.
func Printable(text string) string {
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return -1
		}
		return r
	}, text)
}

// innermost is the id that a process has in its own PID namespace, or pid if that cannot be known.
func innermost(pid int) int {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return pid
	}
	for line := range strings.Lines(string(text)) {
		if ids, ok := strings.CutPrefix(line, "NSpid:"); ok { // proc_pid_status(5)
			if f := strings.Fields(ids); len(f) > 0 {
				if id, err := strconv.Atoi(f[len(f)-1]); err == nil {
					return id
				}
			}
		}
	}
	return pid
}
