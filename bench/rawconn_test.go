package bench

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"os"
	"testing"

	"golang.org/x/sys/unix"
)

// drops is a connection that sends one byte at a time.
type drops struct{ net.Conn }

func (d drops) Write(b []byte) (int, error) {
	for i := range b {
		if _, err := d.Conn.Write(b[i : i+1]); err != nil {
			return i, err
		}
	}
	return len(b), nil
}

// rawPair returns a socket and a connection to it.
func rawPair(t *testing.T) (fd int, peer net.Conn) {
	t.Helper()
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	f := os.NewFile(uintptr(fds[1]), "peer")
	peer, err = net.FileConn(f)
	_ = f.Close()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = peer.Close()
		_ = unix.Close(fds[0])
	})
	return fds[0], peer
}

// crypto/tls can continue to read after EAGAIN, whatever it was reading.
func TestRawConnGoesOn(t *testing.T) {
	t.Parallel()
	_, rs, err := makeCertificates(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	pair, err := tls.LoadX509KeyPair(rs.Cert, rs.Key)
	if err != nil {
		t.Fatal(err)
	}
	fd, peer := rawPair(t)
	vain := make(chan struct{}) // closed after a read that found nothing
	go func() {
		s := tls.Server(drops{peer}, &tls.Config{Certificates: []tls.Certificate{pair}})
		if s.Handshake() == nil {
			<-vain
			_, _ = io.Copy(s, io.LimitReader(s, 3000)) // echoes
		}
		_ = s.Close()
	}()
	c := tls.Client(rawConn{fd: fd}, clientTLS(nil))
	if err := c.Handshake(); err != nil {
		t.Fatal(err)
	}
	if err := unix.SetNonblock(fd, true); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if _, err := c.Write(make([]byte, 1000)); err != nil {
			t.Fatal(err)
		}
	}
	got, again := 0, 0
	for buf := make([]byte, 400); ; {
		n, err := c.Read(buf)
		got += n
		if errors.Is(err, unix.EAGAIN) {
			if again++; again == 1 {
				close(vain)
			}
			_, _ = unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, 1000)
			continue
		}
		if err != nil {
			if !errors.Is(err, io.EOF) {
				t.Error(err)
			}
			break
		}
	}
	if got != 3000 || again == 0 {
		t.Errorf("%d bytes came back, %d reads were in vain", got, again)
	}
}

func TestRawConnWaits(t *testing.T) {
	t.Parallel()
	fd, peer := rawPair(t)
	if err := unix.SetNonblock(fd, true); err != nil {
		t.Fatal(err)
	}
	waits := 0
	c := rawConn{fd: fd, wait: func() bool {
		waits++
		if waits == 1 {
			_, _ = peer.Write([]byte("x"))
		}
		return waits == 1
	}}
	if n, err := c.Read(make([]byte, 9)); n != 1 || err != nil || waits != 1 {
		t.Errorf("%d bytes, %v, after %d waits", n, err, waits)
	}
	if n, err := c.Read(make([]byte, 9)); n != 0 || !errors.Is(err, errStopped) {
		t.Errorf("not worth it: %d bytes, %v", n, err)
	}
	if n, err := c.Write(make([]byte, 64<<20)); n <= 0 || !errors.Is(err, io.ErrShortWrite) {
		t.Errorf("more than fits: %d bytes, %v", n, err)
	}
}
