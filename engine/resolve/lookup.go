package resolve

import (
	"context"
	"math"
	"net"
	"net/netip"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/net/dns/dnsmessage"
)

// UnknownTTL is the TTL of an answer that did not come from DNS.
const UnknownTTL time.Duration = -1

// Lookup finds IPv4 and IPv6 addresses with Go's own resolver, which uses /etc/hosts and resolv.conf in the order of
// nsswitch.conf. The TTL is the lowest of the DNS records, or UnknownTTL for a name in /etc/hosts. If a name has no answer
// this way, for whatever reason, Lookup falls back to the net package's default, which may use the C library: only that
// knows the other sources of nsswitch.conf (mDNS, LDAP and so on). Its answers have no TTL. Where the default is Go's own resolver again, name
// servers may answer this time, and the TTL is theirs.
func Lookup(ctx context.Context, name string) ([]netip.Addr, time.Duration, error) {
	var w, again ttlWatch
	return lookup(ctx, name, &w, &net.Resolver{PreferGo: true, Dial: w.dial}, &again, &net.Resolver{Dial: again.dial})
}

// lookup is Lookup with these resolvers; w watches own, and again watches system. If both fail, it returns the error of own.
func lookup(ctx context.Context, name string, w *ttlWatch, own *net.Resolver, again *ttlWatch, system *net.Resolver) ([]netip.Addr, time.Duration, error) {
	addrs, err := own.LookupNetIP(ctx, "ip", name)
	if err == nil {
		return addrs, w.ttl(), nil
	}
	if ctx.Err() == nil {
		if addrs, err := system.LookupNetIP(ctx, "ip", name); err == nil {
			return addrs, again.ttl(), nil
		}
	}
	return nil, UnknownTTL, err
}

// lookupService finds the targets of a service with Go's own resolver, as Lookup finds addresses. /etc/hosts and other sources have none.
func lookupService(ctx context.Context, name string) ([]Target, time.Duration, error) {
	var w ttlWatch
	return lookupServiceBy(ctx, name, &w, &net.Resolver{PreferGo: true, Dial: w.dial})
}

func lookupServiceBy(ctx context.Context, name string, w *ttlWatch, own *net.Resolver) ([]Target, time.Duration, error) {
	_, records, err := own.LookupSRV(ctx, "", "", name)
	if len(records) == 0 { // otherwise an error concerns only records that were left out
		return nil, UnknownTTL, err
	}
	var targets []Target
	for _, r := range records {
		targets = append(targets, Target{Name: strings.TrimSuffix(r.Target, "."), Port: r.Port, Priority: r.Priority, Weight: r.Weight})
	}
	return targets, w.ttl(), nil
}

// ttlWatch finds the lowest TTL of the answers that arrive on the connections that it dials, because Go's resolver does not return it. It
// is for one lookup, which may send several queries at once. The zero value has seen no answer.
type ttlWatch struct {
	lowest atomic.Int64 // in seconds, plus one; zero if none
}

func (w *ttlWatch) ttl() time.Duration {
	if lowest := w.lowest.Load(); lowest > 0 {
		return time.Duration(lowest-1) * time.Second
	}
	return UnknownTTL
}

// saw records the answer to a query.
func (w *ttlWatch) saw(query, answer []byte) {
	ttl, ok := lowestTTL(query, answer)
	if !ok {
		return
	}
	for {
		old := w.lowest.Load()
		if old != 0 && old <= int64(ttl)+1 || w.lowest.CompareAndSwap(old, int64(ttl)+1) {
			return
		}
	}
}

// dial implements net.Resolver.Dial.
func (w *ttlWatch) dial(ctx context.Context, network, address string) (net.Conn, error) {
	var d net.Dialer
	c, err := d.DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	if u, ok := c.(*net.UDPConn); ok {
		return &datagrams{UDPConn: u, watch: w}, nil
	}
	return &stream{Conn: c, watch: w}, nil
}

// datagrams is a connection for queries over UDP. It must be a net.PacketConn, by which the resolver recognizes UDP.
type datagrams struct {
	*net.UDPConn
	watch *ttlWatch
	query []byte
}

func (c *datagrams) Write(p []byte) (int, error) {
	c.query = append(c.query[:0], p...)
	return c.UDPConn.Write(p)
}

func (c *datagrams) Read(p []byte) (int, error) {
	n, err := c.UDPConn.Read(p)
	if err == nil && !truncated(p[:n]) { // the resolver then repeats the query over TCP
		c.watch.saw(c.query, p[:n])
	}
	return n, err
}

// stream is a connection for one query over TCP, where a two-byte length precedes each message (RFC 1035 section 4.2.2).
type stream struct {
	net.Conn
	watch *ttlWatch
	sent  []byte
	got   []byte // up to the end of the first message
}

// lengthSize is the size of the length before a message, in bytes.
const lengthSize = 2

func (c *stream) Write(p []byte) (int, error) {
	c.sent = append(c.sent, p...)
	return c.Conn.Write(p)
}

func (c *stream) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if _, done := firstMessage(c.got); !done {
		c.got = append(c.got, p[:n]...)
		if answer, done := firstMessage(c.got); done && len(c.sent) > lengthSize {
			c.watch.saw(c.sent[lengthSize:], answer)
		}
	}
	return n, err
}

// firstMessage returns the first message of a stream, if it is complete.
func firstMessage(b []byte) ([]byte, bool) {
	if len(b) < lengthSize {
		return nil, false
	}
	end := lengthSize + int(b[0])<<8 + int(b[1])
	if len(b) < end {
		return nil, false
	}
	return b[lengthSize:end], true
}

// truncated reports whether a DNS message says that it is truncated.
func truncated(message []byte) bool {
	var p dnsmessage.Parser
	h, err := p.Start(message)
	return err == nil && h.Truncated
}

// lowestTTL returns the lowest TTL, in seconds, of the addresses, services and aliases in a DNS message that answers query. For any other
// message, such as one forged by a third party, it returns false.
func lowestTTL(query, answer []byte) (ttl uint32, ok bool) {
	var q, p dnsmessage.Parser
	asked, err := q.Start(query)
	if err != nil {
		return 0, false
	}
	h, err := p.Start(answer)
	if err != nil || !h.Response || h.ID != asked.ID || h.RCode != dnsmessage.RCodeSuccess {
		return 0, false
	}
	want, err := q.Question()
	if err != nil {
		return 0, false
	}
	got, err := p.Question()
	if err != nil || !sameQuestion(got, want) {
		return 0, false
	}
	if p.SkipAllQuestions() != nil {
		return 0, false
	}
	ttl = math.MaxUint32
	for {
		r, err := p.AnswerHeader()
		if err != nil { // the end, or a malformed record
			return ttl, ok
		}
		switch r.Type {
		case dnsmessage.TypeA, dnsmessage.TypeAAAA, dnsmessage.TypeCNAME, dnsmessage.TypeSRV:
			ttl, ok = min(ttl, seconds(r.TTL)), true
		}
		if p.SkipAnswer() != nil {
			return ttl, ok
		}
	}
}

// seconds returns the effective TTL: with the highest bit set it is zero (RFC 2181 section 8).
func seconds(ttl uint32) uint32 {
	if ttl > math.MaxInt32 {
		return 0
	}
	return ttl
}
