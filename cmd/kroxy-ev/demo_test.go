package main_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// fetch gets a page over a connection of its own, as curl does, and returns what read makes of the body.
func fetch[T any](t *testing.T, url string, read func(io.Reader) (T, error)) T {
	t.Helper()
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: patience}
	answer, err := client.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	body, err := read(answer.Body)
	if err != nil || answer.StatusCode != http.StatusOK {
		t.Fatalf("%s: status %s, error %v", url, answer.Status, err)
	}
	return body
}

// launchDemo starts the demo on a free port, with more arguments.
func launchDemo(t *testing.T, prepare func(*exec.Cmd), more ...string) *process {
	t.Helper()
	return launch(t, prepare, append([]string{"demo", "-port", strconv.Itoa(reservePort(t))}, more...)...)
}

// discard counts the bytes that it reads.
func discard(r io.Reader) (int64, error) { return io.Copy(io.Discard, r) }

func TestDemo(t *testing.T) {
	t.Parallel()
	for _, s := range []os.Signal{unix.SIGINT, unix.SIGTERM} {
		t.Run(s.String(), func(t *testing.T) {
			t.Parallel()
			port := reservePort(t)
			p := launch(t, nil, "demo", "-port", strconv.Itoa(port))
			url := p.await(p.stdout, `\n  curl (http://127\.0\.0\.1:\d+/)\n`)[1]
			if want := fmt.Sprintf("http://127.0.0.1:%d/", port); url != want {
				t.Errorf("the suggested command has %s, want %s", url, want)
			}
			raw := p.await(p.stdout, `  curl (http://\S+/)\n  printf`)[1]
			p.await(p.stdout, `\| nc 127\.0\.0\.1 \d+\n`)
			var got strings.Builder
			for range 6 {
				got.Write(fetch(t, url, io.ReadAll))
			}
			const round = "hello from host A\nhello from host B\nhello from host C\n"
			if got.String() != round+round {
				t.Errorf("six answers came from %q", got.String())
			}
			download := p.await(p.stdout, `\n  curl -o /dev/null (http://\S+)\n`)[1]
			if n := fetch(t, download, discard); n != 100<<20 {
				t.Errorf("the big download has %d bytes", n)
			}
			expectMatch(t, string(fetch(t, raw, io.ReadAll)), "^hello from host [ABC]\n$")
			p.await(p.stdout, `http    0 active, 6 total, \d+/s  down .*/s  up .*/s  hosts A=2 B=2 C=2\n`)
			p.await(p.stdout, `stream  0 active, 2 total, \d+/s  down .*/s  up .*/s  hosts A=1 B=1 C=0\n`)
			p.signal(s)
			if status := p.wait(); status != 0 {
				t.Errorf("exit status %d, want 0", status)
			}
			if !strings.HasSuffix(p.stdout.String(), "\nStopped.\n") {
				t.Errorf("the demo ended with\n%s", p.stdout)
			}
			expectNoTrouble(t, p)
		})
	}
}

// The configuration that the demo prints can be used as it is.
func TestDemoConfiguration(t *testing.T) {
	t.Parallel()
	p := launchDemo(t, nil)
	text := p.await(p.stdout, `(?s)(\{\n.*\n\}\n)\nand, on port`)[1]
	expectOutcome(t, outcome{0, `is good\n$`, ""}, "-t", "-c", writeConfig(t, t.TempDir(), []byte(text)))
	p.stop()
}

// Signals that would make a proxy with files reload, reopen or upgrade do nothing to the demo.
func TestDemoIgnoresOtherSignals(t *testing.T) {
	t.Parallel()
	p := launchDemo(t, nil)
	url := p.await(p.stdout, `\n  curl (http://\S+/)\n`)[1]
	for _, s := range []os.Signal{unix.SIGUSR1, unix.SIGUSR2, unix.SIGTTIN} {
		p.signal(s)
		expectMatch(t, string(fetch(t, url, io.ReadAll)), "^hello from host [ABC]\n$")
	}
	p.stop()
	expectNoTrouble(t, p)
}

// expectNoTrouble demands that the demo, which has ended, wrote nothing to stderr. If the machine stood still for a second, the demo ended sessions whose end
// it had not seen yet.
func expectNoTrouble(t *testing.T, p *process) {
	t.Helper()
	for line := range strings.Lines(p.stderr.String()) {
		if !strings.Contains(line, "shutdown_timeout is over, ending the remaining sessions") {
			t.Errorf("the demo wrote to stderr: %q", line)
		}
	}
}

// A host that dies costs no client an answer, and it comes back.
func TestDemoHostDies(t *testing.T) {
	t.Parallel()
	p := launchDemo(t, nil)
	die := p.await(p.stdout, `\n  curl (http://\S+/die)\n`)[1]
	const away = 10 * time.Second
	begin := time.Now()
	letter := regexp.MustCompile(`^host ([ABC]) dies now\n$`).FindStringSubmatch(string(fetch(t, die, io.ReadAll)))
	if letter == nil {
		t.Fatal("no host has died")
	}
	p.await(p.stdout, fmt.Sprintf(`host %s has died\n`, letter[1]))
	url := strings.TrimSuffix(die, "die")
	for range 9 {
		got := string(fetch(t, url, io.ReadAll))
		if expectMatch(t, got, "^hello from host [ABC]\n$"); got == "hello from host "+letter[1]+"\n" && time.Since(begin) < away {
			t.Errorf("host %s is dead but answers", letter[1])
		}
	}
	p.await(p.stdout, fmt.Sprintf(`host %s is back\n`, letter[1]))
	eventually(t, "the host serves again", func() bool { return string(fetch(t, url, io.ReadAll)) == "hello from host "+letter[1]+"\n" })
	p.stop()
}

func TestDemoStopsByItself(t *testing.T) {
	t.Parallel()
	p := launchDemo(t, nil, "-for", "4s")
	if status := p.wait(); status != 0 {
		t.Errorf("exit status %d, want 0", status)
	}
	if n := p.stdout.count(`^\d\d:\d\d:\d\d  (http  |stream)  0 active, 0 total, 0/s  down 0 B/s  up 0 B/s  hosts A=0 B=0 C=0$`); n < 1 {
		t.Errorf("%d lines of figures after 4 seconds:\n%s", n, p.stdout)
	}
}

func TestDemoPortInUse(t *testing.T) {
	t.Parallel()
	ln, err := (&net.ListenConfig{}).Listen(context.Background(), "tcp4", "0.0.0.0:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	used := ln.Addr().(*net.TCPAddr).Port
	p := launch(t, nil, "demo", "-port", strconv.Itoa(used))
	other := p.await(p.stdout, fmt.Sprintf(`Port %d is in use, so the demo uses port (\d+)\.`, used))[1]
	url := p.await(p.stdout, `\n  curl (http://\S+/)\n`)[1]
	if url != "http://127.0.0.1:"+other+"/" {
		t.Errorf("the suggested command has %s, but the port is %s", url, other)
	}
	expectMatch(t, string(fetch(t, url, io.ReadAll)), "^hello from host [ABC]\n$")
	p.stop()
}
