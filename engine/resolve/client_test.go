package resolve

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/net/dns/dnsmessage"

	"kroxy-ev/engine/enginetest"
)

// within returns a context with this timeout for a lookup.
func within(t *testing.T, d time.Duration) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), d)
	t.Cleanup(cancel)
	return ctx
}

// one returns a single answer message.
func one(answer []byte) [][]byte { return [][]byte{answer} }

// coded returns an answer without records, with this code.
func coded(c dnsmessage.RCode) func(q []byte, tcp bool) [][]byte {
	return func(q []byte, _ bool) [][]byte {
		return one(answering(q, func(m *dnsmessage.Message) { m.RCode, m.RecursionAvailable = c, true }))
	}
}

// addressed returns an answer with the addresses 127.0.0.last.
func addressed(last ...byte) func(q []byte, tcp bool) [][]byte {
	return func(q []byte, _ bool) [][]byte {
		if kindOf(q) != dnsmessage.TypeA {
			return coded(dnsmessage.RCodeSuccess)(q, false)
		}
		var records []dnsmessage.Resource
		for _, l := range last {
			records = append(records, aRecord(nameOf(q), 30, l))
		}
		return one(answering(q, nil, records...))
	}
}

// nameOf returns the name in a query.
func nameOf(q []byte) string {
	var m dnsmessage.Message
	if m.Unpack(q) != nil {
		return ""
	}
	return m.Questions[0].Name.String()
}

func silentServer([]byte, bool) [][]byte { return nil }

// A message is accepted if it answers the question; others are ignored.
func TestClientAnswers(t *testing.T) {
	t.Parallel()
	const name = "a.test."
	good := addressed(1, 2)
	truncated := func(q []byte) []byte {
		return answering(q, func(m *dnsmessage.Message) { m.Truncated = true }, aRecord(name, 3, 9))
	}
	full := func(q []byte) []byte { // the maximum length of a message
		var records []dnsmessage.Resource
		for i := range 4000 {
			records = append(records, record(name, 20, &dnsmessage.AResource{A: [4]byte{127, 1, byte(i >> 8), byte(i)}}))
		}
		b := answering(q, nil, records...)
		rest := maxMessage - len(b) - len(name) - 10
		b = answering(q, nil, append(records, record(name, 20, &dnsmessage.UnknownResource{Type: 99, Data: make([]byte, rest)}))...)
		return b
	}
	for what, c := range map[string]struct {
		answers func(q []byte, tcp bool) [][]byte
		addrs   int
		ttl     time.Duration
		err     string // the end of the error
	}{
		"by UDP":   {answers: good, addrs: 2, ttl: 30 * time.Second},
		"no name":  {answers: coded(dnsmessage.RCodeNameError), err: "there is no such name"},
		"no data":  {answers: coded(dnsmessage.RCodeSuccess), err: "it has no records of this kind"},
		"SERVFAIL": {answers: coded(dnsmessage.RCodeServerFailure), err: "it answers SERVFAIL"},
		"REFUSED":  {answers: coded(dnsmessage.RCodeRefused), err: "it answers REFUSED"},
		"another":  {answers: coded(11), err: "it answers with code 11"},
		"not its business": {answers: func(q []byte, _ bool) [][]byte { return one(answering(q, nil)) },
			err: "it has no answer and does not ask other servers"},
		"hostile": {answers: func(q []byte, _ bool) [][]byte {
			return append([][]byte{
				{}, {0}, q, []byte(strings.Repeat("\xff", 600)), good(q, false)[0][:14],
				answering(append([]byte{q[0] ^ 1}, q[1:]...), nil, aRecord(name, 1, 9)),
				answering(query(binary.BigEndian.Uint16(q), "b.test.", kindOf(q)), nil, aRecord(name, 1, 9)),
				answering(query(binary.BigEndian.Uint16(q), name, dnsmessage.TypeTXT), nil, aRecord(name, 1, 9)),
				answering(q, func(m *dnsmessage.Message) { m.Questions = append(m.Questions, m.Questions[0]) }, aRecord(name, 1, 9)),
				answering(q, func(m *dnsmessage.Message) { m.Questions = nil }, aRecord(name, 1, 9)),
				answering(q, func(m *dnsmessage.Message) { m.OpCode = 5 }, aRecord(name, 1, 9)),
			}, good(q, false)...)
		}, addrs: 2, ttl: 30 * time.Second},
		"by TCP": {answers: func(q []byte, tcp bool) [][]byte {
			if tcp {
				return good(q, tcp)
			}
			return one(truncated(q))
		}, addrs: 2, ttl: 30 * time.Second},
		"64 KiB": {answers: func(q []byte, tcp bool) [][]byte {
			switch {
			case kindOf(q) != dnsmessage.TypeA:
				return coded(dnsmessage.RCodeSuccess)(q, tcp)
			case tcp:
				return one(full(q))
			}
			return one(truncated(q))
		}, addrs: 4000, ttl: 20 * time.Second},
		"another question by TCP": {answers: func(q []byte, tcp bool) [][]byte {
			if tcp {
				return one(answering(query(binary.BigEndian.Uint16(q), "b.test.", kindOf(q)), nil, aRecord(name, 1, 9)))
			}
			return one(truncated(q))
		}, err: "by TCP: its answer is for another question"},
		"nothing by TCP": {answers: func(q []byte, tcp bool) [][]byte {
			if tcp {
				return nil
			}
			return one(truncated(q))
		}, err: "by TCP: EOF"},
		"damaged": {answers: func(q []byte, _ bool) [][]byte {
			if kindOf(q) != dnsmessage.TypeA {
				return good(q, false)
			}
			b := good(q, false)[0]
			return one(b[:len(b)-1])
		}, err: "its answer is malformed: "},
		"no EDNS": {answers: func(q []byte, _ bool) [][]byte {
			var m dnsmessage.Message
			if err := m.Unpack(q); err != nil || len(m.Additionals) > 0 {
				return one(answering(q, func(m *dnsmessage.Message) { m.RCode, m.Questions = dnsmessage.RCodeFormatError, nil }))
			}
			return good(q, false)
		}, addrs: 2, ttl: 30 * time.Second},
		"never content": {answers: func(q []byte, _ bool) [][]byte {
			return one(answering(q, func(m *dnsmessage.Message) { m.RCode, m.Questions = dnsmessage.RCodeFormatError, nil }))
		}, err: "it answers FORMERR"},
		"one family fails": {answers: func(q []byte, _ bool) [][]byte {
			if kindOf(q) == dnsmessage.TypeA {
				return good(q, false)
			}
			return coded(dnsmessage.RCodeServerFailure)(q, false)
		}, addrs: 2, ttl: 30 * time.Second},
		"both families": {answers: func(q []byte, _ bool) [][]byte {
			if kindOf(q) == dnsmessage.TypeA {
				return good(q, false)
			}
			return one(answering(q, nil, record(name, 12, &dnsmessage.AAAAResource{AAAA: [16]byte{15: 1}})))
		}, addrs: 3, ttl: 12 * time.Second},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			ask := &client{search: []string{}, servers: []netip.AddrPort{enginetest.NameServer(t, enginetest.Loopback, c.answers)}}
			addrs, ttl, err := ask.lookup(within(t, 30*time.Second), "a.test")
			switch {
			case c.err != "":
				if err == nil || !strings.Contains(err.Error(), c.err) {
					t.Errorf("%v, %v; want an error with %q", addrs, err, c.err)
				}
			case err != nil || len(addrs) != c.addrs || ttl != c.ttl:
				t.Errorf("%d addresses for %v, %v; want %d for %v", len(addrs), ttl, err, c.addrs, c.ttl)
			}
		})
	}
}

// A server that answers with wrong ids is treated like one that does not answer: it costs its share of the time, and the next server gets the rest.
func TestClientTriesServersInTurn(t *testing.T) {
	t.Parallel()
	good := addressed(1)
	liar := func(q []byte, _ bool) [][]byte {
		return one(answering(append([]byte{q[0] ^ 1}, q[1:]...), nil, aRecord(nameOf(q), 30, 9)))
	}
	for what, bad := range map[string]func(q []byte, tcp bool) [][]byte{
		"silent": silentServer, "lying": liar, "SERVFAIL": coded(dnsmessage.RCodeServerFailure), "nobody": nil,
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			first := enginetest.RefusingUDP(t)
			if bad != nil {
				first = enginetest.NameServer(t, enginetest.Loopback, bad)
			}
			c := &client{search: []string{}, servers: []netip.AddrPort{first, enginetest.NameServer(t, enginetest.Loopback, good)}}
			for range 2 {
				addrs, _, err := c.lookup(within(t, 12*time.Second), "a.test")
				if err != nil || !slices.Equal(addrs, []netip.Addr{netip.MustParseAddr("127.0.0.1")}) {
					t.Fatalf("%v, %v; want what the second server says", addrs, err)
				}
				if c.good.Load() != 1 {
					t.Error("the server that answered last is not asked first")
				}
			}
			c.servers = c.servers[:1]
			c.good.Store(0)
			addrs, _, err := c.lookup(within(t, 6*time.Second), "a.test")
			if err == nil || !strings.HasPrefix(err.Error(), first.String()+": ") {
				t.Errorf("%v, %v; want an error of the only server", addrs, err)
			}
			if silent := what == "silent" || what == "lying"; errors.Is(err, errSilent) != silent {
				t.Errorf("error %v", err)
			}
		})
	}
}

// If the server does not answer for one address family, the addresses of the other do not wait until the lookup's time is over.
func TestClientDoesNotWaitForAFamily(t *testing.T) {
	t.Parallel()
	at := enginetest.NameServer(t, enginetest.Loopback, func(q []byte, _ bool) [][]byte {
		if kindOf(q) == dnsmessage.TypeA {
			return addressed(1)(q, false)
		}
		return nil
	})
	ctx := within(t, 20*time.Second) // as long as all tries would take
	addrs, ttl, err := (&client{search: []string{}, servers: slices.Repeat([]netip.AddrPort{at}, 5)}).lookup(ctx, "a.test")
	if err != nil || len(addrs) != 1 || ttl != 30*time.Second {
		t.Errorf("%v for %v, %v; want the address of one family", addrs, ttl, err)
	}
	if ctx.Err() != nil {
		t.Error("all the time was used up")
	}
}

// spy is a server that records the source ports and ids of queries.
type spy struct {
	mu    sync.Mutex
	ports map[int]int
	ids   map[uint16]int
}

// Each query has its own random id and port. An answer from another address is ignored, even if it has both right.
func TestClientIsHardToDeceive(t *testing.T) {
	t.Parallel()
	listen := func() net.PacketConn {
		u, err := net.ListenPacket("udp4", enginetest.Loopback)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { u.Close() })
		return u
	}
	server, stranger := listen(), listen()
	s := spy{ports: map[int]int{}, ids: map[uint16]int{}}
	go func() {
		b := make([]byte, 4096)
		for {
			n, from, err := server.ReadFrom(b)
			if err != nil {
				return
			}
			q := slices.Clone(b[:n])
			s.mu.Lock()
			s.ports[from.(*net.UDPAddr).Port]++
			s.ids[binary.BigEndian.Uint16(q)]++
			s.mu.Unlock()
			_, _ = stranger.WriteTo(answering(q, nil, aRecord(nameOf(q), 300, 66)), from)
			_, _ = server.WriteTo(addressed(1)(q, false)[0], from)
		}
	}()
	c := &client{search: []string{}, servers: []netip.AddrPort{server.LocalAddr().(*net.UDPAddr).AddrPort()}}
	const times = 50
	for range times {
		addrs, _, err := c.lookup(within(t, 30*time.Second), "a.test")
		if err != nil || len(addrs) != 1 || addrs[0] != netip.MustParseAddr("127.0.0.1") {
			t.Fatalf("%v, %v; want what the server says", addrs, err)
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.ports) < times/2 || len(s.ids) < times/2 {
		t.Errorf("%d lookups came from %d ports with %d ids", times, len(s.ports), len(s.ids))
	}
	if s.ids[0] == 2*times {
		t.Error("ids are always 0")
	}
}

func TestReadResolvConf(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"":                                      "[127.0.0.1:53] []",
		"nameserver 10.0.0.1\nnameserver ::1\n": "[10.0.0.1:53 [::1]:53] []",
		"nameserver fe80::1%eth0":               "[[fe80::1%eth0]:53] []",
		"nameserver a.test\nnameserver\nsearch\n":                                        "[127.0.0.1:53] []",
		"domain a.test b.test # no":                                                      "[127.0.0.1:53] [a.test]",
		"domain a.test\n search b.test\tc.test. . ; no\n#search d.test\noptions ndots:5": "[127.0.0.1:53] [b.test c.test.]",
	} {
		servers, search := readResolvConf(text)
		if got := fmt.Sprint(servers, search); got != want {
			t.Errorf("%q: %s, want %s", text, got, want)
		}
	}
}

func TestCandidates(t *testing.T) {
	t.Parallel()
	search := []string{"corp.example", ".b.example."}
	for name, want := range map[string]string{
		"db":             "db.corp.example. db.b.example. db.",
		"db.west":        "db.west. db.west.corp.example. db.west.b.example.",
		"db.":            "db.",
		"db.example.":    "db.example.",
		"_api._tcp.west": "_api._tcp.west. _api._tcp.west.corp.example. _api._tcp.west.b.example.",
	} {
		if got := strings.Join(candidates(name, search), " "); got != want {
			t.Errorf("%s: %s, want %s", name, got, want)
		}
	}
	if got := candidates("db", nil); !slices.Equal(got, []string{"db."}) {
		t.Errorf("without a list: %v", got)
	}
}

// The search list continues after a name that does not exist, but not after one whose existence is unknown.
func TestClientSearches(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	var asked []string
	at := enginetest.NameServer(t, enginetest.Loopback, func(q []byte, _ bool) [][]byte {
		name := nameOf(q)
		if kindOf(q) == dnsmessage.TypeA {
			mu.Lock()
			asked = append(asked, name)
			mu.Unlock()
		}
		switch {
		case strings.HasPrefix(name, "sick."):
			return coded(dnsmessage.RCodeServerFailure)(q, false)
		case strings.HasSuffix(name, ".b.test."):
			return addressed(2)(q, false)
		case strings.HasSuffix(name, ".a.test."):
			return coded(dnsmessage.RCodeSuccess)(q, false)
		}
		return coded(dnsmessage.RCodeNameError)(q, false)
	})
	c := &client{search: []string{}, servers: []netip.AddrPort{at}}
	c.search = []string{"a.test", "b.test"}
	for name, want := range map[string]struct{ asked, err string }{
		"db":                    {"db.a.test. db.b.test.", ""},
		"x.y":                   {"x.y. x.y.a.test. x.y.b.test.", ""},
		"nobody.zz.":            {"nobody.zz.", "there is no such name"},
		"sick":                  {"sick.a.test.", "SERVFAIL"},
		strings.Repeat("a", 70): {"", "this name cannot be queried"},
	} {
		mu.Lock()
		asked = nil
		mu.Unlock()
		addrs, _, err := c.lookup(within(t, 30*time.Second), name)
		if (err == nil) != (want.err == "") || err != nil && !strings.Contains(err.Error(), want.err) || err == nil && len(addrs) != 1 {
			t.Errorf("%s: %v, %v; want error %q", name, addrs, err, want.err)
		}
		mu.Lock()
		// A server that stands still is asked twice.
		if got := strings.Join(slices.Compact(asked), " "); got != want.asked {
			t.Errorf("%s: asked for %s, want %s", name, got, want.asked)
		}
		mu.Unlock()
	}
}

// A name in /etc/hosts needs no server.
func TestClientReadsFiles(t *testing.T) {
	t.Parallel()
	c := &client{search: []string{}, servers: []netip.AddrPort{enginetest.NameServer(t, enginetest.Loopback, addressed(9))}}
	addrs, ttl, err := c.lookup(within(t, 30*time.Second), "localhost")
	if err != nil || ttl != UnknownTTL || !slices.ContainsFunc(normalize(addrs), netip.Addr.IsLoopback) {
		t.Skipf("this machine's files do not know localhost: %v, %v", addrs, err)
	}
}

func srv(name string, ttl uint32, priority, weight, port uint16, target string) dnsmessage.Resource {
	return record(name, ttl, &dnsmessage.SRVResource{Priority: priority, Weight: weight, Port: port, Target: dnsmessage.MustNewName(target)})
}

// Services are found by the client's own queries, and by Go's resolver with their TTL.
func TestLookupService(t *testing.T) {
	t.Parallel()
	const name = "_api._tcp.test."
	at := enginetest.NameServer(t, enginetest.Loopback, func(q []byte, _ bool) [][]byte {
		if kindOf(q) != dnsmessage.TypeSRV || !strings.EqualFold(nameOf(q), name) {
			return coded(dnsmessage.RCodeNameError)(q, false)
		}
		return one(answering(q, nil, srv(name, 40, 10, 5, 8080, "b.test."), srv(name, 20, 0, 0, 80, "A.test.")))
	})
	want := []Target{{Name: "a.test", Port: 80}, {Name: "b.test", Port: 8080, Priority: 10, Weight: 5}}
	var w ttlWatch
	system := &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
		return w.dial(ctx, network, at.String())
	}}
	for what, lookup := range map[string]func(ctx context.Context, name string) ([]Target, time.Duration, error){
		"own": (&client{search: []string{}, servers: []netip.AddrPort{at}}).service,
		"system": func(ctx context.Context, name string) ([]Target, time.Duration, error) {
			return lookupServiceBy(ctx, name, &w, system)
		},
	} {
		targets, ttl, err := lookup(within(t, 30*time.Second), strings.TrimSuffix(name, "."))
		targets, refused := arrange(targets)
		if err != nil || ttl != 20*time.Second || !slices.Equal(targets, want) || refused != nil {
			t.Errorf("%s: %v for %v, %v; want %v for 20s", what, targets, ttl, err, want)
		}
		if targets, _, err := lookup(within(t, 30*time.Second), "_none._tcp.test"); err == nil {
			t.Errorf("%s: a service that does not exist has %v", what, targets)
		}
	}
}

func TestReadAnswer(t *testing.T) {
	t.Parallel()
	const name = "a.test."
	q := query(7, name, dnsmessage.TypeA)
	alias := func(from, to string, ttl uint32) dnsmessage.Resource {
		return record(from, ttl, &dnsmessage.CNAMEResource{CNAME: dnsmessage.MustNewName(to)})
	}
	var chain []dnsmessage.Resource
	for i := range 20 {
		chain = append(chain, alias(fmt.Sprintf("%d.test.", i), fmt.Sprintf("%d.test.", i+1), 9))
	}
	chaos := aRecord(name, 9, 1)
	chaos.Header.Class = dnsmessage.ClassCHAOS
	for what, c := range map[string]struct {
		records []dnsmessage.Resource
		want    string
	}{
		"nothing":            {nil, "[] 4294967295"},
		"own":                {[]dnsmessage.Resource{aRecord(name, 9, 1), aRecord("A.Test.", 8, 2)}, "[127.0.0.1 127.0.0.2] 8"},
		"another's":          {[]dnsmessage.Resource{aRecord("b.test.", 9, 1)}, "[] 4294967295"},
		"another class":      {[]dnsmessage.Resource{chaos}, "[] 4294967295"},
		"alias":              {[]dnsmessage.Resource{alias(name, "b.test.", 5), aRecord("b.test.", 9, 1), aRecord("c.test.", 1, 2)}, "[127.0.0.1] 5"},
		"aliases, backwards": {[]dnsmessage.Resource{aRecord("c.test.", 9, 1), alias("b.test.", "c.test.", 6), alias(name, "B.test.", 7)}, "[127.0.0.1] 6"},
		"in a circle":        {[]dnsmessage.Resource{alias(name, "b.test.", 5), alias("b.test.", name, 5), aRecord("c.test.", 9, 1)}, "[] 5"},
		"too long a chain":   {append([]dnsmessage.Resource{alias(name, "0.test.", 9), aRecord("20.test.", 9, 1)}, chain...), "[] 9"},
		"TTL beyond bounds":  {[]dnsmessage.Resource{aRecord(name, 1<<31, 1)}, "[127.0.0.1] 0"},
		"other kinds":        {[]dnsmessage.Resource{record(name, 1, &dnsmessage.TXTResource{TXT: []string{"x"}}), record(name, 1, &dnsmessage.AAAAResource{}), aRecord(name, 9, 1)}, "[127.0.0.1] 9"},
	} {
		f, err := readAnswer(answering(q, nil, c.records...))
		if got := fmt.Sprint(f.addrs, int64(f.ttl/time.Second)); err != nil || got != c.want {
			t.Errorf("%s: %s, %v; want %s", what, got, err, c.want)
		}
	}
	good := answering(q, nil, aRecord(name, 9, 1), aRecord(name, 9, 2))
	for i := range good {
		if f, err := readAnswer(good[:i]); err == nil {
			t.Errorf("cut behind %d bytes: %v", i, f)
		}
	}
}

// FuzzReadAnswer compares readAnswer, for any message, with a simple evaluation of dnsmessage's result.
func FuzzReadAnswer(f *testing.F) {
	const name = "a.test."
	alias := record(name, 5, &dnsmessage.CNAMEResource{CNAME: dnsmessage.MustNewName("b.test.")})
	for _, kind := range []dnsmessage.Type{dnsmessage.TypeA, dnsmessage.TypeAAAA, dnsmessage.TypeSRV, dnsmessage.TypeCNAME} {
		q := query(7, name, kind)
		f.Add(answering(q, nil, alias, aRecord("b.test.", 10, 1), record("B.test.", 3, &dnsmessage.AAAAResource{}), srv("b.test.", 1<<31, 1, 2, 3, ".")))
		f.Add(answering(q, nil, aRecord(name, 10, 1), srv(name, 4, 1, 2, 3, "c.test."), record(name, 1, &dnsmessage.TXTResource{TXT: []string{"x"}})))
		f.Add(q)
	}
	f.Fuzz(func(t *testing.T, message []byte) {
		got, err := readAnswer(message)
		var m dnsmessage.Message
		if m.Unpack(message) != nil || len(m.Questions) == 0 || !evenLengths(message, m.Answers) {
			return
		}
		if err != nil {
			t.Fatalf("dnsmessage can read it: %v", err)
		}
		if want := readSimply(&m); !slices.Equal(got.addrs, want.addrs) || !slices.Equal(got.targets, want.targets) || got.ttl != want.ttl {
			t.Errorf("%+v, want %+v", got, want)
		}
	})
}

// evenLengths reports whether the answers of a message begin at the same offsets by their stated lengths and by their content:
// Unpack does not check the stated lengths.
func evenLengths(message []byte, answers []dnsmessage.Resource) bool {
	var p dnsmessage.Parser
	if _, err := p.Start(message); err != nil || p.SkipAllQuestions() != nil {
		return false
	}
	for _, r := range answers {
		if h, err := p.AnswerHeader(); err != nil || h != r.Header || p.SkipAnswer() != nil {
			return false
		}
	}
	return true
}

// readSimply is readAnswer for an unpacked message. It shares no code with it.
func readSimply(m *dnsmessage.Message) found {
	asked := m.Questions[0]
	name, lowest := asked.Name, uint32(1<<32-1)
	lower := func(n dnsmessage.Name) string { // ASCII only, RFC 4343 section 3
		text := n.String()
		for c := byte('A'); c <= 'Z'; c++ {
			text = strings.ReplaceAll(text, string(rune(c)), string(rune(c|0x20)))
		}
		return text
	}
	ttl := func(r dnsmessage.Resource) uint32 { // RFC 2181 section 8
		if int32(r.Header.TTL) < 0 {
			return 0
		}
		return r.Header.TTL
	}
	is := func(r dnsmessage.Resource, kind dnsmessage.Type) bool {
		return r.Header.Type == kind && r.Header.Class == asked.Class && lower(r.Header.Name) == lower(name)
	}
	for range 16 {
		i := slices.IndexFunc(m.Answers, func(r dnsmessage.Resource) bool { return is(r, dnsmessage.TypeCNAME) })
		if i < 0 {
			break
		}
		lowest = min(lowest, ttl(m.Answers[i]))
		name = m.Answers[i].Body.(*dnsmessage.CNAMEResource).CNAME
	}
	var f found
	for _, r := range m.Answers {
		if !is(r, asked.Type) || asked.Type == dnsmessage.TypeCNAME {
			continue
		}
		lowest = min(lowest, ttl(r))
		switch b := r.Body.(type) {
		case *dnsmessage.AResource:
			f.addrs = append(f.addrs, netip.AddrFrom4(b.A))
		case *dnsmessage.AAAAResource:
			f.addrs = append(f.addrs, netip.AddrFrom16(b.AAAA))
		case *dnsmessage.SRVResource:
			f.targets = append(f.targets, Target{Name: strings.TrimSuffix(b.Target.String(), "."), Port: b.Port, Priority: b.Priority, Weight: b.Weight})
		}
	}
	f.ttl = time.Duration(lowest) * time.Second
	return f
}
