package syslog

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// connectTimeout bounds a connection attempt, including the lookup of the address.
const connectTimeout = 5 * time.Second

// Writer sends each line as one message. It may be used by one goroutine only.
type Writer struct {
	network, address string
	lost             func(messages int)
	conn             net.Conn // nil if not connected
	raw              syscall.RawConn
}

// NewWriter makes a writer for an address, "udp:HOST:PORT" or "unix:PATH". It connects when it has something to send. lost is called for
// messages that were sent but have not arrived, as far as that becomes known, and for those that are too long.
func NewWriter(address string, lost func(messages int)) *Writer {
	network, at, _ := strings.Cut(address, ":")
	if network == "unix" {
		network = "unixgram"
	}
	return &Writer{network: network, address: at, lost: lost}
}

// Write sends complete lines, and returns how many bytes of p were sent. The error is EAGAIN if the reader is slow; after any other error the
// next call reconnects.
func (w *Writer) Write(p []byte) (n int, err error) {
	for n < len(p) {
		line, _, _ := bytes.Cut(p[n:], newline)
		if err := w.send(line); err != nil {
			return n, err
		}
		n = min(n+len(line)+1, len(p))
	}
	return n, nil
}

var newline = []byte("\n")

// send sends a message. It tries twice, so that it finds a syslog server that has restarted.
func (w *Writer) send(line []byte) error {
	for again := true; ; again = false {
		if w.conn == nil {
			if err := w.connect(); err != nil {
				return err
			}
		}
		err := w.try(line)
		switch {
		case err == nil:
			return nil
		case errors.Is(err, unix.EAGAIN), errors.Is(err, unix.ENOBUFS), errors.Is(err, unix.EINTR):
			return unix.EAGAIN
		case errors.Is(err, unix.EMSGSIZE):
			w.lost(1)
			return nil
		case errors.Is(err, unix.ECONNREFUSED) && w.network == "udp":
			w.lost(1) // an earlier message was not received
		default:
			_ = w.Close()
		}
		if !again {
			return fmt.Errorf("syslog: while sending to %s: %s", w.address, err.Error()) // not wrapped, so that EPIPE is not taken for that of a pipe
		}
	}
}

// try sends a message without blocking.
func (w *Writer) try(line []byte) error {
	var sent error
	err := w.raw.Write(func(fd uintptr) bool {
		sent = unix.Send(int(fd), line, unix.MSG_NOSIGNAL|unix.MSG_DONTWAIT)
		return true
	})
	return errors.Join(err, sent)
}

func (w *Writer) connect() error {
	d := net.Dialer{Timeout: connectTimeout}
	conn, err := d.Dial(w.network, w.address)
	if err != nil {
		return fmt.Errorf("syslog: %s", err.Error())
	}
	raw, err := conn.(syscall.Conn).SyscallConn()
	if err != nil {
		_ = conn.Close()
		return fmt.Errorf("syslog: %w", err)
	}
	w.conn, w.raw = conn, raw
	return nil
}

// Close closes the connection, if there is one.
func (w *Writer) Close() error {
	if w.conn == nil {
		return nil
	}
	err := w.conn.Close()
	w.conn, w.raw = nil, nil
	return err
}
