package shared_test

import (
	"errors"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"kroxy-ev/engine/shared"
)

var format = shared.Format{Name: "test", Magic: 0x1122334455667788, Layout: 7}

func dup(t *testing.T, fd int) int {
	t.Helper()
	n, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func TestMemoryIsShared(t *testing.T) {
	t.Parallel()
	a, err := shared.New(format, 1000)
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	b, err := shared.Map(format, dup(t, a.FD()))
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	if len(a.Words()) != 1000 || len(b.Words()) != 1000 || a.Words()[999] != 0 {
		t.Fatalf("%d and %d words", len(a.Words()), len(b.Words()))
	}
	a.Words()[shared.HeadWords] = 5
	if got := b.Words()[shared.HeadWords]; got != 5 {
		t.Errorf("one has written 5, the other reads %d", got)
	}
	for _, size := range []int64{0, 1 << 20} {
		if err := unix.Ftruncate(b.FD(), size); !errors.Is(err, unix.EPERM) {
			t.Errorf("truncating to %d: %v", size, err)
		}
	}
	if flags, err := unix.FcntlInt(uintptr(a.FD()), unix.F_GETFD, 0); err != nil || flags&unix.FD_CLOEXEC == 0 {
		t.Errorf("the descriptor stays open on exec: %v", err)
	}
}

func TestMapRefuses(t *testing.T) {
	t.Parallel()
	m, err := shared.New(format, 10)
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	var p [2]int
	if err := unix.Pipe2(p[:], unix.O_CLOEXEC); err != nil {
		t.Fatal(err)
	}
	defer unix.Close(p[1])
	other, later := format, format
	other.Magic, later.Layout = 1, 8
	for says, c := range map[string]struct {
		as shared.Format
		fd int
	}{
		"magic number is 0x1122334455667788": {other, dup(t, m.FD())},
		"layout 7, this program needs 8":     {later, dup(t, m.FD())},
		"size is 0 words":                    {format, p[0]},
	} {
		if got, err := shared.Map(c.as, c.fd); !errors.Is(err, shared.ErrLayout) || !strings.Contains(err.Error(), says) || got != nil {
			t.Errorf("%v, want %q", err, says)
		}
	}
	if got, err := shared.Map(format, -1); !errors.Is(err, unix.EBADF) || got != nil {
		t.Errorf("no descriptor: %v", err)
	}
}
