package main_test

import (
	"bufio"
	"io"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

const stamp = `^\[\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\]: `

// lines returns the lines of a file, none if the file does not exist.
func lines(t *testing.T, file string) []string {
	t.Helper()
	var text []byte
	eventually(t, "the log does not end in the middle of a line", func() bool { // as it may for a moment: the kernel writes a file page by page
		var err error
		if text, err = os.ReadFile(file); err != nil && !os.IsNotExist(err) {
			t.Fatal(err)
		}
		return len(text) == 0 || text[len(text)-1] == '\n'
	})
	return strings.Split(strings.TrimSuffix(string(text), "\n"), "\n")[:strings.Count(string(text), "\n")]
}

func expectMatch(t *testing.T, line, pattern string) {
	t.Helper()
	if !regexp.MustCompile(pattern).MatchString(line) {
		t.Errorf("line %q does not match %s", line, pattern)
	}
}

// runSession runs a session in which the client sends 5 bytes and gets 7.
func (p *proxy) runSession() {
	p.t.Helper()
	c := p.dial()
	send(p.t, c, "hello")
	_ = c.CloseWrite()
	expectAll(p.t, c, "goodbye")
	_ = c.Close()
}

func TestAccessLogFormats(t *testing.T) {
	t.Parallel()
	for format, want := range map[string]string{
		"$client_addr up $bytes_sent_upstream down $bytes_sent_downstream in $processing_time": stamp + `127\.0\.0\.1 up 5 down 7 in \d+ms$`,
		"$bytes_sent_downstream$bytes_sent_upstream":                                           stamp + `75$`,
		"100% of it, $ and \t": stamp + "100% of it, \\$ and \t$",
	} {
		t.Run(format, func(t *testing.T) {
			t.Parallel()
			file := filepath.Join(t.TempDir(), "access.log")
			h := listen(t, "127.0.0.1", answer("goodbye"))
			p := start(t, setup{hosts: endpoints(h), settings: settings{"file_log": file, "format_log": format}})
			for range 3 {
				p.runSession()
			}
			// While the proxy runs.
			eventually(t, "the log has 3 lines", func() bool { return len(lines(t, file)) == 3 })
			p.runSession()
			// When the proxy stops.
			p.stop()
			all := lines(t, file)
			if len(all) != 4 {
				t.Fatalf("%d lines for 4 sessions: %q", len(all), all)
			}
			for _, line := range all {
				expectMatch(t, line, want)
			}
		})
	}
}

// Without a format, or with an empty one, lines have the default format.
func TestAccessLogWithoutFormat(t *testing.T) {
	t.Parallel()
	raw := endpoints(listen(t, "127.0.0.1", answer("goodbye")))
	web := endpoints(serve(t, "127.0.0.1", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "hello") }))
	for name, format := range map[string]settings{"none": {}, "empty": {"format_log": ""}} {
		for mode, test := range map[string]struct {
			hosts []endpoint
			talk  func(p *proxy)
			want  string
		}{
			"stream": {raw, (*proxy).runSession, `127\.0\.0\.1 5 7 127\.0\.0\.1:\d+ \d+ms complete$`},
			"http": {web, func(p *proxy) {
				c := p.dial()
				send(t, c, "GET /a?b HTTP/1.1\r\nHost: p\r\nUser-Agent: me\r\nConnection: close\r\n\r\n")
				if res, body := reply(t, bufio.NewReader(c), http.MethodGet); res.StatusCode != 200 || body != "hello" {
					t.Errorf("status %d, body %q; want 200 and hello", res.StatusCode, body)
				}
				_ = c.Close()
			}, `127\.0\.0\.1 "GET /a\?b HTTP/1\.1" 200 \d+ "me" 127\.0\.0\.1:\d+ \d+ms complete$`},
		} {
			t.Run(mode+", "+name, func(t *testing.T) {
				t.Parallel()
				file := filepath.Join(t.TempDir(), "access.log")
				all := settings{"file_log": file}
				maps.Copy(all, format)
				p := start(t, setup{mode: mode, hosts: test.hosts, settings: all})
				test.talk(p)
				p.stop()
				list := lines(t, file)
				if len(list) != 1 {
					t.Fatalf("the log has %q, want one line", list)
				}
				expectMatch(t, list[0], stamp+test.want)
			})
		}
	}
}

// Every session writes a line, however it ends, with the bytes that were delivered.
func TestAccessLogOfEverySession(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "access.log")
	if err := os.WriteFile(file, []byte("an older line\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	h := listen(t, "127.0.0.1", nil)
	p := start(t, setup{
		hosts: []endpoint{h.endpoint, refusing(t)}, algorithm: "first",
		settings: settings{"file_log": file, "format_log": "$bytes_sent_upstream $bytes_sent_downstream", "shutdown_timeout": 100},
	})
	count := 1
	logged := func(want string) {
		t.Helper()
		count++
		eventually(t, "a further line is in the log", func() bool { return len(lines(t, file)) == count })
		expectMatch(t, lines(t, file)[count-1], stamp+want+"$")
	}

	c, s := p.dial(), h.accept()
	go func() { _ = write(c, bulk); _ = c.CloseWrite() }()
	expectAll(t, s, bulk)
	send(t, s, "ok")
	_ = s.Close()
	expectAll(t, c, "ok")
	logged("16777216 2")

	c, s = p.dial(), h.accept()
	send(t, c, "abc")
	expect(t, s, "abc")
	reset(c)
	expectReset(t, s)
	logged("3 0")

	c, s = p.dial(), h.accept()
	send(t, s, "abcd")
	expect(t, c, "abcd")
	reset(s)
	expectReset(t, c)
	logged("0 4")

	c, s = p.dial(), h.accept()
	send(t, c, "abcde")
	expect(t, s, "abcde")
	p.stop() // the stop cuts this session
	if all := lines(t, file); len(all) != count+1 || all[0] != "an older line" {
		t.Fatalf("the log has %d lines, want %d: %q", len(all), count+1, all)
	} else {
		expectMatch(t, all[count], stamp+"5 0$")
	}
}

func TestAccessLogOfUnreachableHosts(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "access.log")
	p := start(t, setup{hosts: []endpoint{refusing(t)}, settings: settings{"file_log": file, "format_log": "$bytes_sent_upstream $bytes_sent_downstream"}})
	expectClosed(t, p.dial())
	p.stop()
	if all := lines(t, file); len(all) != 1 {
		t.Fatalf("%d lines for 1 session: %q", len(all), all)
	} else {
		expectMatch(t, all[0], stamp+"0 0$")
	}
}

func TestAccessLogToStdout(t *testing.T) {
	t.Parallel()
	h := listen(t, "127.0.0.1", answer("goodbye"))
	p := start(t, setup{hosts: endpoints(h), settings: settings{"file_log": "/dev/stdout", "format_log": "$client_addr"}})
	p.runSession()
	p.await(p.stdout, "127.0.0.1\n") // exec.Cmd makes stdout a pipe
	p.runSession()
	p.stop()
	if n := p.stdout.count(stamp + `127\.0\.0\.1$`); n != 2 || p.stdout.count("") != 2 {
		t.Errorf("stdout has %d such lines, want 2:\n%s", n, p.stdout)
	}
}

// A log that cannot be written to affects nothing else, and the error log says so.
func TestAccessLogFull(t *testing.T) {
	t.Parallel()
	if err := unix.Access("/dev/full", unix.W_OK); err != nil {
		t.Skipf("no /dev/full here: %v", err)
	}
	h := listen(t, "127.0.0.1", answer("goodbye"))
	p := start(t, setup{hosts: endpoints(h), settings: settings{"file_log": "/dev/full", "format_log": "$client_addr"}})
	begin := time.Now()
	p.runSession()
	p.await(p.stderr, `level=ERROR.*/dev/full.*no space left`)
	for range 50 {
		p.runSession()
	}
	p.stop()
	if !regexp.MustCompile(`51 lines (not written|lost)`).MatchString(p.stderr.String()) {
		t.Error("stderr does not say that 51 lines were lost")
	}
	tens := int(time.Since(begin) / (10 * time.Second)) // after 10 s each a further line may be written
	if n := p.stderr.count("level=ERROR"); n > 3+tens {
		t.Errorf("%d error lines about one broken log", n)
	}
}

// If the reader of a pipe is stuck, lines are lost, but traffic is not affected.
func TestAccessLogStuck(t *testing.T) {
	t.Parallel()
	fifo := filepath.Join(t.TempDir(), "fifo")
	if err := unix.Mkfifo(fifo, 0o644); err != nil {
		t.Fatal(err)
	}
	reader, err := os.OpenFile(fifo, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	h := listen(t, "127.0.0.1", answer("goodbye"))
	p := start(t, setup{hosts: endpoints(h), settings: settings{
		"file_log": fifo, "format_log": strings.Repeat("long ", 10_000), "reactors_num": 1,
	}})
	p.runSession()
	p.await(p.stderr, `msg="kroxy-ev: serving"`)
	for range 20 { // 50 KB each, into a buffer of 256 KiB
		p.runSession()
	}
	p.await(p.stderr, `level=ERROR.*lines lost`)
	begin := time.Now()
	p.stop()
	if d := time.Since(begin); d > patience/2 {
		t.Errorf("stopping took %v", d)
	}
}

func TestAccessLogMissingDirectory(t *testing.T) {
	t.Parallel()
	text := configText(reservePort(t), setup{hosts: []endpoint{{"127.0.0.1", 9}}, settings: settings{"file_log": "/nowhere/at/all/access.log"}})
	p := launch(t, nil, "--config", writeConfig(t, t.TempDir(), text))
	if status := p.wait(); status != 1 {
		t.Errorf("exit status %d, want 1", status)
	}
	for _, pattern := range []string{`stream-\d+\.json:\d+:\d+: stream\.file_log: `, "/nowhere/at/all/access.log", "no such file or directory", "; name a file"} {
		expectMatch(t, p.stderr.String(), pattern)
	}
}

func TestAccessLogToStandardError(t *testing.T) {
	t.Parallel()
	h := listen(t, "127.0.0.1", answer("goodbye"))
	p := start(t, setup{
		hosts: endpoints(h), settings: settings{"file_log": "/dev/stderr", "format_log": "$client_addr"},
		prepare: func(c *exec.Cmd) { c.Stdout = nil },
	})
	p.runSession()
	p.await(p.stderr, "]: 127.0.0.1\n")
}
