package enginetest

import (
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/netip"
	"slices"
	"sync"
	"syscall"
	"testing"
)

// NameServer starts a DNS server that listens on at over UDP and TCP; the port may be zero. It sends all messages that answers returns
// for a query, even malformed ones. The server ends with the test, which is skipped if the user may not listen there.
func NameServer(tb testing.TB, at string, answers func(query []byte, tcp bool) [][]byte) netip.AddrPort {
	tb.Helper()
	l, u := listenBoth(tb, at)
	var running sync.WaitGroup
	running.Go(func() { serveDatagrams(u, answers) })
	running.Go(func() { serveStreams(l, answers) })
	tb.Cleanup(func() {
		_, _ = l.Close(), u.Close()
		running.Wait()
	})
	return l.Addr().(*net.TCPAddr).AddrPort()
}

// listenBoth listens on one port for TCP and UDP. It retries, because a port that the kernel chose for TCP may be in use for UDP.
func listenBoth(tb testing.TB, at string) (*net.TCPListener, net.PacketConn) {
	tb.Helper()
	for range 20 {
		l, err := net.Listen("tcp4", at)
		if errors.Is(err, syscall.EACCES) {
			tb.Skipf("enginetest: %v", err)
		}
		if err != nil {
			tb.Fatalf("enginetest: %v", err)
		}
		if u, err := net.ListenPacket("udp4", l.Addr().String()); err == nil {
			return l.(*net.TCPListener), u
		}
		_ = l.Close()
	}
	tb.Fatal("enginetest: no port is free for TCP and UDP")
	return nil, nil
}

func serveDatagrams(u net.PacketConn, answers func(query []byte, tcp bool) [][]byte) {
	b := make([]byte, 64<<10)
	for {
		n, from, err := u.ReadFrom(b)
		if err != nil {
			return
		}
		for _, answer := range answers(slices.Clone(b[:n]), false) {
			_, _ = u.WriteTo(answer, from)
		}
	}
}

func serveStreams(l *net.TCPListener, answers func(query []byte, tcp bool) [][]byte) {
	for {
		c, err := l.AcceptTCP()
		if err != nil {
			return
		}
		go func() {
			defer func() { _ = c.Close() }()
			size := make([]byte, 2)
			if _, err := io.ReadFull(c, size); err != nil {
				return
			}
			query := make([]byte, binary.BigEndian.Uint16(size))
			if _, err := io.ReadFull(c, query); err != nil {
				return
			}
			for _, answer := range answers(query, true) {
				_, _ = c.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(answer))), answer...))
			}
		}()
	}
}
