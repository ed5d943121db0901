package supervise

import (
	"errors"
	"fmt"
	"net"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// errLost means that the kernel could not deliver all descriptors of a payload.
var errLost = errors.New("descriptors were lost on their way, probably at the limit of open files")

// filesAPacket is how many descriptors one packet carries; the kernel's limit is 253 (SCM_MAX_FD, unix(7)).
const filesAPacket = 250

// channel is one end of a control channel, a pair of AF_UNIX SOCK_SEQPACKET sockets. One goroutine may receive while
// another sends.
type channel struct {
	conn *net.UnixConn
	raw  syscall.RawConn

	// Used only by the receiving goroutine.
	in, oob []byte
	files   []int // of the arriving payload with id filesID
	filesID uint32
	lost    bool // some of these are missing
}

// newChannel returns the master's end, and a file with the other process's end, both close-on-exec.
func newChannel() (*channel, *os.File, error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, nil, fmt.Errorf("making a control channel: %w", err)
	}
	theirs := os.NewFile(uintptr(fds[1]), "control channel")
	ours := os.NewFile(uintptr(fds[0]), "control channel")
	defer ours.Close()
	c, err := openChannel(ours)
	if err != nil {
		theirs.Close()
		return nil, nil, err
	}
	return c, theirs, nil
}

// adoptChannel returns a channel for the end inherited as fd, and closes fd. If fd is something else, it is left alone.
func adoptChannel(fd int) (*channel, error) {
	if t, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_TYPE); err != nil || t != unix.SOCK_SEQPACKET {
		return nil, fmt.Errorf("descriptor %d is not a control channel", fd)
	}
	f := os.NewFile(uintptr(fd), "control channel")
	defer f.Close()
	return openChannel(f)
}

// openChannel returns a channel on a duplicate of f.
func openChannel(f *os.File) (*channel, error) {
	conn, err := net.FileConn(f)
	if err != nil {
		return nil, fmt.Errorf("opening a control channel: %w", err)
	}
	u := conn.(*net.UnixConn)
	raw, err := u.SyscallConn()
	if err != nil {
		_ = u.Close()
		return nil, fmt.Errorf("opening a control channel: %w", err)
	}
	return &channel{
		conn: u, raw: raw,
		in:  make([]byte, headerSize+maxText+1),
		oob: make([]byte, unix.CmsgSpace(4*253)),
	}, nil
}

// close closes this end; a waiting receive returns. That receive, or the next one, closes the files of an incomplete payload.
func (c *channel) close() { _ = c.conn.Close() }

// giveUp makes receive return at t at the latest, whether it is waiting now or is called later.
func (c *channel) giveUp(t time.Time) { _ = c.conn.SetReadDeadline(t) }

// send sends a message and never blocks. If the peer has left so much unread that there is no room, send returns EAGAIN; the peer is
// then faulty.
func (c *channel) send(m message) error { return c.packet(m, nil) }

// sendPayload sends a message with body, in a memory file because body may be long, and duplicates of files. The caller
// keeps files.
func (c *channel) sendPayload(m message, body []byte, files []int) error {
	f, err := sealedFile(body)
	if err != nil {
		return err
	}
	defer f.Close()
	m.value = int64(len(files))
	for len(files) > 0 {
		n := min(len(files), filesAPacket)
		if err := c.packet(message{kind: kindFiles, id: m.id}, files[:n]); err != nil {
			return err
		}
		files = files[n:]
	}
	return c.packet(m, []int{int(f.Fd())})
}

func (c *channel) packet(m message, files []int) error {
	var oob []byte
	if len(files) > 0 {
		oob = unix.UnixRights(files...)
	}
	var sent error
	err := c.raw.Write(func(fd uintptr) bool {
		sent = unix.Sendmsg(int(fd), m.encode(), oob, nil, unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL)
		return true
	})
	if err = errors.Join(err, sent); err != nil {
		return fmt.Errorf("sending on a control channel: %w", err)
	}
	return nil
}

// receive waits for the next message. The caller owns its files. The error is io.EOF when the other end was closed.
func (c *channel) receive() (message, error) {
	for {
		m, fds, err := c.receivePacket()
		switch {
		case err != nil:
			c.drop()
			return message{}, err
		case m.kind == kindFiles:
			if m.id != c.filesID {
				c.drop() // the sender gave up halfway
			}
			c.files, c.filesID = append(c.files, fds...), m.id
			c.lost = c.lost || m.damaged != nil
		case m.kind == kindPrepare || m.kind == kindHandover:
			c.takePayload(&m, fds)
			return m, nil
		default:
			closeAll(fds)
			return m, nil
		}
	}
}

// takePayload completes a message with its payload. fds should be the one memory file.
func (c *channel) takePayload(m *message, fds []int) {
	if m.id != c.filesID {
		c.drop()
	}
	switch {
	case c.lost || m.damaged != nil:
		m.damaged = errLost
	case len(fds) != 1 || int64(len(c.files)) != m.value:
		m.damaged = fmt.Errorf("%d descriptors and %d memory files arrived instead of %d and 1", len(c.files), len(fds), m.value)
	default:
		m.body, m.damaged = readBack(fds[0])
		fds = nil
	}
	closeAll(fds)
	if m.damaged != nil {
		c.drop()
		return
	}
	m.files, c.files = c.files, nil
}

// drop closes the files of an incomplete payload.
func (c *channel) drop() {
	closeAll(c.files)
	c.files, c.lost = nil, false
}

// receivePacket waits for one packet. The caller owns its descriptors, which are close-on-exec.
func (c *channel) receivePacket() (message, []int, error) {
	n, oobn, flags, _, err := c.conn.ReadMsgUnix(c.in, c.oob)
	if errors.Is(err, unix.ECONNRESET) { // reported once, before the other end's last messages, if that end left something unread
		n, oobn, flags, _, err = c.conn.ReadMsgUnix(c.in, c.oob)
	}
	if err != nil {
		return message{}, nil, err
	}
	fds, err := descriptors(c.oob[:oobn])
	if err != nil {
		return message{}, nil, err
	}
	m, ok := decode(c.in[:n])
	if !ok {
		closeAll(fds)
		return message{}, nil, errors.New("not a message on a control channel")
	}
	if flags&unix.MSG_CTRUNC != 0 {
		m.damaged = errLost
	}
	return m, fds, nil
}

// descriptors returns the descriptors in a packet's control data.
func descriptors(oob []byte) ([]int, error) {
	cmsgs, err := unix.ParseSocketControlMessage(oob)
	if err != nil {
		return nil, fmt.Errorf("reading a control message: %w", err)
	}
	var all []int
	for i := range cmsgs {
		if fds, err := unix.ParseUnixRights(&cmsgs[i]); err == nil {
			all = append(all, fds...)
		}
	}
	return all, nil
}

func closeAll(fds []int) {
	for _, fd := range fds {
		unix.Close(fd)
	}
}
