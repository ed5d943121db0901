package main_test

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"kroxy-ev/engine/enginetest"
)

// The tests of this package run the real program and see it from outside: through sockets, files, signals and /proc. Tests that load the machine are not
// parallel, because others have time limits.

// patience is how long a test waits for something that should happen at once. It is long, because a machine may be slow and only failing tests wait that
// long.
const patience = 30 * time.Second

var (
	publicDir string // readable by every user
	program   string // the program under test
)

func TestMain(m *testing.M) {
	if addr := os.Getenv(hostProcess); addr != "" {
		fmt.Fprintln(os.Stderr, beHost(addr))
		os.Exit(1)
	}
	most := 16
	if raceEnabled {
		most = 12
	}
	enginetest.Parallel(most)
	if raceEnabled && os.Getenv("GORACE") == "" {
		_ = os.Setenv("GORACE", "atexit_sleep_ms=20") // the default lets each process wait for a second at its end
	}
	os.Exit(buildAndRun(m))
}

func buildAndRun(m *testing.M) int {
	if program = os.Getenv(machineEnv); program != "" {
		return m.Run()
	}
	dir, err := os.MkdirTemp("", "kroxy-ev-test")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	if err := os.Chmod(dir, 0o755); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	publicDir, program = dir, filepath.Join(dir, "kroxy-ev")
	args := []string{"build", "-o", program}
	if raceEnabled {
		args = append(args, "-race")
	}
	if out, err := exec.Command("go", append(args, ".")...).CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "building kroxy-ev: %v\n%s", err, out)
		return 1
	}
	return m.Run()
}

// noteSources stats each source file of the module, so that "go test" records them as inputs of the test. Otherwise a cached result would be repeated
// although the program, which TestMain builds, has changed.
var noteSources = sync.OnceFunc(func() {
	_ = filepath.WalkDir(filepath.Join("..", ".."), func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() && (filepath.Ext(path) == ".go" || d.Name() == "go.mod") {
			_, _ = os.Stat(path)
		}
		return nil
	})
})

// transcript collects the output of a process.
type transcript struct {
	mu   sync.Mutex
	text []byte
	more chan struct{} // closed and replaced when text grows
}

func newTranscript() *transcript { return &transcript{more: make(chan struct{})} }

func (w *transcript) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.text = append(w.text, p...)
	close(w.more)
	w.more = make(chan struct{})
	return len(p), nil
}

func (w *transcript) String() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return string(w.text)
}

// count returns how many lines match the regular expression.
func (w *transcript) count(pattern string) int {
	re, n := regexp.MustCompile(pattern), 0
	for line := range strings.Lines(w.String()) {
		if re.MatchString(strings.TrimSuffix(line, "\n")) {
			n++
		}
	}
	return n
}

// process is a kroxy-ev that was started.
type process struct {
	t              *testing.T
	cmd            *exec.Cmd
	stdout, stderr *transcript
	exited         chan struct{}
}

// launch starts the program with args. Prepare, if not nil, may change the command first. When the test ends, the process is killed if it still runs.
func launch(t *testing.T, prepare func(*exec.Cmd), args ...string) *process {
	t.Helper()
	noteSources()
	p := &process{t: t, cmd: exec.Command(program, args...), stdout: newTranscript(), stderr: newTranscript(), exited: make(chan struct{})}
	p.cmd.Stdout, p.cmd.Stderr = p.stdout, p.stderr
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: unix.SIGKILL}
	p.cmd.WaitDelay = patience
	if prepare != nil {
		prepare(p.cmd)
	}
	if err := p.cmd.Start(); err != nil {
		t.Fatalf("starting kroxy-ev: %v", err)
	}
	go func() {
		_ = p.cmd.Wait()
		close(p.exited)
	}()
	t.Cleanup(func() {
		_ = p.cmd.Process.Kill()
		<-p.exited
		if t.Failed() {
			t.Logf("kroxy-ev %s wrote to stderr:\n%s", strings.Join(args, " "), p.stderr)
		}
	})
	return p
}

func (p *process) pid() int { return p.cmd.Process.Pid }

func (p *process) signal(s os.Signal) {
	p.t.Helper()
	if err := p.cmd.Process.Signal(s); err != nil {
		p.t.Fatalf("sending %v: %v", s, err)
	}
}

// wait waits until the process ends and returns its exit status, -1 if a signal ended it.
func (p *process) wait() int {
	p.t.Helper()
	select {
	case <-p.exited:
	case <-time.After(patience):
		p.t.Fatalf("kroxy-ev has not ended after %v", patience)
	}
	p.checkStderr()
	return p.cmd.ProcessState.ExitCode()
}

// checkStderr fails the test if stderr has a panic, a data race or the like.
func (p *process) checkStderr() {
	p.t.Helper()
	text := p.stderr.String()
	for _, bad := range []string{"panic", "DATA RACE", "goroutine ", "fatal error"} {
		if strings.Contains(text, bad) {
			p.t.Errorf("stderr has %q", bad)
		}
	}
}

// stop ends the process with SIGTERM and demands exit status 0. The process may be about to end by itself, as a master does that was replaced.
func (p *process) stop() {
	p.t.Helper()
	if err := p.cmd.Process.Signal(unix.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		p.t.Fatalf("sending %v: %v", unix.SIGTERM, err)
	}
	if status := p.wait(); status != 0 {
		p.t.Errorf("exit status %d after SIGTERM, want 0", status)
	}
}

// await waits for a match of the regular expression in w, and returns the match and its groups. It fails the test soon after the process ends without one.
func (p *process) await(w *transcript, pattern string) []string {
	p.t.Helper()
	re := regexp.MustCompile(pattern)
	late := time.After(patience)
	exited, ended := p.exited, false
	for {
		w.mu.Lock()
		found, more := re.FindStringSubmatch(string(w.text)), w.more
		w.mu.Unlock()
		if found != nil {
			return found
		}
		select {
		case <-more:
		case <-exited: // its last output may not have arrived yet
			exited, ended = nil, true
			late = time.After(5 * time.Second)
		case <-late:
			if ended {
				p.t.Fatalf("kroxy-ev ended and no output matches %q; it wrote:\n%s", pattern, w)
			}
			p.t.Fatalf("no match of %q after %v in:\n%s", pattern, patience, w)
		}
	}
}

// settings are keys of "stream" or "http" in a configuration.
type settings map[string]any

// setup is what a proxy is started with.
type setup struct {
	hosts     []endpoint
	algorithm string // "" is the default
	settings  settings
	prepare   func(*exec.Cmd) // see launch
	mode      string          // "" is "stream"
	multi     bool            // with worker processes
	both      bool            // keep the port although settings have "listen"
}

// proxy is a running kroxy-ev that listens on port.
type proxy struct {
	*process
	port int
	file string // its configuration
}

// configText returns a configuration. Timeouts that s does not set have long defaults, so that nothing ends because a machine is slow.
func configText(port int, s setup) []byte {
	type object = map[string]any
	group := object{"hosts": s.hosts}
	if s.algorithm != "" {
		group["balancing_algo"] = s.algorithm
	}
	mode := object{
		"port":             port,
		"proxy_to":         "backend",
		"servers":          object{"backend": group},
		"shutdown_timeout": patience.Milliseconds(),
	}
	for k, v := range s.settings {
		mode[k] = v
	}
	if mode["listen"] != nil && !s.both {
		delete(mode, "port") // it stands for one entry of "listen"
	}
	if mode["routes"] != nil {
		delete(mode, "proxy_to") // it stands for one entry of "routes"
	}
	text, err := json.MarshalIndent(object{cmp.Or(s.mode, "stream"): mode}, "", "  ")
	if err != nil {
		panic(err) // a mistake in the test
	}
	return text
}

// start starts a proxy and waits until it serves. When the test ends, the proxy is stopped and must exit with status 0.
func start(t *testing.T, s setup) *proxy {
	t.Helper()
	return startOn(t, reservePort(t), s)
}

// startOn is start on a port from reservePort.
func startOn(t *testing.T, port int, s setup) *proxy {
	t.Helper()
	p := launchSetup(t, port, s)
	p.await(p.stderr, `msg="kroxy-ev: serving"`)
	p.stopAtEnd()
	return p
}

// launchSetup starts a proxy on a port from reservePort, and does not wait until the proxy serves.
func launchSetup(t *testing.T, port int, s setup) *proxy {
	t.Helper()
	return launchProxy(t, port, writeConfig(t, t.TempDir(), configText(port, s)), s.multi, s.prepare)
}

// launchProxy starts a proxy with a configuration file that exists, and does not wait until the proxy serves.
func launchProxy(t *testing.T, port int, file string, multi bool, prepare func(*exec.Cmd)) *proxy {
	t.Helper()
	args := []string{"--config", file}
	if multi {
		args = append(args, "--multiprocess")
	}
	return &proxy{port: port, file: file, process: launch(t, prepare, args...)}
}

// launchOn is launchProxy, and waits until the proxy serves.
func launchOn(t *testing.T, port int, file string, multi bool, prepare func(*exec.Cmd)) *proxy {
	t.Helper()
	p := launchProxy(t, port, file, multi, prepare)
	p.await(p.stderr, `msg="kroxy-ev: serving"`)
	return p
}

// stopAtEnd stops the proxy when the test ends, if it still runs, and demands that it exits with status 0.
func (p *proxy) stopAtEnd() {
	cleanup(p.t, func() {
		select {
		case <-p.exited:
		default:
			p.stop()
		}
	})
}

// cleanup is t.Cleanup for an f that may call t.Fatal. In a test with subtests that would skip the test's report: the run would fail without a word.
func cleanup(t *testing.T, f func()) {
	t.Helper()
	t.Cleanup(func() {
		done := make(chan struct{})
		go func() { // t.Fatal ends only this goroutine
			defer close(done)
			f()
		}()
		<-done
	})
}

func writeConfig(t *testing.T, dir string, text []byte) string {
	t.Helper()
	f, err := os.CreateTemp(dir, "stream-*.json")
	if err != nil {
		t.Fatal(err)
	}
	_, err = f.Write(text)
	if err := errors.Join(err, f.Chmod(0o644), f.Close()); err != nil {
		t.Fatal(err)
	}
	return f.Name()
}

// reservePort returns a TCP port that nothing else gets before the test ends, and on which nothing listens. Kroxy-ev can still listen on it.
func reservePort(t *testing.T) int {
	t.Helper()
	return int(enginetest.Reserve(t, "0.0.0.0:0").Port())
}

// dial connects to the proxy. The connection is closed when the test ends, and its deadline is patience from now.
func (p *proxy) dial() *net.TCPConn {
	p.t.Helper()
	c, err := p.tryDial()
	if err != nil {
		p.t.Fatalf("connecting to kroxy-ev: %v", err)
	}
	return c
}

func (p *proxy) tryDial() (*net.TCPConn, error) {
	c, err := net.DialTimeout("tcp4", fmt.Sprintf("127.0.0.1:%d", p.port), patience)
	if err != nil {
		return nil, err
	}
	return guard(p.t, c), nil
}

// guard has c closed when the test ends, and sets its deadline to patience from now.
func guard(t *testing.T, c net.Conn) *net.TCPConn {
	t.Cleanup(func() { _ = c.Close() })
	_ = c.SetDeadline(time.Now().Add(patience))
	return c.(*net.TCPConn)
}

// skipUnderRace skips a long test under the race detector. Why says why the test would find no data races that others do not.
func skipUnderRace(t *testing.T, why string) {
	t.Helper()
	if raceEnabled {
		t.Skip("not under the race detector: " + why)
	}
}

// eventually polls ok until it returns true, for patience at most.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for begin := time.Now(); !ok(); time.Sleep(10 * time.Millisecond) {
		if time.Since(begin) > patience {
			t.Fatalf("timed out after %v, waiting until: %s", patience, what)
		}
	}
}
