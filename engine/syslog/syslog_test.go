package syslog_test

import (
	"errors"
	"net"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"kroxy-ev/engine/enginetest"
	"kroxy-ev/engine/syslog"
)

const testTimeout = 30 * time.Second

func TestHeader(t *testing.T) { // not parallel: it counts allocations
	at := time.Date(2026, 11, 29, 4, 5, 6, 789123456, time.FixedZone("", 3600))
	for want, got := range map[string][]byte{
		`^> <30>1 2026-11-29T03:05:06\.789123Z \S+ kroxy-ev \d+ access - $`: syslog.NewHeader(3, "kroxy-ev", "access").Append([]byte("> "), syslog.Info, at),
		`^<187>1 2026-11-29T03:05:06Z \S+ - \d+ error - $`:                  syslog.NewHeader(23, " \n", "error").Append(nil, syslog.Error, at.Truncate(time.Second)),
		`^<7>1 \S+ \S+ x{48} \d+ ab - $`:                                    syslog.NewHeader(0, strings.Repeat("x", 60), "a b").Append(nil, syslog.Debug, at),
	} {
		if !regexp.MustCompile(want).Match(got) {
			t.Errorf("%q does not match %s", got, want)
		}
	}
	h, dst := syslog.NewHeader(3, "kroxy-ev", "access"), make([]byte, 0, 512)
	if n := testing.AllocsPerRun(100, func() { dst = h.Append(dst[:0], syslog.Info, at) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// reader starts a syslog server.
func reader(t *testing.T, network, at string) net.PacketConn {
	t.Helper()
	c, err := net.ListenPacket(network, at)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	_ = c.SetReadDeadline(time.Now().Add(testTimeout))
	return c
}

func expect(t *testing.T, c net.PacketConn, want string) {
	t.Helper()
	p := make([]byte, 70000)
	n, _, err := c.ReadFrom(p)
	if err != nil || string(p[:n]) != want {
		t.Errorf("got %q, %v, want %q", p[:n], err, want)
	}
}

func write(t *testing.T, w *syslog.Writer, lines string) {
	t.Helper()
	if n, err := w.Write([]byte(lines)); n != len(lines) || err != nil {
		t.Errorf("%d, %v", n, err)
	}
}

// Each line is one message, and only lines that are too long are lost.
func TestMessages(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "log")
	udp := reader(t, "udp", "127.0.0.1:0")
	for address, c := range map[string]net.PacketConn{"unix:" + path: reader(t, "unixgram", path), "udp:" + udp.LocalAddr().String(): udp} {
		lost := 0
		w := syslog.NewWriter(address, func(n int) { lost += n })
		write(t, w, "one\ntwo\n"+strings.Repeat("x", 1<<20)+"\nthree\n")
		for _, want := range []string{"one", "two", "three"} {
			expect(t, c, want)
		}
		if err := w.Close(); err != nil || lost != 1 {
			t.Errorf("%v, %d lost", err, lost)
		}
	}
}

// A syslog server that is down causes an error, and is found as soon as it is up.
func TestSyslogThatComesAndGoes(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "log")
	w := syslog.NewWriter("unix:"+path, func(int) { t.Error("a message is lost") })
	defer w.Close()
	for range 2 {
		if n, err := w.Write([]byte("lost\n")); n != 0 || err == nil || errors.Is(err, unix.EPIPE) {
			t.Errorf("%d, %v", n, err)
		}
		c := reader(t, "unixgram", path)
		write(t, w, "found\n")
		expect(t, c, "found")
		_ = c.Close()
		_ = unix.Unlink(path)
	}
	// A restarted server is found at once.
	for range 2 {
		c := reader(t, "unixgram", path)
		write(t, w, "again\n")
		expect(t, c, "again")
		_ = c.Close()
		_ = unix.Unlink(path)
	}
}

// UDP does not confirm that a message has arrived. A loss becomes known with the next message.
func TestUDPNobodyListens(t *testing.T) {
	t.Parallel()
	lost := 0
	w := syslog.NewWriter("udp:"+enginetest.RefusingUDP(t).String(), func(n int) { lost += n })
	defer w.Close()
	for deadline := time.Now().Add(testTimeout); lost < 3 && time.Now().Before(deadline); {
		write(t, w, "lost\n")
	}
	if lost < 3 {
		t.Errorf("%d lost", lost)
	}
}

// A slow reader does not block the writer.
func TestSlowReader(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "log")
	c := reader(t, "unixgram", path)
	w := syslog.NewWriter("unix:"+path, func(int) { t.Error("a message is lost") })
	defer w.Close()
	sent := 0
	for {
		_, err := w.Write([]byte("line\n"))
		if errors.Is(err, unix.EAGAIN) {
			break
		}
		if sent++; err != nil || sent > 1e6 {
			t.Fatal(sent, err)
		}
	}
	expect(t, c, "line")
	write(t, w, "last\n")
	for range sent - 1 {
		expect(t, c, "line")
	}
	expect(t, c, "last")
}
