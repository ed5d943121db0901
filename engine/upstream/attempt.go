package upstream

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/netip"
	"time"

	"golang.org/x/sys/unix"

	"kroxy-ev/balance"
	"kroxy-ev/engine"
	"kroxy-ev/engine/metrics"
	"kroxy-ev/engine/proxyproto"
	"kroxy-ev/engine/tlsconn"
)

// Owner is told the outcome of an attempt.
type Owner interface {
	engine.Handler
	// Connected is called once, on the loop, unless the attempt is cancelled before: with nil when the connection
	// stands, is writable, and has the owner as its handler; or with the reason why no host could be reached, the
	// connection being closed and no lease held. It may be called before Connector.Connect or Acquire returns.
	Connected(err error)
	// Ends are the addresses of the client that the connection is for, and of where it came; not valid if there is none. It is
	// asked for groups that tell their hosts in a PROXY header.
	Ends() (client, local netip.AddrPort)
}

// Connector is where one loop's connections to hosts come from.
type Connector struct {
	loop    *engine.Loop
	row     int
	metrics *metrics.Row
	tls     *tlsconn.Handshaker
	log     *slog.Logger

	multiplexer Multiplexer
	sessions    []*shared // all

	groups *Groups
	pools  map[*Group]*pool // of groups, those that connections were acquired for
	kept   int              // idle connections in pools
	busy   int              // connections in use, of those groups for which demand is counted
	others []func() int     // how many connections that are of no pool are in use

	watches []*Watch // for chains, of each codec
	probes  []*probe // that are on their way

	queues          map[int]*queue // by balance.Group.ID
	waiting         int            // attempts in queues
	granted, passed []granted      // that are to go on; memory for the next of them
	proceed         func()         // goOn

	freeAttempts engine.FreeList[Attempt]
	freeConns    engine.FreeList[Conn]
	freeShared   engine.FreeList[shared]
}

// NewConnector makes a connector for loop, which counts its leases in the given row, and what it does in m; nil if nobody wants to know. It makes handshakes with hosts that
// speak TLS by tls, which may be nil where there are none. What people should know of hosts is logged to log. No connection is
// kept idle before Swap. Close it before the loop.
func NewConnector(loop *engine.Loop, row int, m *metrics.Row, tls *tlsconn.Handshaker, log *slog.Logger) *Connector {
	if m == nil {
		m = metrics.NewRow()
	}
	k := &Connector{
		loop: loop, row: row, metrics: m, tls: tls, log: log, groups: NewGroups(nil, 0, 0), pools: make(map[*Group]*pool), queues: make(map[int]*queue),
	}
	k.proceed = k.goOn
	loop.WhenShort(k.giveUp)
	return k
}

// attemptState is what an attempt is at.
type attemptState uint8

const (
	attemptChoosing   attemptState = iota // a host is being chosen
	attemptQueued                         // it waits for a place at a host
	attemptGranted                        // it has left the queue, or the line, and goes on behind this batch of events
	attemptBackOff                        // it waits before it goes after another host than that which has failed
	attemptHeld                           // by Connector.admit
	attemptLine                           // it waits for a connection to the host that others make, or use
	attemptResolving                      // the host's name
	attemptConnecting                     // to one of the host's addresses
)

func (s attemptState) String() string {
	return [...]string{"choosing", "queued", "granted", "backing off", "held", "in line", "resolving", "connecting"}[s]
}

// Attempt is one connection's way to a host. It exists only until the outcome is known.
type Attempt struct {
	connector *Connector
	owner     Owner
	group     *Group
	conn      *engine.Conn
	lease     *balance.Lease
	trace     *Trace
	key       []byte // a copy
	prefer    int    // the host that its client is to stay with; -1 for none
	prompt    bool
	alone     bool // only the leased host is tried, and nobody waits for it: it is a probe

	claim *Claim // that it is made for; nil for Connect and for a probe
	made  *Conn  // of which conn is a part, then
	reuse bool   // an idle connection will do

	share  share   // its part in the connections that are shared
	shared *shared // that it makes, once the connection stands
	broken error   // why that was closed; it goes on in attemptGranted
	agreed bool    // the host has agreed on HTTP/2

	tried    *balance.Tried // the owner's, or own
	own      balance.Tried
	list     []netip.Addr   // memory for addrs
	addrs    []netip.Addr   // of the leased host, those not yet tried
	addr     netip.AddrPort // being connected to
	deadline int64          // for connecting, on the loop's clock
	dialled  int64          // when the current address was, in ns on the loop's clock
	hostEnd  int64          // for the leased host, likewise, if there is a bound to that
	since    int64          // when the state, or the wait for the current address, began
	cancel   func()         // stops the wait for a name
	tls      *tlsconn.Handshake
	serial   uint64 // tells a late answer of the resolver from one for this use of the struct
	timer    engine.Timer
	last     error
	verdict  verdict
	state    attemptState
	place    queued // in attemptQueued
}

// Connect begins to bring conn, which is closed, to a host of g. The
// lease of the host that is reached is put into lease, which the owner gives back by Release. What is tried is noted in trace. Key is what
// balancers choose by that want one. Prompt says that the owner has bytes to
// send at once, see engine.Loop.Dial. The returned attempt is valid until Connected is called or Cancel has been; it is
// nil if Connected was called already.
func (k *Connector) Connect(g *Group, conn *engine.Conn, lease *balance.Lease, trace *Trace, key []byte, prompt bool, owner Owner) *Attempt {
	a := k.attempt(g, conn, lease, trace, key, owner)
	a.prompt = prompt
	serial := a.serial
	if k.isQueued(g) && a.isPlain() {
		a.join()
	} else {
		a.nextHost()
	}
	if a.serial != serial {
		return nil
	}
	return a
}

// attempt makes an attempt that has not begun.
func (k *Connector) attempt(g *Group, conn *engine.Conn, lease *balance.Lease, trace *Trace, key []byte, owner Owner) *Attempt {
	a := k.freeAttempts.Get()
	if a == nil {
		a = &Attempt{connector: k}
		a.tried = &a.own
		a.timer.Handler = a
	}
	a.owner, a.group, a.conn, a.lease, a.trace = owner, g, conn, lease, trace
	a.key, a.prefer = append(a.key[:0], key...), -1
	a.deadline = engine.Never
	if g.ConnectTimeout > 0 {
		a.deadline = k.loop.Now() + g.ConnectTimeout.Milliseconds()
	}
	return a
}

// Cancel gives the attempt up: the connection is closed and the lease released, and Connected is not called.
func (a *Attempt) Cancel() {
	k, g, lease := a.connector, a.group, a.lease
	a.close()
	var waited int64
	if a.state == attemptConnecting {
		waited = k.loop.Now() - a.since
	}
	a.verdict = verdict{} // that it leaves says nothing to others
	if !a.alone && waited >= impatience {
		k.probe(g, lease.Host()) // while it is held: a host that nobody holds may be another one in a moment
	}
	a.recycle()
	k.Release(g, lease, Report{Outcome: balance.Outcome{Class: balance.Unused, Latency: time.Duration(waited) * time.Millisecond}})
}

// Queued reports whether the attempt waits for a place at a host.
func (a *Attempt) Queued() bool { return a.state == attemptQueued }

// close closes the connection to the current address.
func (a *Attempt) close() {
	if a.tls != nil {
		a.tls.Cancel()
		a.tls = nil
	}
	if a.shared != nil {
		a.shared.giveUp()
	}
	a.conn.Close()
}

// recycle makes the attempt ready for another use.
func (a *Attempt) recycle() {
	if a.cancel != nil {
		a.cancel()
	}
	if a.place.queue != nil {
		a.place.queue.leave(a)
	}
	a.withdraw()
	if a.claim != nil {
		a.claim.attempt = nil
	}
	if a.made != nil {
		a.made.pool.discard(a.made)
	}
	k := a.connector
	k.loop.Disarm(&a.timer)
	a.serial++
	a.own.Clear()
	a.tried, a.claim, a.made, a.reuse = &a.own, nil, nil, false
	a.owner, a.group, a.conn, a.lease, a.trace, a.addrs, a.cancel, a.last = nil, nil, nil, nil, nil, nil, nil, nil
	a.prompt, a.alone, a.agreed, a.broken, a.verdict, a.state = false, false, false, nil, verdict{}, attemptChoosing
	k.freeAttempts.Put(a)
}

// end reports the outcome to the owner.
func (a *Attempt) end(err error) {
	owner := a.owner
	a.recycle()
	owner.Connected(err)
}

// nextHost leases the next host and goes after it.
func (a *Attempt) nextHost() {
	a.withdraw()
	a.state = attemptChoosing
	switch {
	case a.alone || a.last != nil && a.group.KeepHost:
		a.fail()
	case a.choose():
		a.follow()
	case a.tried.Full():
		a.join()
	default:
		if a.last == nil {
			a.last = ErrNoHost
		}
		a.fail()
	}
}

// choose leases a host: that which the client is to stay with, unless it cannot be had, or another. It reports whether there is one.
func (a *Attempt) choose() bool {
	k, g := a.connector, a.group
	if a.prefer >= 0 {
		if k.leaseHost(g, a.lease, a.prefer, a.tried) {
			return true
		}
		if a.tried.Full() && g.Queue.Size > 0 {
			return false // it is worth waiting for
		}
		a.prefer = -1
	}
	return k.Lease(g, a.lease, a.key, a.tried)
}

// follow takes a connection to the leased host that is there, or pursues it.
func (a *Attempt) follow() {
	promised := a.share.part == partPromised
	if a.reuse && a.share.part != partMaking && a.claim.reuse(a.made.pool, promised, a.owner) {
		a.end(nil)
		return
	}
	if promised { // and gone again: it goes back into the line, before the connection is taken for one that nobody needs
		a.share.of.promised--
		a.share = share{}
	}
	a.pursue()
}

// proceed goes on after a wait in a queue, or in line.
func (a *Attempt) proceed() {
	if err := a.broken; err != nil {
		a.broken = nil
		a.giveUpAddr(err)
		return
	}
	if a.lease.Held() {
		a.follow()
	} else {
		a.nextHost()
	}
}

// A retry waits for up to backOffBase ms, twice as long each further one, but no longer than backOffMax.
const backOffBase, backOffMax = 25, 250

// backOff has the attempt wait before it goes after the leased host, having gone on to another so often before.
func (a *Attempt) backOff(before int) {
	loop := a.connector.loop
	a.state, a.since = attemptBackOff, loop.Now()
	most := min(int64(backOffBase)<<min(before, 8), backOffMax)
	loop.Arm(&a.timer, a.since+rand.Int64N(most+1))
}

// fail ends the attempt for the last reason why a host was of no use.
func (a *Attempt) fail() {
	a.end(fmt.Errorf("upstream: while connecting to a host of %q: %w", a.group.Name, a.last))
}

// pursue goes after the leased host's addresses, unless others make a connection to it that will do.
func (a *Attempt) pursue() {
	a.verdict, a.trace.Host = verdict{}, a.host()
	if a.line() {
		return
	}
	k, held := a.connector, a.state == attemptHeld
	later, refused := k.admit(a.group, a.lease.Host())
	if later > 0 {
		a.state, a.since = attemptHeld, k.loop.Now()
		k.loop.Arm(&a.timer, later)
		return
	}
	if refused {
		a.last = ErrSuspect
		k.Release(a.group, a.lease, failed)
		if held {
			// It may be the end of a chain. Another host would answer through all of it, and keep it.
			a.fail()
			return
		}
		a.nextHost()
		return
	}
	if a.takeTurn() {
		a.nextAddr()
		return
	}
	a.wait()
}

// takeTurn has the leased host's addresses tried in their order for this attempt. It reports false if there are none yet.
func (a *Attempt) takeTurn() bool {
	if h := a.host(); h.Unix == "" {
		a.list = h.Name.Turn(a.list[:0])
	} else {
		a.list = append(a.list[:0], netip.Addr{}) // in the place of its one address
	}
	a.addrs = a.list
	a.hostEnd = a.connector.loop.Now() + a.group.HostTimeout.Milliseconds()
	return len(a.addrs) > 0
}

func (a *Attempt) host() *Host { return &a.group.Hosts[a.lease.Host()] }

// wait lets the resolver answer. Its answer comes on another goroutine and is posted to the loop.
func (a *Attempt) wait() {
	loop, serial := a.connector.loop, a.serial
	a.state, a.since = attemptResolving, loop.Now()
	host := a.lease.Host()
	a.cancel = a.host().Name.Wait(func(_ []netip.Addr, err error) {
		loop.Post(func() {
			if a.serial == serial && a.state == attemptResolving && a.lease.Host() == host {
				a.resolved(err)
			}
		})
	})
	if t := a.group.ResolveTimeout; t > 0 {
		loop.Arm(&a.timer, a.since+t.Milliseconds())
	}
}

// resolved goes on after wait.
func (a *Attempt) resolved(err error) {
	now := a.connector.loop.Now()
	a.stopWaiting(now)
	if errors.Is(err, context.DeadlineExceeded) { // the resolver's patience has ended before ours
		err = fmt.Errorf("%w: %w", ErrResolveTimeout, err)
	}
	if err != nil || !a.takeTurn() {
		a.unresolved(err)
		return
	}
	a.nextAddr()
}

// stopWaiting ends the wait for a name, or for being admitted.
func (a *Attempt) stopWaiting(now int64) {
	a.cancel = nil
	a.connector.loop.Disarm(&a.timer)
	a.excuse(now)
}

// excuse adds the time in which the attempt has waited to that which it has for connecting.
func (a *Attempt) excuse(now int64) {
	if a.deadline != engine.Never {
		a.deadline += now - a.since
	}
}

// nextAddr connects to the leased host's next address.
func (a *Attempt) nextAddr() {
	loop := a.connector.loop
	a.state = attemptConnecting
	for len(a.addrs) > 0 {
		if loop.Now() >= a.deadline {
			a.timedOut()
			return
		}
		a.since = loop.Now()
		a.addr, a.addrs = netip.AddrPortFrom(a.addrs[0], a.host().Port), a.addrs[1:]
		a.trace.dialled(a.addr)
		a.dialled = loop.Clock()
		if err := a.group.Self.LeadsBack(a.host(), a.addr); err != nil {
			a.addrFailed(err)
			continue
		}
		switch err := a.dial(); {
		case err == nil:
			if a.conn.Writable() && a.host().TLS == nil && a.group.ProxyProtocol == proxyproto.None {
				a.succeed()
				return
			}
			if end := a.patience(); end != engine.Never {
				loop.Arm(&a.timer, end)
			}
			if a.conn.Writable() {
				a.secure()
			}
			return
		case errors.Is(err, unix.EMFILE), errors.Is(err, unix.ENFILE):
			// Not the host's fault, and the next one would fare no better.
			a.connector.Release(a.group, a.lease, Report{})
			a.end(fmt.Errorf("upstream: while making a socket to connect to %s: %w", a.host().Label, err))
			return
		default:
			a.addrFailed(err)
		}
	}
	a.hostFailed()
}

// dial begins to connect to the current address, if need be with the descriptor of a connection that nobody uses.
func (a *Attempt) dial() error {
	err := a.tryDial()
	if errors.Is(err, unix.EMFILE) && !a.alone && a.connector.giveUp() {
		err = a.tryDial()
	}
	return err
}

func (a *Attempt) tryDial() error {
	loop := a.connector.loop
	if path := a.host().Unix; path != "" {
		return loop.DialUnix(a.conn, path, a)
	}
	err := loop.Dial(a.conn, a.addr, a.prompt, a)
	if every := a.group.TCPKeepalive; every > 0 && err == nil {
		a.conn.SetKeepalive(every)
	}
	return err
}

// patience is until when the current address is waited for. What is left of the time for connecting is shared with the
// addresses and hosts still to be tried, so that one that never answers leaves time for them; and a host gets no more than
// HostTimeout, unless it is the last one and LastTakesAll.
func (a *Attempt) patience() int64 {
	now, others := a.since, 0
	if !a.alone {
		others = a.group.Balance.Left(a.key, a.tried)
	}
	left, addrs := engine.Never-now, 1+len(a.addrs)
	if a.deadline != engine.Never {
		left = (a.deadline - now) / int64(addrs+others)
	}
	if a.group.HostTimeout > 0 && (a.alone || others > 0 || !a.group.LastTakesAll) {
		left = min(left, (a.hostEnd-now)/int64(addrs))
	}
	return now + max(left, 1)
}

// addrFailed notes why the current address is of no use.
func (a *Attempt) addrFailed(err error) { a.failed(a.addr, err) }

// hostFailed gives the leased host up and goes to the next.
func (a *Attempt) hostFailed() {
	a.unreachable()
	a.nextHost()
}

// unresolved gives the leased host up since its name means no address.
func (a *Attempt) unresolved(err error) {
	a.failed(netip.AddrPort{}, err)
	a.hostFailed()
}

// timedOut ends the attempt: the time for connecting is used up.
func (a *Attempt) timedOut() {
	a.unreachable()
	a.end(fmt.Errorf("upstream: while connecting to a host of %q: %w", a.group.Name, ErrConnectTimeout))
}

// Ready implements engine.Handler for the connection while it is being made.
func (a *Attempt) Ready(c *engine.Conn) {
	switch err := c.Connected(a.addr); {
	case err == nil:
		a.secure()
	case errors.Is(err, unix.EALREADY):
	default:
		a.giveUpAddr(err)
	}
}

// announce sends the host a PROXY header, the first bytes that it gets. They wait for more to share a segment with if there is
// some.
func (a *Attempt) announce() error {
	client, local := a.owner.Ends()
	p := proxyproto.Append(a.connector.loop.Scratch()[:0], a.group.ProxyProtocol, client, local)
	_, err := a.conn.RawWrite(p, a.prompt || a.host().TLS != nil)
	return err // a new connection has room for it
}

// secure goes on with a connection that stands: by a PROXY header if the host gets one, and a handshake if it speaks TLS.
func (a *Attempt) secure() {
	if a.group.ProxyProtocol != proxyproto.None {
		if err := a.announce(); err != nil {
			a.giveUpAddr(fmt.Errorf("while sending a PROXY header: %w", err))
			return
		}
	}
	t := a.host().TLS
	if t == nil {
		a.succeed()
		return
	}
	// Secured may have been called before this returns, and the attempt be over or with another host.
	if hs := a.connector.tls.Connect(a.conn, t, a.prompt, a); hs != nil {
		a.tls = hs
	}
}

// Secured implements tlsconn.Owner.
func (a *Attempt) Secured(s tlsconn.State, err error) {
	a.tls = nil
	a.agreed = s.Protocol == alpnHTTP2
	if err == nil && a.group.Protocol == HTTP2 && !a.agreed {
		err = errNoHTTP2
	}
	if err != nil {
		a.giveUpAddr(fmt.Errorf("%w: %w", ErrHandshake, err))
		return
	}
	a.succeed()
}

// succeed hands the connection to the owner, or makes a session of it first.
func (a *Attempt) succeed() {
	if sh := a.share.of; sh != nil {
		if a.agreed || a.group.Protocol == HTTP2 {
			a.begin()
			return
		}
		sh.alone = true
	}
	a.works()
	a.opened()
	a.conn.SetHandler(a.owner)
	if c := a.made; c != nil {
		c.index, c.addr, c.place = a.lease.Host(), a.addr, a.host().Place
		c.pool.begin(c)
		a.claim.Conn, a.made = c, nil
	}
	a.end(nil)
}

// works notes that the host serves, at the current address.
func (a *Attempt) works() {
	if a.addr.IsValid() {
		a.host().Name.Worked(a.addr.Addr())
	}
	a.reached()
}

// opened counts the connection, which stands.
func (a *Attempt) opened() {
	loop := a.connector.loop
	a.trace.connected(loop.Now())
	a.trace.Latency = time.Duration(loop.Clock() - a.dialled)
	host := a.connector.Host(a.group, a.lease.Host())
	host.Opened.Add(1)
	host.Open.Add(1)
	host.Connect.Observe(int64(a.trace.Latency))
}

// giveUpAddr closes the connection to the current address and tries the next.
func (a *Attempt) giveUpAddr(err error) {
	a.close()
	a.connector.loop.Disarm(&a.timer)
	a.addrFailed(err)
	a.nextAddr()
}

// Expired implements engine.Handler: the time for what the attempt is at is over.
func (a *Attempt) Expired(*engine.Timer) {
	switch a.state {
	case attemptQueued:
		a.last = ErrQueueTimeout
		a.fail()
	case attemptBackOff:
		now := a.connector.loop.Now()
		a.trace.Began += now - a.since // the wait is not the host's
		a.excuse(now)
		a.follow()
	case attemptHeld:
		a.stopWaiting(a.connector.loop.Now())
		a.pursue()
	case attemptLine:
		a.withdraw()
		a.missed(verdict{err: ErrConnectTimeout})
		a.nextHost()
	case attemptResolving:
		a.cancel()
		a.stopWaiting(a.connector.loop.Now())
		a.unresolved(ErrResolveTimeout)
	default:
		err := ErrConnectTimeout
		if a.tls != nil {
			err = fmt.Errorf("%w: %w", ErrConnectTimeout, tlsconn.ErrHandshakeTimeout)
		} else if a.shared != nil {
			err = fmt.Errorf("%w: %w", ErrSession, ErrConnectTimeout)
		}
		a.giveUpAddr(err)
	}
}
