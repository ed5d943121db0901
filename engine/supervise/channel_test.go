package supervise

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// channelPair returns both ends of a channel.
func channelPair(t *testing.T) (a, b *channel) {
	t.Helper()
	a, theirs, err := newChannel()
	if err != nil {
		t.Fatal(err)
	}
	b, err = openChannel(theirs)
	theirs.Close()
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []*channel{a, b} {
		c.giveUp(time.Now().Add(20 * time.Second))
		t.Cleanup(c.close)
	}
	return a, b
}

// sameFile reports whether two descriptors refer to the same file.
func sameFile(t *testing.T, a, b int) bool {
	t.Helper()
	var x, y unix.Stat_t
	if err := errors.Join(unix.Fstat(a, &x), unix.Fstat(b, &y)); err != nil {
		t.Fatal(err)
	}
	return x.Dev == y.Dev && x.Ino == y.Ino
}

func TestPayload(t *testing.T) {
	t.Parallel()
	big := bytes.Repeat([]byte("0123456789abcdef"), 1<<18) // 4 MiB: much more than a socket buffer
	for _, test := range []struct {
		body  []byte
		files int
	}{{nil, 0}, {[]byte("{}"), 1}, {big, filesAPacket}, {big, filesAPacket + 1}, {nil, 3*filesAPacket + 7}} {
		t.Run(fmt.Sprintf("%d bytes, %d files", len(test.body), test.files), func(t *testing.T) {
			a, b := channelPair(t)
			var files []int
			for range test.files {
				f, err := sealedFile([]byte("x"))
				if err != nil {
					t.Fatal(err)
				}
				defer f.Close()
				files = append(files, int(f.Fd()))
			}
			if err := a.sendPayload(message{kind: kindPrepare, id: 5}, test.body, files); err != nil {
				t.Fatal(err)
			}
			m, err := b.receive()
			defer closeAll(m.files)
			if err != nil || m.kind != kindPrepare || m.id != 5 || m.damaged != nil {
				t.Fatalf("receive = %+v, %v", m, err)
			}
			if !bytes.Equal(m.body, test.body) || len(m.files) != test.files {
				t.Fatalf("%d bytes, %d files arrived", len(m.body), len(m.files))
			}
			for i, fd := range m.files {
				if !sameFile(t, fd, files[i]) {
					t.Fatalf("file %d is another one", i)
				}
				if flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0); err != nil || flags&unix.FD_CLOEXEC == 0 {
					t.Fatalf("file %d is not close-on-exec", i)
				}
			}
		})
	}
}

// The descriptors of an unfinished payload do not end up in the next one.
func TestPayloadThatWasGivenUp(t *testing.T) {
	t.Parallel()
	a, b := channelPair(t)
	f, err := sealedFile([]byte("x"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := a.packet(message{kind: kindFiles, id: 1}, []int{int(f.Fd())}); err != nil {
		t.Fatal(err)
	}
	for n := range uint32(3) { // the number of files of the next payload
		files := make([]int, n)
		for i := range files {
			files[i] = int(f.Fd())
		}
		if err := a.sendPayload(message{kind: kindPrepare, id: 2 + 2*n}, []byte("next"), files); err != nil {
			t.Fatal(err)
		}
		m, err := b.receive()
		if err != nil || m.damaged != nil || string(m.body) != "next" || len(m.files) != int(n) || len(b.files) != 0 {
			t.Errorf("receive = %+v, %v", m, err)
		}
		closeAll(m.files)
		if err := a.packet(message{kind: kindFiles, id: 3 + 2*n}, []int{int(f.Fd())}); err != nil {
			t.Fatal(err)
		}
	}
}

func TestDamagedPayload(t *testing.T) {
	t.Parallel()
	a, b := channelPair(t)
	if err := a.packet(message{kind: kindPrepare, id: 2, value: 3}, nil); err != nil {
		t.Fatal(err)
	}
	if m, err := b.receive(); err != nil || m.damaged == nil {
		t.Errorf("receive = %+v, %v, want a damaged message", m, err)
	}
}

func TestNotAMessage(t *testing.T) {
	t.Parallel()
	a, b := channelPair(t)
	if _, err := a.conn.Write([]byte("hello")); err != nil {
		t.Fatal(err)
	}
	if m, err := b.receive(); err == nil {
		t.Errorf("receive = %+v", m)
	}
}

// send detects a peer that does not read, and does not wait for it.
func TestSendDoesNotWait(t *testing.T) {
	t.Parallel()
	a, _ := channelPair(t)
	for range 1 << 20 {
		if err := a.send(message{kind: kindNotice}); err != nil {
			if !errors.Is(err, unix.EAGAIN) {
				t.Errorf("send: %v, want EAGAIN", err)
			}
			return
		}
	}
	t.Error("a million messages had room")
}

// A peer's last messages are received, even if it has left something unread.
func TestLastWords(t *testing.T) {
	t.Parallel()
	a, b := channelPair(t)
	if err := errors.Join(a.send(message{kind: kindNotice}), b.send(message{kind: kindFailed, text: "no"})); err != nil {
		t.Fatal(err)
	}
	b.close()
	if m, err := a.receive(); err != nil || m.text != "no" {
		t.Fatalf("receive = %+v, %v", m, err)
	}
	if m, err := a.receive(); !errors.Is(err, io.EOF) {
		t.Fatalf("receive = %+v, %v, want EOF", m, err)
	}
	if err := a.send(message{kind: kindNotice}); !hungUp(err) {
		t.Errorf("send: %v, want EPIPE", err)
	}
}

func TestAdoptLeavesOthersAlone(t *testing.T) {
	t.Parallel()
	f, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := adoptChannel(int(f.Fd())); err == nil {
		t.Error("a device was taken for a control channel")
	}
	if _, err := f.Stat(); err != nil {
		t.Errorf("the descriptor was closed: %v", err)
	}
}

func TestEnvironment(t *testing.T) {
	t.Parallel()
	got := environment([]string{"A=1", workerVariable + "=9", handoverVariable + "=1", "B=2"}, workerVariable, "3")
	if want := []string{"A=1", "B=2", workerVariable + "=3"}; fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("environment = %q, want %q", got, want)
	}
}
