package accesslog_test

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"kroxy-ev/engine/accesslog"
)

func newFIFO(t *testing.T) (path string, reader *os.File) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "fifo")
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	reader, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = reader.Close() })
	return path, reader
}

// A pipe without a reader: producers continue, and lines are lost and counted. When a reader comes, it gets complete lines.
func TestPipeNobodyReads(t *testing.T) {
	t.Parallel()
	path, reader := newFIFO(t)
	told := make(chan error, 100)
	l := open(t, path, accesslog.Options{BufferSize: 8 << 10, Report: func(err error) { told <- err }})
	const all = 20000
	for i := range all {
		_, _ = fmt.Fprintf(l, "line %d of a pipe that nobody reads\n", i)
	}
	if err := <-told; !strings.Contains(err.Error(), " lines lost, ") {
		t.Errorf("told %v", err)
	}
	lost := l.Lost()
	read := make(chan string)
	go func() {
		got, _ := io.ReadAll(reader) // until the log is closed
		read <- string(got)
	}()
	if err := l.Close(testTimeout); err != nil && !strings.Contains(err.Error(), "lines not written") {
		t.Error(err)
	}
	var last int
	got := strings.Split(strings.TrimSuffix(<-read, "\n"), "\n")
	for i, line := range got {
		var n int
		if _, err := fmt.Sscanf(line, "line %d of", &n); err != nil || !strings.HasSuffix(line, " nobody reads") || i > 0 && n <= last {
			t.Fatalf("torn line %q after line %d", line, last)
		}
		last = n
	}
	if lost == 0 || uint64(len(got))+l.Lost() != all {
		t.Errorf("%d lines read, %d lost, of %d", len(got), l.Lost(), all)
	}
}

func TestCloseWithFullPipe(t *testing.T) {
	t.Parallel()
	path, reader := newFIFO(t)
	l := open(t, path, accesslog.Options{FlushInterval: time.Millisecond})
	for range 1000 {
		diagnose(t, l, strings.Repeat("x", 99))
	}
	for {
		if n, _ := reader.Read(make([]byte, 1)); n > 0 { // some lines are written, even if Close finds no time for more
			break
		}
	}
	start := time.Now()
	err := l.Close(50 * time.Millisecond)
	if err == nil || l.Lost() == 0 || l.Lost() >= 1000 || time.Since(start) > testTimeout {
		t.Errorf("Close: %v after %v, %d lost", err, time.Since(start), l.Lost())
	}
}

// Processes that log to the same pipe do not mix parts of their lines.
func TestSharedPipe(t *testing.T) {
	t.Parallel()
	path, reader := newFIFO(t)
	var logs []*accesslog.Log
	for range 3 {
		logs = append(logs, open(t, path, accesslog.Options{FlushInterval: time.Millisecond}))
	}
	for i, l := range logs {
		go func() {
			for range 3000 {
				diagnose(t, l, "<"+strings.Repeat(string(rune('a'+i)), 75+i)+">")
			}
			if err := l.Close(testTimeout); err != nil {
				t.Error(err)
			}
		}()
	}
	got, err := io.ReadAll(reader)
	if n := strings.Count(string(got), "\n"); n != 9000 || err != nil {
		t.Errorf("%d lines, %v", n, err)
	}
	for line := range strings.Lines(string(got)) {
		if inner := strings.Trim(line, "<>\n"); strings.Trim(inner, inner[:1]) != "" || len(line) != len(inner)+3 {
			t.Fatalf("torn line %q", line)
		}
	}
}
