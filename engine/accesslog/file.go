package accesslog

import (
	"errors"
	"fmt"
	"io"

	"golang.org/x/sys/unix"
)

// output is where a log's goroutine writes to.
type output struct {
	w io.Writer
	// atomic, if not 0, is how many bytes may be written at once without another process's lines ending up among them.
	atomic int
	// id tells files apart; that of an injected writer is zero.
	id    fileID
	close func() error
}

type fileID struct{ dev, ino uint64 }

// pipeBuf is PIPE_BUF: pipe(7) keeps a write of so many bytes in one piece. Workers that share a pipe need that.
const pipeBuf = 4096

// file is a descriptor written without the runtime's poller: a non-blocking one answers EAGAIN, which the log's
// goroutine waits out by itself, because it has more to listen to than the descriptor.
type file struct {
	fd   int
	pipe bool
	torn bool // the file ends in the middle of a line
}

// openFile opens path for appending. /dev/stdout and /dev/stderr are duplicated, not opened: opening fails for sockets
// (ENXIO) and other users' files (EACCES), and would have an offset of its own.
func openFile(path string) (output, error) {
	f, err := newFile(path)
	if err != nil {
		return output{}, fmt.Errorf("accesslog: opening %s: %w", path, err)
	}
	var st unix.Stat_t
	if err := unix.Fstat(f.fd, &st); err != nil {
		_ = f.Close()
		return output{}, fmt.Errorf("accesslog: fstat of %s: %w", path, err)
	}
	out := output{w: f, id: fileID{st.Dev, st.Ino}, close: f.Close}
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFIFO:
		f.pipe = true
		out.atomic = pipeBuf
	case unix.S_IFREG:
		f.torn = st.Size > 0 && !endsInNewline(path, st.Size)
	}
	return out, nil
}

func newFile(path string) (*file, error) {
	var fd int
	err := uninterrupted(func() (err error) {
		switch path {
		case "/dev/stdout":
			fd, err = unix.FcntlInt(1, unix.F_DUPFD_CLOEXEC, 3)
		case "/dev/stderr":
			fd, err = unix.FcntlInt(2, unix.F_DUPFD_CLOEXEC, 3)
		default:
			// O_NONBLOCK, for a FIFO nobody reads would hang the start; a FIFO without a reader is ENXIO.
			const flags = unix.O_WRONLY | unix.O_APPEND | unix.O_CREAT | unix.O_CLOEXEC | unix.O_NONBLOCK | unix.O_NOCTTY
			fd, err = unix.Open(path, flags, 0o644)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	return &file{fd: fd}, nil
}

// endsInNewline tells whether the last byte of a file of so many bytes is a newline. A file that cannot be read is
// taken to be whole.
func endsInNewline(path string, size int64) bool {
	var fd, n int
	last := make([]byte, 1)
	if err := uninterrupted(func() (err error) {
		fd, err = unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
		return err
	}); err != nil {
		return true
	}
	defer func() { _ = unix.Close(fd) }()
	err := uninterrupted(func() (err error) {
		n, err = unix.Pread(fd, last, size-1)
		return err
	})
	return err != nil || n == 0 || last[0] == '\n'
}

// Write is write(2): it may write less than p without an error.
func (f *file) Write(p []byte) (int, error) {
	if f.pipe {
		// A pipe that is full must not hold the goroutine, even if the descriptor is a blocking one (an inherited
		// stdout usually is). A writable pipe takes PIPE_BUF bytes at least.
		fds := []unix.PollFd{{Fd: int32(f.fd), Events: unix.POLLOUT}}
		if n, err := unix.Poll(fds, 0); n == 0 && err == nil {
			return 0, unix.EAGAIN
		}
	}
	if f.torn {
		if _, err := unix.Write(f.fd, newline); err != nil {
			return 0, err
		}
		f.torn = false
	}
	n, err := unix.Write(f.fd, p)
	return max(n, 0), err
}

// Close closes the descriptor.
func (f *file) Close() error { return unix.Close(f.fd) }

func uninterrupted(call func() error) error {
	for {
		if err := call(); !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}
