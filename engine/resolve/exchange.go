package resolve

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"net/netip"
	"time"

	"golang.org/x/net/dns/dnsmessage"
)

const (
	// maxMessage is the maximum length of a message.
	maxMessage = math.MaxUint16
	// payload is the longest datagram that we accept (RFC 6891 section 6.2.3). Networks do not fragment datagrams of this length; later
	// fragments could be forged.
	payload = 1232
)

// errSilent is the error for a server that has not answered.
var errSilent = errors.New("no answer")

// question is a query for one server.
type question struct {
	id    uint16
	asked dnsmessage.Question
	text  []byte // encoded
}

// newQuestion makes a question with an unpredictable id.
func newQuestion(name dnsmessage.Name, kind dnsmessage.Type, extended bool) (question, error) {
	var id [2]byte
	_, _ = rand.Read(id[:]) // never fails
	q := question{id: binary.BigEndian.Uint16(id[:]), asked: dnsmessage.Question{Name: name, Type: kind, Class: dnsmessage.ClassINET}}
	m := dnsmessage.Message{Header: dnsmessage.Header{ID: q.id, RecursionDesired: true}, Questions: []dnsmessage.Question{q.asked}}
	if extended {
		var h dnsmessage.ResourceHeader
		if err := h.SetEDNS0(payload, dnsmessage.RCodeSuccess, false); err != nil {
			return q, err
		}
		m.Additionals = []dnsmessage.Resource{{Header: h, Body: &dnsmessage.OPTResource{}}}
	}
	var err error
	q.text, err = m.Pack()
	return q, err
}

// exchange queries one server over UDP, and over TCP if the answer is truncated, until ctx is done. Without records it returns errNoName or
// errNoData.
func exchange(ctx context.Context, server netip.AddrPort, name dnsmessage.Name, kind dnsmessage.Type) (found, error) {
	for _, extended := range []bool{true, false} {
		q, err := newQuestion(name, kind, extended)
		if err != nil {
			return found{}, fmt.Errorf("this name cannot be queried: %w", err)
		}
		message, h, err := q.over(ctx, "udp", server)
		if err == nil && h.Truncated {
			message, h, err = q.over(ctx, "tcp", server)
		}
		if err != nil {
			return found{}, err
		}
		if extended && (h.RCode == dnsmessage.RCodeFormatError || h.RCode == dnsmessage.RCodeNotImplemented) {
			continue // the server does not know EDNS
		}
		return q.read(h, message)
	}
	panic("unreachable")
}

// over sends q over a new connection, and returns the answer.
func (q *question) over(ctx context.Context, network string, server netip.AddrPort) ([]byte, dnsmessage.Header, error) {
	var d net.Dialer
	conn, err := d.DialContext(ctx, network, server.String()) // the kernel picks a random port, to which only the server can send
	if err != nil {
		return nil, dnsmessage.Header{}, orSilent(ctx, err)
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })()
	var message []byte
	var h dnsmessage.Header
	if network == "udp" {
		message, h, err = q.datagram(conn)
	} else {
		message, h, err = q.stream(conn)
	}
	if err != nil {
		return nil, h, orSilent(ctx, err)
	}
	return message, h, nil
}

// orSilent returns err, or errSilent if the time is up.
func orSilent(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return errSilent
	}
	return err
}

// datagram sends q over UDP. It ignores datagrams that do not answer q.
func (q *question) datagram(conn net.Conn) ([]byte, dnsmessage.Header, error) {
	if _, err := conn.Write(q.text); err != nil {
		return nil, dnsmessage.Header{}, err
	}
	b := make([]byte, maxMessage)
	for {
		n, err := conn.Read(b)
		if err != nil {
			return nil, dnsmessage.Header{}, err
		}
		if h, ok := q.answeredBy(b[:n]); ok {
			return b[:n], h, nil
		}
	}
}

// stream sends q over TCP, where a length precedes each message (RFC 1035 section 4.2.2).
func (q *question) stream(conn net.Conn) ([]byte, dnsmessage.Header, error) {
	if _, err := conn.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(q.text))), q.text...)); err != nil {
		return nil, dnsmessage.Header{}, err
	}
	var size [lengthSize]byte
	if _, err := io.ReadFull(conn, size[:]); err != nil {
		return nil, dnsmessage.Header{}, fmt.Errorf("by TCP: %w", err)
	}
	message := make([]byte, binary.BigEndian.Uint16(size[:]))
	if _, err := io.ReadFull(conn, message); err != nil {
		return nil, dnsmessage.Header{}, fmt.Errorf("by TCP: %w", err)
	}
	h, ok := q.answeredBy(message)
	if !ok {
		return nil, h, errors.New("by TCP: its answer is for another question")
	}
	return message, h, nil
}

// answeredBy reports whether a message answers q.
func (q *question) answeredBy(message []byte) (dnsmessage.Header, bool) {
	var p dnsmessage.Parser
	h, err := p.Start(message)
	if err != nil || !h.Response || h.ID != q.id || h.OpCode != 0 {
		return h, false
	}
	list, err := p.AllQuestions()
	if err == nil && len(list) == 0 && h.RCode == dnsmessage.RCodeFormatError {
		return h, true // the server could not parse the question
	}
	return h, err == nil && len(list) == 1 && sameQuestion(list[0], q.asked)
}

// sameQuestion reports whether two questions are equal; letter case of names is ignored.
func sameQuestion(a, b dnsmessage.Question) bool {
	return a.Type == b.Type && a.Class == b.Class && canonical(a.Name) == canonical(b.Name)
}

// read reads the answer to q.
func (q *question) read(h dnsmessage.Header, message []byte) (found, error) {
	switch h.RCode {
	case dnsmessage.RCodeSuccess:
	case dnsmessage.RCodeNameError:
		return found{}, errNoName
	default:
		return found{}, fmt.Errorf("it answers %s", rcode(h.RCode))
	}
	f, err := readAnswer(message)
	switch {
	case err != nil:
		return found{}, fmt.Errorf("its answer is malformed: %w", err)
	case len(f.addrs) > 0 || len(f.targets) > 0:
		return f, nil
	case !h.Authoritative && !h.RecursionAvailable:
		return found{}, errors.New("it has no answer and does not ask other servers")
	}
	return found{}, errNoData
}

// rcode returns the usual name of a response code.
func rcode(c dnsmessage.RCode) string {
	switch c {
	case dnsmessage.RCodeFormatError:
		return "FORMERR"
	case dnsmessage.RCodeServerFailure:
		return "SERVFAIL"
	case dnsmessage.RCodeNotImplemented:
		return "NOTIMP"
	case dnsmessage.RCodeRefused:
		return "REFUSED"
	}
	return fmt.Sprintf("with code %d", c)
}
