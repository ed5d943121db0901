package engine

import (
	"io"

	"golang.org/x/sys/unix"
)

// pipeSize is the requested capacity of a pipe, in bytes. A pipe has one slot per page, and a slot holds a whole fragment of a
// received segment, so the real capacity in a bulk flow is several times this. Beyond the user's soft limit on pipe pages
// (pipe(7)) the kernel refuses, and the pipe keeps its initial size.
const pipeSize = 256 << 10

// idlePipes is how many empty pipes a loop keeps for later flows.
const idlePipes = 16

// Pipe is a kernel pipe through which bytes are spliced from one socket to another, with the count of the bytes in it. A
// flow holds a pipe only while the pipe holds bytes, so few are needed.
type Pipe struct {
	r, w  int32
	bytes int
}

// Len returns how many bytes the pipe holds.
func (p *Pipe) Len() int { return p.bytes }

// Fill moves up to n bytes that c has received into the pipe. The pipe must be empty: only then does unix.EAGAIN mean
// that the socket is empty, and not that the pipe is full. Fill returns io.EOF at the end of the stream, or the
// error of splice(2).
func (p *Pipe) Fill(c *Conn, n int) (int, error) {
	moved, errno := splice(c.fd, p.w, n)
	switch {
	case errno == 0 && moved > 0:
		p.bytes += moved
		return moved, nil
	case errno == 0:
		return 0, io.EOF
	}
	return 0, c.readFailed(errno)
}

// Drain moves the pipe's bytes into c. It returns how many c accepted; if not all, the error says why:
// unix.EAGAIN if c cannot accept more now.
func (p *Pipe) Drain(c *Conn) (int, error) {
	total := 0
	for p.bytes > 0 {
		moved, errno := splice(p.r, c.fd, p.bytes)
		if errno != 0 {
			return total, c.writeFailed(errno)
		}
		if moved == 0 {
			return total, io.ErrUnexpectedEOF
		}
		p.bytes -= moved
		total += moved
	}
	return total, nil
}

func (p *Pipe) close() {
	CloseFD(p.r)
	CloseFD(p.w)
}

// pipePool keeps the pipes of one loop.
type pipePool struct {
	idle []*Pipe
	open int
	max  int
}

// take returns an empty pipe, or nil if there may be no more; the flow is then copied.
func (p *pipePool) take() *Pipe {
	if k := len(p.idle); k > 0 {
		pipe := p.idle[k-1]
		p.idle = p.idle[:k-1]
		return pipe
	}
	if p.open >= p.max {
		return nil
	}
	var fds [2]int
	if unix.Pipe2(fds[:], unix.O_NONBLOCK|unix.O_CLOEXEC) != nil {
		return nil
	}
	// The kernel refuses beyond the user's limit; a smaller pipe works too.
	_, _ = unix.FcntlInt(uintptr(fds[1]), unix.F_SETPIPE_SZ, pipeSize)
	p.open++
	return &Pipe{r: int32(fds[0]), w: int32(fds[1])}
}

// give takes back a pipe. A pipe that still holds bytes is destroyed: they belong to a session that has ended.
func (p *pipePool) give(pipe *Pipe) {
	if pipe.bytes == 0 && len(p.idle) < idlePipes {
		p.idle = append(p.idle, pipe)
		return
	}
	pipe.close()
	p.open--
}

func (p *pipePool) closeIdle() {
	for _, pipe := range p.idle {
		pipe.close()
		p.open--
	}
	p.idle = nil
}
