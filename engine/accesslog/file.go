package accesslog

import (
	"errors"
	"fmt"
	"io"

	"golang.org/x/sys/unix"
)

// output is the destination of a log.
type output struct {
	w io.Writer
	// atomic, if not 0, is how many bytes one write may have without another process's lines being mixed into them.
	atomic int
	// id identifies a file; it is zero for an injected writer.
	id    fileID
	close func() error
}

type fileID struct{ dev, ino uint64 }

// pipeBuf is PIPE_BUF: a pipe does not split a write of up to this size (pipe(7)). Workers that share a pipe rely on that.
const pipeBuf = 4096

// file is a descriptor that is written without the runtime's poller. A non-blocking one returns EAGAIN, and the log's
// goroutine waits by itself, because it waits for other events at the same time.
type file struct {
	fd   int
	pipe bool
	torn bool // the file ends in the middle of a line
}

// openFile opens path for appending. /dev/stdout and /dev/stderr are duplicated instead: opening them fails for sockets
// (ENXIO) and for other users' files (EACCES), and would use a separate file offset.
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
			// O_NONBLOCK, because opening a FIFO that has no reader would block the start; with it, the error is ENXIO.
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

// endsInNewline reports whether the last byte of a file of the given size is a newline. If the file cannot be read, it
// returns true.
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
		// A full pipe must not block the goroutine, even if the descriptor is blocking (an inherited
		// stdout usually is). A writable pipe accepts at least PIPE_BUF bytes.
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
