package main_test

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// times returns how often a test repeats something: few, or the number that the project promises if KROXY_EV_LONG=1 is in the environment.
func times(few, promised int) int {
	if os.Getenv("KROXY_EV_LONG") != "" {
		return promised
	}
	return few
}

// modes runs a test without and with worker processes, in parallel.
func modes(t *testing.T, test func(t *testing.T, multi bool)) {
	t.Helper()
	for _, multi := range []bool{false, true} {
		t.Run(fmt.Sprintf("multiprocess %v", multi), func(t *testing.T) {
			t.Parallel()
			test(t, multi)
		})
	}
}

// rewrite replaces the proxy's configuration file atomically, as editors do.
func (p *proxy) rewrite(s setup) {
	p.t.Helper()
	p.replace(configText(p.port, s))
}

func (p *proxy) replace(text []byte) {
	p.t.Helper()
	if err := errors.Join(os.WriteFile(p.file+".new", text, 0o644), os.Rename(p.file+".new", p.file)); err != nil {
		p.t.Fatal(err)
	}
}

// order runs "kroxy-ev VERB" for the proxy and returns its exit status and output.
func (p *proxy) order(verb string) (status int, out string) {
	p.t.Helper()
	text, err := exec.Command(program, verb, "--config", p.file).CombinedOutput()
	if exit := (*exec.ExitError)(nil); err != nil && !errors.As(err, &exit) {
		p.t.Fatal(err)
	} else if err != nil {
		status = exit.ExitCode()
	}
	return status, string(text)
}

// mustOrder is order, and demands success without warnings.
func (p *proxy) mustOrder(verb string) {
	p.t.Helper()
	if status, out := p.order(verb); status != 0 || !strings.HasSuffix(out, "kroxy-ev: "+verb+" done\n") || strings.Contains(out, "warning") {
		p.t.Fatalf("%s: exit status %d: %s", verb, status, out)
	}
}

// warns demands that an order succeeds with a warning that matches the pattern.
func (p *proxy) warns(verb, pattern string) {
	p.t.Helper()
	status, out := p.order(verb)
	if status != 0 || !regexp.MustCompile(`(?m)^kroxy-ev: warning: .*`+pattern).MatchString(out) || !strings.HasSuffix(out, "kroxy-ev: "+verb+" done\n") {
		p.t.Fatalf("%s: exit status %d: %s\nwant 0 and %s", verb, status, out, pattern)
	}
}

// refuses demands that an order fails with an error that matches the pattern, and that the log has the error too.
func (p *proxy) refuses(verb, pattern string) {
	p.t.Helper()
	status, out := p.order(verb)
	if status != 1 || !regexp.MustCompile(pattern).MatchString(out) {
		p.t.Errorf("%s: exit status %d: %s\nwant 1 and %s", verb, status, out, pattern)
	}
	p.awaitLog(`level=ERROR msg="kroxy-ev: ` + verb + ` failed, everything goes on as before.*`)
	p.awaitLog(pattern)
}

// awaitLog waits for a match in the log, which successors write as well, and returns the match and its groups.
func (p *proxy) awaitLog(pattern string) []string {
	p.t.Helper()
	re := regexp.MustCompile(pattern)
	var found []string
	eventually(p.t, "the log has "+pattern, func() bool {
		found = re.FindStringSubmatch(p.stderr.String())
		return found != nil
	})
	return found
}

// alive reports whether a process has not ended.
func alive(pid int) bool { return state(pid) != 0 }

// state returns the state letter of a process (proc(5)), 0 if it has ended.
func state(pid int) byte {
	fields := stat(pid)
	if len(fields) == 0 || strings.ContainsAny(fields[0], "ZXx") {
		return 0
	}
	return fields[0][0]
}

// stopped reports whether all threads of a process have stopped. Until then, one that is inside a system call finishes the call.
func stopped(t *testing.T, pid int) bool {
	t.Helper()
	threads, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/stat", pid))
	if err != nil || len(threads) == 0 {
		t.Fatalf("process %d has no threads: %v", pid, err)
	}
	return !slices.ContainsFunc(threads, func(file string) bool {
		fields := statFields(file)
		return len(fields) > 0 && !strings.Contains("TZX", fields[0])
	})
}

// stat returns the fields of /proc/PID/stat from the state on.
func stat(pid int) []string { return statFields(fmt.Sprintf("/proc/%d/stat", pid)) }

// statFields returns the fields of a file like /proc/PID/stat from the state on.
func statFields(file string) []string {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil
	}
	return strings.Fields(string(text[bytes.LastIndexByte(text, ')')+1:]))
}

// children returns the running child processes of a process.
func children(t *testing.T, pid int) []int {
	t.Helper()
	list, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		t.Fatal(err)
	}
	var found []int
	for _, dir := range list {
		child, _ := strconv.Atoi(filepath.Base(dir))
		if f := stat(child); len(f) > 1 && f[1] == strconv.Itoa(pid) && alive(child) {
			found = append(found, child)
		}
	}
	return found
}

// workers returns the workers of the proxy's master.
func (p *proxy) workers() []int { return children(p.t, p.pid()) }

// unreaped returns how many processes of the proxy have ended without the proxy having noticed.
func (p *proxy) unreaped() (n int) {
	p.t.Helper()
	list, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		p.t.Fatal(err)
	}
	for _, file := range list {
		if f := statFields(file); len(f) > 1 && f[0] == "Z" && f[1] == strconv.Itoa(p.pid()) {
			n++
		}
	}
	return n
}

// owner returns which of the processes has the other end of a connection to the proxy, 0 for none.
func owner(t *testing.T, c net.Conn, pids []int) int {
	t.Helper()
	socket := otherEnd(t, c)
	for _, pid := range pids {
		if sockets(pid)[socket] {
			return pid
		}
	}
	return 0
}

// otherEnd returns the socket at the other end of an IPv4 connection within this machine, as /proc/PID/fd names it, "" if there is none any more.
// sock_diag(7) finds the socket directly, whereas /proc/net/tcp lists all connections of the last minute.
func otherEnd(t *testing.T, c net.Conn) string {
	t.Helper()
	client, server := c.LocalAddr().(*net.TCPAddr), c.RemoteAddr().(*net.TCPAddr)
	// A struct nlmsghdr and then a struct inet_diag_req_v2 (linux/inet_diag.h, linux/netlink.h).
	const header, request, identity, inode = unix.SizeofNlMsghdr, 8, 48, 4 + 48 + 16
	q := make([]byte, header+request+identity)
	native := binary.NativeEndian
	native.PutUint32(q, uint32(len(q)))
	native.PutUint16(q[4:], unix.SOCK_DIAG_BY_FAMILY)
	native.PutUint16(q[6:], unix.NLM_F_REQUEST)
	q[header], q[header+1] = unix.AF_INET, unix.IPPROTO_TCP
	native.PutUint32(q[header+4:], math.MaxUint32) // any state
	id := q[header+request:]
	binary.BigEndian.PutUint16(id, uint16(server.Port))
	binary.BigEndian.PutUint16(id[2:], uint16(client.Port))
	copy(id[4:], server.IP.To4())
	copy(id[20:], client.IP.To4())
	native.PutUint64(id[40:], math.MaxUint64) // any cookie
	s, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_SOCK_DIAG)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(s)
	if err := unix.Sendto(s, q, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		t.Fatal(err)
	}
	answer := make([]byte, 4096)
	n, _, err := unix.Recvfrom(s, answer, 0)
	if err != nil {
		t.Fatal(err)
	}
	if n < header+inode+4 || native.Uint16(answer[4:]) != unix.SOCK_DIAG_BY_FAMILY {
		return "" // it is closed
	}
	return fmt.Sprintf("socket:[%d]", native.Uint32(answer[header+inode:]))
}

// acceptedSockets returns the sockets of connections to a port of this machine, by the client's port.
func acceptedSockets(t *testing.T, port int) map[int]string {
	t.Helper()
	text, err := os.ReadFile("/proc/net/tcp")
	if err != nil {
		t.Fatal(err)
	}
	found := map[int]string{}
	ends := fmt.Sprintf(":%04X 0100007F:", port)
	for row := range strings.Lines(string(text)) {
		// The kernel writes ports in hexadecimal; seven fields lie between the addresses and the inode (proc_net_tcp(5)).
		_, rest, ours := strings.Cut(row, ends)
		fields := strings.Fields(rest)
		if !ours || len(fields) < 8 {
			continue
		}
		client, err := strconv.ParseUint(fields[0], 16, 16)
		if err != nil {
			t.Fatalf("/proc/net/tcp has %q", row)
		}
		found[int(client)] = "socket:[" + fields[7] + "]"
	}
	return found
}

// sockets returns the sockets that a process has open, as /proc/PID/fd names them.
func sockets(pid int) map[string]bool {
	found := map[string]bool{}
	files, _ := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", pid))
	for _, f := range files {
		if target, _ := os.Readlink(f); strings.HasPrefix(target, "socket:") {
			found[target] = true
		}
	}
	return found
}

// clientsOf returns the client ports of the connections that a process has accepted. The process should be stopped, or they change.
func (p *proxy) clientsOf(pid int) map[int]bool {
	p.t.Helper()
	found, open := map[int]bool{}, sockets(pid)
	for client, socket := range acceptedSockets(p.t, p.port) {
		if open[socket] {
			found[client] = true
		}
	}
	return found
}

// awaitOwner waits until a process has accepted the connection, and returns that process.
func awaitOwner(t *testing.T, c net.Conn, pids []int) int {
	t.Helper()
	var pid int
	eventually(t, "a worker has the connection", func() bool { pid = owner(t, c, pids); return pid != 0 })
	return pid
}

// inProcessGroup returns a prepare function that runs the command in a process group of its own, with a log that successors write too. When the test ends,
// the whole group is killed.
func inProcessGroup(t *testing.T) func(*exec.Cmd) {
	return func(cmd *exec.Cmd) {
		r, w, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		log := cmd.Stderr
		copied := make(chan struct{})
		go func() {
			defer close(copied)
			_, _ = io.Copy(log, r)
		}()
		cmd.Stdout, cmd.Stderr = nil, w
		cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
		t.Cleanup(func() {
			if cmd.Process != nil {
				_ = unix.Kill(-cmd.Process.Pid, unix.SIGKILL) // normally the group no longer exists
			}
			_ = w.Close()
			<-copied
			_ = r.Close()
		})
	}
}

// awaitSuccessor waits until the nth successor serves, and returns its pid.
func (p *proxy) awaitSuccessor(n int) int {
	p.t.Helper()
	var pid int
	eventually(p.t, fmt.Sprintf("there are %d successors", n), func() bool {
		found := regexp.MustCompile(`msg="new master started" pid=(\d+)`).FindAllStringSubmatch(p.stderr.String(), -1)
		if len(found) < n || p.stderr.count(`msg="kroxy-ev: serving"`) < n+1 {
			return false
		}
		pid, _ = strconv.Atoi(found[n-1][1])
		return true
	})
	return pid
}

// stopSuccessor sends SIGTERM to a successor and waits until it has ended.
func (p *proxy) stopSuccessor(pid int) {
	p.t.Helper()
	if err := unix.Kill(pid, unix.SIGTERM); err != nil {
		p.t.Fatal(err)
	}
	eventually(p.t, "the successor has ended", func() bool { return !alive(pid) })
}

// lasting gives a connection the time of a whole test, with several orders, and returns it.
func lasting[C net.Conn](c C) C {
	_ = c.SetDeadline(time.Now().Add(4 * patience))
	return c
}

// failure is a request that failed.
type failure struct {
	begun  time.Time
	client int // its port; 0 if there was no connection
	err    error
}

// load is a number of clients that make requests until end is called. They pause between requests to leave CPU time for each other and for the rest of the
// test.
type load struct {
	mu       sync.Mutex
	requests int
	failures []failure
	quit     chan struct{}
	clients  sync.WaitGroup
}

// requestPause is how long a client of a load waits between requests.
const requestPause = time.Millisecond

// loadWith starts n clients of the proxy, which is in http mode.
func loadWith(p *proxy, n int) *load {
	return loadOn(p.t, n, netAddr{"tcp4", fmt.Sprint("127.0.0.1:", p.port)})
}

// loadOn starts n clients of an HTTP server.
func loadOn(t *testing.T, n int, at netAddr) *load {
	l := newLoad(t)
	for range n {
		l.add(at.requestOnce)
	}
	return l
}

// newLoad returns a load without clients. It ends with the test.
func newLoad(t *testing.T) *load {
	l := &load{quit: make(chan struct{})}
	t.Cleanup(func() { l.end() })
	return l
}

// add starts a client that calls once again and again. Once makes a request, and returns the client's port if it is known.
func (l *load) add(once func() (client int, err error)) {
	l.clients.Go(func() {
		for {
			select {
			case <-l.quit:
				return
			default:
			}
			begun := time.Now()
			client, err := once()
			l.mu.Lock()
			l.requests++
			if err != nil {
				l.failures = append(l.failures, failure{begun, client, err})
			}
			l.mu.Unlock()
			time.Sleep(requestPause)
		}
	})
}

func (l *load) count() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.requests
}

// awaitRequests waits for n further requests.
func (l *load) awaitRequests(t *testing.T, n int) {
	t.Helper()
	goal := l.count() + n
	eventually(t, "further requests were made", func() bool { return l.count() >= goal })
}

// end stops the clients and returns the requests that failed.
func (l *load) end() []failure {
	l.mu.Lock()
	select {
	case <-l.quit:
	default:
		close(l.quit)
	}
	l.mu.Unlock()
	l.clients.Wait()
	return l.failures
}

// endWithoutFailures stops the clients and demands that no request failed.
func (l *load) endWithoutFailures(t *testing.T) {
	t.Helper()
	failed := l.end()
	for i, m := range failed {
		if i == 5 {
			break
		}
		t.Errorf("a request failed: %v", m.err)
	}
	t.Logf("%d requests, %d failed", l.requests, len(failed))
}

// requestOnce makes a request over a connection of its own, and returns the client's port.
func requestOnce(port int) (client int, err error) {
	return netAddr{"tcp4", fmt.Sprint("127.0.0.1:", port)}.requestOnce()
}

// netAddr is an address to dial, as package net takes it.
type netAddr struct{ network, address string }

// requestOnce makes a request over a connection of its own, and returns the client's port if it has one.
func (at netAddr) requestOnce() (client int, err error) {
	c, err := net.DialTimeout(at.network, at.address, patience)
	if err != nil {
		return 0, err
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(patience))
	if a, ok := c.LocalAddr().(*net.TCPAddr); ok {
		client = a.Port
	}
	return client, askName(c, bufio.NewReader(c), "Connection: close\r\n")
}

// askName makes a request and demands a host's name, A or B, as the answer.
func askName(c net.Conn, in *bufio.Reader, fields string) error {
	if _, err := io.WriteString(c, "GET / HTTP/1.1\r\nHost: a\r\n"+fields+"\r\n"); err != nil {
		return err
	}
	res, err := http.ReadResponse(in, nil)
	if err != nil {
		return err
	}
	body, err := io.ReadAll(res.Body)
	if err == nil && (res.StatusCode != http.StatusOK || !slices.Contains([]string{"A", "B"}, string(body))) {
		err = fmt.Errorf("status %d: %.200q", res.StatusCode, body)
	}
	return err
}
