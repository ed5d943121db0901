package bench

import (
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"time"
)

// The parts of a TLS handshake that are parsed: RFC 8446, sections 4.1.3, 4.2 and 5.1.
const (
	recordHandshake  = 22
	recordHeader     = 5
	mostRecord       = 1 << 14
	messageServer    = 2
	extensionVersion = 43
	extensionKey     = 51
)

// checkWrk returns an error if the server at addr negotiates other TLS parameters with wrk than the common ones: wrk has no options for them, and
// its
// OpenSSL prefers AES-256. The server gets wrk's own ClientHello, and the unencrypted part of its answer is parsed.
func (h *harness) checkWrk(addr string) error {
	return h.checkHello("wrk", addr, func(j job) (*proc, error) { return startWrk(h, j, 1) })
}

// checkH2load is checkWrk for h2load, which has options for the parameters.
func (h *harness) checkH2load(addr string) error {
	return h.checkHello("h2load", addr, func(j job) (*proc, error) { return startH2load(h, j, 1) })
}

// checkHello is checkWrk for the load program that start starts.
func (h *harness) checkHello(program, addr string, start func(job) (*proc, error)) error {
	hello := h.hellos[program]
	if hello == nil {
		var err error
		if hello, err = catchHello(start); err != nil {
			return fmt.Errorf("finding out what %s says in a TLS handshake: %w", program, err)
		}
		if h.hellos == nil {
			h.hellos = map[string][]byte{}
		}
		h.hellos[program] = hello
	}
	c, err := net.DialTimeout("tcp", addr, dialTimeout)
	if err != nil {
		return err
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(dialTimeout))
	if _, err := c.Write(hello); err != nil {
		return fmt.Errorf("saying what %s says in a TLS handshake: %w", program, err)
	}
	answer, err := readRecord(c)
	if err != nil {
		return fmt.Errorf("the answer to what %s says in a TLS handshake: %w", program, err)
	}
	version, cipher, group, err := parseServerHello(answer[recordHeader:])
	if err == nil {
		err = agreed(version, cipher, group)
	}
	if err != nil {
		return fmt.Errorf("with %s: %w", program, err)
	}
	return nil
}

// catchHello starts a load program and returns the first record of its TLS connection.
func catchHello(start func(job) (*proc, error)) ([]byte, error) {
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	defer l.Close()
	_ = l.(*net.TCPListener).SetDeadline(time.Now().Add(dialTimeout))
	p, err := start(job{TLS: true, Addr: l.Addr().String(), Conns: 1, Streams: 1, Exchange: getSmall, H2: h2Small})
	if err != nil {
		return nil, err
	}
	defer p.stop()
	for {
		c, err := l.Accept()
		if err != nil {
			return nil, fmt.Errorf("%w%s", err, p.said())
		}
		_ = c.SetDeadline(time.Now().Add(dialTimeout))
		b, err := readRecord(c)
		_ = c.Close()
		if !errors.Is(err, io.EOF) { // wrk's first connection only checks whether there is a server
			return b, err
		}
	}
}

// readRecord reads a handshake record, including its header.
func readRecord(r io.Reader) ([]byte, error) {
	b := make([]byte, recordHeader)
	if _, err := io.ReadFull(r, b); err != nil {
		return nil, err
	}
	n := int(binary.BigEndian.Uint16(b[3:]))
	if b[0] != recordHandshake || n > mostRecord {
		return nil, fmt.Errorf("not a TLS handshake: % x", b)
	}
	b = append(b, make([]byte, n)...)
	_, err := io.ReadFull(r, b[recordHeader:])
	return b, err
}

var errHello = errors.New("not a ServerHello with a key")

// parseServerHello returns the parameters that the server has chosen. Before TLS 1.3 there is no group.
func parseServerHello(b []byte) (version, cipher uint16, group tls.CurveID, err error) {
	m := message{b: b}
	kind := m.number(1)
	m.bytes(3)                    // its length
	version = uint16(m.number(2)) // before 1.3
	m.bytes(32)                   // random
	m.bytes(m.number(1))          // session
	cipher = uint16(m.number(2))
	m.bytes(1) // compression
	extensions := message{b: m.bytes(m.number(2))}
	for len(extensions.b) > 0 {
		id := extensions.number(2)
		e := message{b: extensions.bytes(extensions.number(2))}
		switch id {
		case extensionVersion:
			version = uint16(e.number(2))
		case extensionKey:
			group = tls.CurveID(e.number(2))
			e.bytes(e.number(2)) // without a key, this is a HelloRetryRequest
		}
		m.short = m.short || extensions.short || e.short
	}
	if kind != messageServer || m.short {
		return 0, 0, 0, errHello
	}
	return version, cipher, group, nil
}

// message is the unread rest of a message; short says that more was read than there was.
type message struct {
	b     []byte
	short bool
}

func (m *message) bytes(n int) []byte {
	if n > len(m.b) {
		m.b, m.short = nil, true
		return nil
	}
	b := m.b[:n]
	m.b = m.b[n:]
	return b
}

// number reads a big-endian number of n bytes.
func (m *message) number(n int) (x int) {
	for _, c := range m.bytes(n) {
		x = x<<8 | int(c)
	}
	return x
}
