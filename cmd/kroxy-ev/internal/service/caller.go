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

	"kroxy-ev/cmd/kroxy-ev/internal/admin"
)

const (
	greetingTimeout = 5 * time.Second // to receive a greeting
	// settleTime is how long a caller keeps looking if what it finds may change soon: the file is being replaced, or one process is taking over
	// from another.
	settleTime  = time.Second
	maxGreeting = 1 << 20 // bytes read from any control socket, which may belong to an untrusted process
	maxAnswer   = 1 << 28 // bytes read from a trusted process
)

// caller is this process when it has an order for the process that serves a configuration.
type caller struct {
	path   string // as given
	abs    string // made absolute
	file   fileID // the file at that path, as this process sees it
	owner  int    // user who owns the file
	mounts uint64 // number of the mount namespace, 0 if it is unknown
}

// candidate is a process with a control socket, as a caller finds it.
type candidate struct {
	greeting
	conn  net.Conn
	in    *bufio.Reader
	limit *io.LimitedReader // limits what in reads
	pid   int               // as this process sees it; 0 if the process is in another PID namespace
	uid   int               // -1 if it is unknown
	err   error             // why the process cannot be asked; the other fields are not valid then
}

// SendOrder sends an order to the process that serves this configuration and returns the answer. The result by names that process if it
// runs neither as root nor as the caller's user.
func SendOrder(verb, path string) (a Answer, by string, err error) {
	a, by, err = ask(path, verb+"\n")
	switch a.Error {
	case errNoMaster.Error(), errStopping.Error(), errUnknownOrder.Error(): // others begin with who says so, or with a place in a file
		err = a.failed(verb)
	}
	return a, by, err
}

// Status asks the process that serves this configuration for its *admin.Status in JSON. The result by is as in SendOrder.
func Status(path string) (text json.RawMessage, by string, err error) {
	a, by, err := ask(path, verbStatus+"\n")
	if err == nil {
		err = a.failed("status")
	}
	return a.Status, by, err
}

// SetHost gives the process that serves this configuration an order about a host, which is named GROUP/HOST. The result by is as in SendOrder.
func SetHost(path, host string, o admin.HostOrder) (by string, err error) {
	arguments, err := json.Marshal(hostArguments{host, o})
	if err != nil {
		return "", err
	}
	a, by, err := ask(path, verbHost+"\n"+string(arguments)+"\n")
	if err == nil {
		err = a.failed("drain")
	}
	return by, err
}

// failed returns the error in the answer, or nil. The command is named in the error if the process is too old for it.
func (a *Answer) failed(command string) error {
	switch a.Error {
	case "":
		return nil
	case errUnknownOrder.Error():
		return fmt.Errorf("kroxy-ev: the running kroxy-ev is older than this one, and has no %q; switch to this one with \"kroxy-ev upgrade\", or restart it", command)
	default:
		return errors.New("kroxy-ev: " + a.Error)
	}
}

// ask sends an order with its arguments to the process that serves this configuration.
func ask(path, text string) (a Answer, by string, err error) {
	s, err := findServing(path)
	if err != nil {
		return Answer{}, "", fmt.Errorf("kroxy-ev: %w", err)
	}
	defer s.close()
	if _, err := io.WriteString(s.conn, text); err != nil {
		return Answer{}, "", fmt.Errorf("kroxy-ev: sending the order to process %d: %w", s.pid, err)
	}
	s.limit.N = maxAnswer
	if err := s.receive(&a); err != nil {
		return Answer{}, "", fmt.Errorf("kroxy-ev: the kroxy-ev that serves %s ended before it sent the outcome: %w", path, err)
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
			return nil, fmt.Errorf("looking for the process that serves %s: %w; name the file exactly as at its start", path, err)
		}
		c.file, c.owner = fileID{st.Dev, st.Ino}, int(st.Uid)
		all, err := connectAll(controlPrefix(abs))
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

// rank says how far a process is trusted; 0 is most. Any user of the machine can compute the name of a control socket and listen there.
func (c *caller) rank(s *candidate) int {
	switch s.uid {
	case 0:
		return 0
	case c.owner:
		return 1
	}
	return 2
}

// choose picks the process that serves the configuration. If there is none, err says why, and again says whether that may change soon.
//
// The right process was started with the same path and sees the same file there. If there are several, those of less trusted users are
// not even asked. If containers share a directory, the process in the caller's own mount namespace is chosen; but this only decides
// between processes of the same user, because each user can start a process there.
func (c *caller) choose(all []*candidate) (s *candidate, again bool, err error) {
	var good []*candidate
	var why []string
	slices.SortStableFunc(all, func(a, b *candidate) int { return cmp.Compare(c.rank(a), c.rank(b)) })
	for rest := all; len(rest) > 0 && len(good) == 0; {
		n := 1
		for n < len(rest) && c.rank(rest[n]) == c.rank(rest[0]) {
			n++
		}
		each(rest[:n], (*candidate).readGreeting)
		for _, s := range rest[:n] {
			if err := c.check(s); err != nil {
				why = append(why, err.Error())
			} else {
				good = append(good, s)
			}
		}
		rest = rest[n:]
	}
	near := map[int]bool{} // users with a process in this mount namespace
	here := func(s *candidate) bool { return s.Mounts == c.mounts && c.mounts != 0 }
	for _, s := range good {
		near[s.uid] = near[s.uid] || here(s)
	}
	good = slices.DeleteFunc(good, func(s *candidate) bool { return near[s.uid] && !here(s) })
	serving := slices.DeleteFunc(slices.Clone(good), func(s *candidate) bool { return s.State != controlServes.String() })
	switch {
	case len(serving) == 1:
		return serving[0], false, nil
	case len(serving) > 1:
		return nil, true, fmt.Errorf("several processes serve %s: %s; send SIGHUP to the right one", c.path, pids(serving))
	case len(good) > 0:
		again = slices.ContainsFunc(good, func(s *candidate) bool { return s.State == controlLeaves.String() })
		return nil, again, fmt.Errorf("process %s serves %s: %w", pids(good), c.path, errStopping)
	case len(why) > 0:
		return nil, true, fmt.Errorf("no kroxy-ev serves %s here: %s", c.path, strings.Join(why, "; "))
	}
	return nil, false, fmt.Errorf("no kroxy-ev on this machine serves %s; start it with --config %s, or name the file exactly as at its start%s", c.path, c.path, c.otherNames())
}

// check returns why s is not the right process, or nil if it is.
func (c *caller) check(s *candidate) error {
	switch {
	case s.err != nil:
		return s.err
	case s.uid != 0 && s.uid != os.Geteuid() && os.Geteuid() != 0:
		return fmt.Errorf("%s belongs to user %d, who is not trusted", s.name(), s.uid)
	case s.Refusal != "":
		return fmt.Errorf("%s says %.*q", s.name(), maxShown, s.Refusal)
	case s.pid != 0 && innermost(s.pid) != s.PID:
		return fmt.Errorf("%s claims to be process %d of its PID namespace, which is false", s.name(), s.PID)
	case s.Path != c.abs:
		return fmt.Errorf("%s serves %.*q", s.name(), maxShown, s.Path)
	case s.File != c.file:
		return fmt.Errorf("%s serves that path, but sees another file there, as in another container; run this command inside of it", s.name())
	}
	return nil
}

// otherNames returns a hint that names the processes that serve the same file under another path.
func (c *caller) otherNames() string {
	all, err := connectAll(controlNames)
	if err != nil {
		return "" // only a hint
	}
	each(all, (*candidate).readGreeting)
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

// name returns the name of the process in messages.
func (s *candidate) name() string {
	if s.pid == 0 {
		return "a process of another PID namespace"
	}
	return fmt.Sprintf("process %d", s.pid)
}

// pids lists processes for messages.
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

// connectAll connects to every control socket whose name begins with prefix.
func connectAll(prefix string) ([]*candidate, error) {
	names, err := listControls(prefix)
	if err != nil {
		return nil, err
	}
	var all []*candidate
	for _, name := range names {
		if s := connect(name); s != nil {
			all = append(all, s)
		}
	}
	return all, nil
}

// each calls f concurrently for all elements of list, and returns when all calls have returned.
func each(list []*candidate, f func(*candidate)) {
	var calls sync.WaitGroup
	for _, s := range list {
		calls.Go(func() { f(s) })
	}
	calls.Wait()
}

// listControls returns the names of the existing control sockets that begin with prefix.
func listControls(prefix string) ([]string, error) {
	text, err := os.ReadFile("/proc/self/net/unix") // proc_pid_net(5)
	if err != nil {
		return nil, fmt.Errorf("looking for running processes: %w; without /proc only SIGHUP works", err)
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

// connect connects to a control socket. It does not wait for the other process, because the kernel accepts. It returns nil if nobody listens.
func connect(name string) *candidate {
	c, err := net.DialTimeout("unix", name, greetingTimeout)
	if errors.Is(err, unix.ECONNREFUSED) {
		return nil
	}
	if err != nil {
		return &candidate{uid: -1, err: err}
	}
	limit := &io.LimitedReader{R: c, N: maxGreeting}
	s := &candidate{conn: c, in: bufio.NewReader(limit), limit: limit, uid: -1}
	peer, err := peerOf(c.(*net.UnixConn))
	if err != nil {
		s.err = fmt.Errorf("asking who listens at %s: %w", name, err)
		return s
	}
	s.pid, s.uid = int(peer.Pid), int(peer.Uid)
	return s
}

// readGreeting receives the greeting.
func (s *candidate) readGreeting() {
	if s.err != nil {
		return
	}
	_ = s.conn.SetReadDeadline(time.Now().Add(greetingTimeout))
	if err := s.receive(&s.greeting); err != nil {
		s.err = fmt.Errorf("%s sends no greeting: %w", s.name(), err)
	}
	_ = s.conn.SetReadDeadline(time.Time{})
}

// receive reads a value that send has sent.
func (s *candidate) receive(what any) error {
	line, err := s.in.ReadBytes('\n')
	if err != nil {
		return err
	}
	return json.Unmarshal(line, what)
}

// maxShown is how many bytes of another process's text a message shows.
const maxShown = 1024

// Printable removes characters that could control a terminal from another process's text.
func Printable(text string) string {
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return -1
		}
		return r
	}, text)
}

// innermost returns the id that a process has in its own PID namespace, or pid if that is unknown.
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
