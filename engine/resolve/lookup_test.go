package resolve

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"math"
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/dns/dnsmessage"

	"kroxy-ev/engine/enginetest"
)

// query returns a query as a resolver sends it.
func query(id uint16, name string, kind dnsmessage.Type) []byte {
	m := dnsmessage.Message{
		Header:    dnsmessage.Header{ID: id, RecursionDesired: true},
		Questions: []dnsmessage.Question{{Name: dnsmessage.MustNewName(name), Type: kind, Class: dnsmessage.ClassINET}},
	}
	return pack(m)
}

func pack(m dnsmessage.Message) []byte {
	b, err := m.Pack()
	if err != nil {
		panic(err) // a mistake in the test
	}
	return b
}

// record returns a resource record of an answer.
func record(name string, ttl uint32, body dnsmessage.ResourceBody) dnsmessage.Resource {
	return dnsmessage.Resource{Header: dnsmessage.ResourceHeader{Name: dnsmessage.MustNewName(name), Class: dnsmessage.ClassINET, TTL: ttl}, Body: body}
}

func aRecord(name string, ttl uint32, last byte) dnsmessage.Resource {
	return record(name, ttl, &dnsmessage.AResource{A: [4]byte{127, 0, 0, last}})
}

// answering returns the answer to a query with these records.
func answering(query []byte, change func(*dnsmessage.Message), records ...dnsmessage.Resource) []byte {
	var m dnsmessage.Message
	if err := m.Unpack(query); err != nil {
		panic(err) // a mistake in the test
	}
	m.Response, m.Answers, m.Additionals = true, records, nil
	if change != nil {
		change(&m)
	}
	return pack(m)
}

func TestLowestTTL(t *testing.T) {
	t.Parallel()
	const name = "a.test."
	q := query(7, name, dnsmessage.TypeA)
	a := func(ttl uint32) dnsmessage.Resource { return aRecord(name, ttl, 1) }
	alias := record(name, 5, &dnsmessage.CNAMEResource{CNAME: dnsmessage.MustNewName("b.test.")})
	text := record(name, 1, &dnsmessage.TXTResource{TXT: []string{"x"}})
	good := answering(q, nil, a(10), a(9), text)
	for what, c := range map[string]struct {
		answer []byte
		want   uint32
		ok     bool
	}{
		"one":           {answering(q, nil, a(10)), 10, true},
		"lowest":        {good, 9, true},
		"alias":         {answering(q, nil, alias, aRecord("b.test.", 60, 1)), 5, true},
		"IPv6":          {answering(q, nil, record(name, 8, &dnsmessage.AAAAResource{})), 8, true},
		"zero":          {answering(q, nil, a(0)), 0, true},
		"2^31-1":        {answering(q, nil, a(math.MaxInt32)), math.MaxInt32, true},
		"2^31":          {answering(q, nil, a(1<<31), a(10)), 0, true},
		"letter case":   {answering(query(7, "A.TEST.", dnsmessage.TypeA), nil, a(10)), 10, true},
		"none":          {answering(q, nil), 0, false},
		"text alone":    {answering(q, nil, text), 0, false},
		"another id":    {answering(query(8, name, dnsmessage.TypeA), nil, a(1)), 0, false},
		"another name":  {answering(query(7, "b.test.", dnsmessage.TypeA), nil, a(1)), 0, false},
		"another type":  {answering(query(7, name, dnsmessage.TypeAAAA), nil, a(1)), 0, false},
		"no response":   {answering(q, func(m *dnsmessage.Message) { m.Response = false }, a(1)), 0, false},
		"an error":      {answering(q, func(m *dnsmessage.Message) { m.RCode = dnsmessage.RCodeServerFailure }, a(1)), 0, false},
		"no question":   {answering(q, func(m *dnsmessage.Message) { m.Questions = nil }, a(1)), 0, false},
		"nothing":       {nil, 0, false},
		"half a header": {good[:6], 0, false},
		"cut":           {good[:len(good)-20], 10, true},
		"the query":     {q, 0, false},
	} {
		if ttl, ok := lowestTTL(q, c.answer); ok != c.ok || ok && ttl != c.want {
			t.Errorf("%s: %d, %v; want %d, %v", what, ttl, ok, c.want, c.ok)
		}
	}
	for _, broken := range [][]byte{nil, q[:5], q[:14]} {
		if _, ok := lowestTTL(broken, good); ok {
			t.Errorf("an answer to %q", broken)
		}
	}
}

func FuzzLowestTTL(f *testing.F) {
	q := query(7, "a.test.", dnsmessage.TypeA)
	good := answering(q, nil, aRecord("a.test.", 10, 1), aRecord("a.test.", 1<<31, 2))
	f.Add(q, good)
	f.Add(q, good[:len(good)-3])
	f.Add(good, q)
	f.Add(q, append(slices.Clone(good[:12]), 0xc0, 0x0c))
	f.Fuzz(func(t *testing.T, q, answer []byte) {
		if ttl, ok := lowestTTL(q, answer); ok && ttl > math.MaxInt32 {
			t.Errorf("TTL %d", ttl)
		}
		_ = truncated(answer)
		// As a stream, in two pieces.
		var w ttlWatch
		framed := append(binary.BigEndian.AppendUint16(nil, uint16(len(answer))), answer...)
		near, far := net.Pipe()
		go func() {
			_, _ = far.Write(framed[:len(framed)/2])
			_, _ = far.Write(framed[len(framed)/2:])
			_ = far.Close()
		}()
		c := &stream{Conn: near, watch: &w, sent: append([]byte{0, 0}, q...)}
		_, _ = io.Copy(io.Discard, struct{ io.Reader }{c})
		_ = near.Close()
		if len(answer) > math.MaxUint16 {
			return
		}
		want, ok := lowestTTL(q, answer)
		if got := w.ttl(); ok != (got >= 0) || ok && got != time.Duration(want)*time.Second {
			t.Errorf("as a stream: %v, want %d, %v", got, want, ok)
		}
	})
}

// lookupAt asks the server at addr as Lookup asks those of resolv.conf.
func lookupAt(addr netip.AddrPort, name string) ([]netip.Addr, time.Duration, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	var w ttlWatch
	r := net.Resolver{PreferGo: true, Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
		return w.dial(ctx, network, addr.String())
	}}
	addrs, err := r.LookupNetIP(ctx, "ip", name)
	return addrs, w.ttl(), err
}

// kindOf returns the type in a query.
func kindOf(q []byte) dnsmessage.Type {
	var m dnsmessage.Message
	if m.Unpack(q) != nil {
		return 0
	}
	return m.Questions[0].Type
}

// The TTL is taken from the answer that the resolver accepts, and from no other message.
func TestLookupLearnsTTL(t *testing.T) {
	t.Parallel()
	const name = "a.test."
	v4 := func(q []byte, ttl uint32) []byte {
		if kindOf(q) == dnsmessage.TypeA {
			return answering(q, nil, aRecord(name, ttl, 1), aRecord(name, ttl+5, 2))
		}
		return answering(q, nil)
	}
	hostile := func(q []byte) [][]byte {
		return [][]byte{
			{}, {0}, q, []byte(strings.Repeat("\xff", 600)), v4(q, 1)[:20],
			answering(append([]byte{q[0] ^ 1}, q[1:]...), nil, aRecord(name, 1, 9)),
			answering(query(binary.BigEndian.Uint16(q), "b.test.", kindOf(q)), nil, aRecord(name, 1, 9)),
		}
	}
	big := func(q []byte) []byte {
		var records []dnsmessage.Resource
		for range 2000 {
			records = append(records, record(name, 20, &dnsmessage.TXTResource{TXT: []string{"0123456789"}}))
		}
		return answering(q, nil, append(records, aRecord(name, 21, 1))...)
	}
	truncates := func(q []byte) []byte {
		return answering(q, func(m *dnsmessage.Message) { m.Truncated = true }, aRecord(name, 3, 1))
	}
	for what, c := range map[string]struct {
		answers func(q []byte, tcp bool) [][]byte
		addrs   int
		ttl     time.Duration
	}{
		"by UDP":  {func(q []byte, _ bool) [][]byte { return [][]byte{v4(q, 30)} }, 2, 30 * time.Second},
		"TTL 0":   {func(q []byte, _ bool) [][]byte { return [][]byte{v4(q, 0)} }, 2, 0},
		"hostile": {func(q []byte, _ bool) [][]byte { return append(hostile(q), v4(q, 30)) }, 2, 30 * time.Second},
		"both": {func(q []byte, _ bool) [][]byte {
			if kindOf(q) == dnsmessage.TypeAAAA {
				return [][]byte{answering(q, nil, record(name, 12, &dnsmessage.AAAAResource{AAAA: [16]byte{15: 1}}))}
			}
			return [][]byte{v4(q, 30)}
		}, 3, 12 * time.Second},
		"by TCP": {func(q []byte, tcp bool) [][]byte {
			if tcp {
				return [][]byte{v4(q, 40)}
			}
			return [][]byte{truncates(q)}
		}, 2, 40 * time.Second},
		"much, by TCP": {func(q []byte, tcp bool) [][]byte {
			switch {
			case !tcp:
				return [][]byte{truncates(q)}
			case kindOf(q) == dnsmessage.TypeA:
				return [][]byte{big(q)}
			}
			return [][]byte{answering(q, nil)}
		}, 1, 21 * time.Second},
		"none": {func(q []byte, _ bool) [][]byte {
			return [][]byte{answering(q, func(m *dnsmessage.Message) { m.RCode = dnsmessage.RCodeNameError })}
		}, 0, UnknownTTL},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			addrs, ttl, err := lookupAt(enginetest.NameServer(t, enginetest.Loopback, c.answers), name)
			if e := (*net.DNSError)(nil); c.addrs == 0 && !errors.As(err, &e) || c.addrs > 0 && err != nil {
				t.Errorf("error %v", err)
			}
			if len(addrs) != c.addrs || ttl != c.ttl {
				t.Errorf("%v for %v, want %d addresses for %v", addrs, ttl, c.addrs, c.ttl)
			}
		})
	}
}

// An answer that is not from DNS has no TTL, and a name that does not exist is an error.
func TestLookup(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	addrs, ttl, err := Lookup(ctx, "localhost")
	if err != nil || ttl != UnknownTTL || !slices.ContainsFunc(normalize(addrs), netip.Addr.IsLoopback) {
		t.Errorf("localhost: %v, %v, %v", addrs, ttl, err)
	}
	if addrs, _, err := Lookup(ctx, "nobody.invalid"); err == nil {
		t.Errorf("nobody.invalid is at %v", addrs)
	}
}

// If Go's own resolver fails for any reason, the system's is asked, unless the time is up. If both fail, the error is the own resolver's.
// The TTL is that of the answer; the C library does not tell it.
func TestLookupFallsBack(t *testing.T) {
	t.Parallel()
	const name = "a.test."
	code := func(c dnsmessage.RCode) func([]byte, bool) [][]byte {
		return func(q []byte, _ bool) [][]byte {
			return [][]byte{answering(q, func(m *dnsmessage.Message) { m.RCode = c })}
		}
	}
	at := func(addr netip.AddrPort) *net.Resolver {
		return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, network, addr.String())
		}}
	}
	server := enginetest.NameServer(t, enginetest.Loopback, func(q []byte, _ bool) [][]byte {
		if kindOf(q) == dnsmessage.TypeA {
			return [][]byte{answering(q, nil, aRecord(name, 30, 1))}
		}
		return [][]byte{answering(q, nil)}
	})
	good := at(server)
	unknown := at(enginetest.NameServer(t, enginetest.Loopback, code(dnsmessage.RCodeNameError)))
	unreached := errors.New("unreached")
	for what, own := range map[string]*net.Resolver{
		"not found": unknown,
		"SERVFAIL":  at(enginetest.NameServer(t, enginetest.Loopback, code(dnsmessage.RCodeServerFailure))),
		"REFUSED":   at(enginetest.NameServer(t, enginetest.Loopback, code(dnsmessage.RCodeRefused))),
		"no server": {PreferGo: true, Dial: func(context.Context, string, string) (net.Conn, error) { return nil, unreached }},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
			defer cancel()
			addrs, ttl, err := lookup(ctx, name, new(ttlWatch), own, new(ttlWatch), good)
			if err != nil || len(addrs) != 1 || ttl != UnknownTTL {
				t.Errorf("%v for %v, %v; want what the system says", addrs, ttl, err)
			}
			var w ttlWatch
			watched := &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
				return w.dial(ctx, network, server.String())
			}}
			if _, ttl, err := lookup(ctx, name, new(ttlWatch), own, &w, watched); err != nil || ttl != 30*time.Second {
				t.Errorf("an answer for %v, %v; want 30 s", ttl, err)
			}
			_, _, want := lookup(ctx, name, new(ttlWatch), own, new(ttlWatch), unknown)
			if _, err := own.LookupNetIP(ctx, "ip", name); want == nil || want.Error() != err.Error() {
				t.Errorf("both fail: error %v, want %v", want, err)
			}
			cancel()
			if addrs, _, err := lookup(ctx, name, new(ttlWatch), own, new(ttlWatch), good); err == nil {
				t.Errorf("after the end of time: %v", addrs)
			}
		})
	}
}
