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

// Owner is told the outcome of an attempt. It becomes the handler of the connection.
type Owner interface {
	engine.Handler
	// Connected is called once, on the loop, unless the attempt is cancelled first. A nil error means that the connection is
	// established and writable, and that the owner is its handler. Any other error says why no host could be reached; the connection
	// is then closed and no lease is held. Connected may be called before Connector.Connect or Acquire returns.
	Connected(err error)
	// Ends returns the client's address and the local address that the client connected to; both are invalid if the connection is for
	// no client. It is called only for groups that send their hosts a PROXY header.
	Ends() (client, local netip.AddrPort)
}

// Connector makes and keeps one loop's connections to hosts.
type Connector struct {
	loop    *engine.Loop
	row     int
	metrics *metrics.Row
	tls     *tlsconn.Handshaker
	log     *slog.Logger

	multiplexer Multiplexer
	sessions    []*shared // all sessions of this loop, in no particular order

	groups *Groups
	pools  map[*Group]*pool // of the groups of the current configuration that connections were acquired for
	kept   int              // idle connections in all pools
	busy   int              // connections in use, of the groups whose demand is counted
	others []func() int     // each returns how many connections outside the pools are in use

	watches []*Watch // one per codec
	probes  []*probe // in progress

	queues          map[int]*queue // by balance.Group.ID
	waiting         int            // attempts in queues
	granted, passed []granted      // attempts to be continued; the second is the memory for the next list
	proceed         func()         // continueGranted

	freeAttempts engine.FreeList[Attempt]
	freeConns    engine.FreeList[Conn]
	freeShared   engine.FreeList[shared]
}

// NewConnector makes a connector for loop. The connector counts its leases in the given row, and its metrics in m; m may be nil if nobody reads
// them. It makes TLS handshakes by tls, which may be nil if no host speaks TLS. It logs changes of hosts to log. It keeps no
// connection idle before the first Swap. Close it before the loop.
func NewConnector(loop *engine.Loop, row int, m *metrics.Row, tls *tlsconn.Handshaker, log *slog.Logger) *Connector {
	if m == nil {
		m = metrics.NewRow()
	}
	k := &Connector{
		loop: loop, row: row, metrics: m, tls: tls, log: log, groups: NewGroups(nil, 0, 0), pools: make(map[*Group]*pool), queues: make(map[int]*queue),
	}
	k.proceed = k.continueGranted
	loop.WhenShort(k.giveUp)
	return k
}

// attemptState is the current step of an attempt.
type attemptState uint8

const (
	attemptChoosing   attemptState = iota // a host is being chosen
	attemptQueued                         // waiting for a place at a host
	attemptGranted                        // has left the queue or the line; continues after this batch of events
	attemptBackOff                        // waiting before it tries the next host, because one has failed
	attemptHeld                           // delayed by Connector.admit
	attemptLine                           // waiting for a stream on a shared connection, see sharing
	attemptResolving                      // waiting for the addresses of the host's name
	attemptConnecting                     // connecting to one of the host's addresses
)

func (s attemptState) String() string {
	return [...]string{"choosing", "queued", "granted", "backing off", "held", "in line", "resolving", "connecting"}[s]
}

// Attempt is the search for a host for one connection. It exists only until the outcome is known.
type Attempt struct {
	connector *Connector
	owner     Owner
	group     *Group
	conn      *engine.Conn
	lease     *balance.Lease
	trace     *Trace
	key       []byte // a copy
	prefer    int    // index of the host that the client should stay with; -1 for none
	prompt    bool   // the owner has bytes to send at once
	alone     bool   // only the leased host is tried, and no client waits: a probe

	claim *Claim // the claim that the attempt belongs to; nil for Connect and for a probe
	made  *Conn  // the Conn that contains conn; nil without a claim
	reuse bool   // an idle or shared connection may be used

	share  share   // its place in the sharing of the host's connections
	shared *shared // the session that this attempt is making on its connection
	broken error   // why that session was closed; handled in attemptGranted
	agreed bool    // the host agreed on HTTP/2 (ALPN)

	tried    *balance.Tried // the owner's, or &own
	own      balance.Tried
	list     []netip.Addr   // memory for addrs
	addrs    []netip.Addr   // addresses of the leased host that are not tried yet
	addr     netip.AddrPort // the current address
	deadline int64          // for connecting, in ms on the loop's clock
	dialled  int64          // when dialling the current address began, in ns on the loop's clock
	hostEnd  int64          // deadline for the leased host, in ms, if it has a HostTimeout
	since    int64          // when the current state, or the wait for the current address, began
	cancel   func()         // stops the wait for a name
	tls      *tlsconn.Handshake
	serial   uint64 // changes with each use of the struct, so that a late answer of the resolver is recognized
	timer    engine.Timer
	last     error // the last error
	verdict  verdict
	state    attemptState
	place    queued // in the queue, in attemptQueued
}

// Connect begins to connect conn, which is closed, to a host of g. It puts the lease of the host into lease; the owner gives the
// lease back by Release. It notes in trace what was tried. Key is the key for balancers that choose by one. Prompt says that the
// owner has bytes to send at once, see engine.Loop.Dial. The returned attempt is valid until Connected has been called or Cancel
// has returned; it is nil if Connected was called already.
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

// attempt returns an attempt that has not begun.
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

// Cancel abandons the attempt. It closes the connection, releases the lease, and does not call Connected.
func (a *Attempt) Cancel() {
	k, g, lease := a.connector, a.group, a.lease
	a.close()
	var waited int64
	if a.state == attemptConnecting {
		waited = k.loop.Now() - a.since
	}
	a.verdict = verdict{} // a client that leaves is no evidence against the host
	if !a.alone && waited >= probeAfter {
		k.probe(g, lease.Host()) // before the lease is released: an index without a lease may soon mean another host
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

// recycle resets the attempt and returns it to the free list.
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

// nextHost leases the next host and connects to it, or ends the attempt if there is none.
func (a *Attempt) nextHost() {
	a.withdraw()
	a.state = attemptChoosing
	switch {
	case a.alone || a.last != nil && a.group.KeepHost:
		a.fail()
	case a.choose():
		a.useOrConnect()
	case a.tried.Full():
		a.join()
	default:
		if a.last == nil {
			a.last = ErrNoHost
		}
		a.fail()
	}
}

// choose leases a host: the preferred one if it can be had, otherwise any. It reports whether it has leased one.
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

// useOrConnect takes an idle or shared connection to the leased host, or makes one.
func (a *Attempt) useOrConnect() {
	promised := a.share.part == partPromised
	if a.reuse && a.share.part != partMaking && a.claim.reuse(a.made.pool, promised, a.owner) {
		a.end(nil)
		return
	}
	if promised { // but the stream is gone again. Back into the line, before the connection is taken for an unneeded one
		a.share.of.promised--
		a.share, a.claim.returned = share{}, true
	}
	a.startConnecting()
}

// proceed continues the attempt after a wait in a queue or in line.
func (a *Attempt) proceed() {
	if err := a.broken; err != nil {
		a.broken = nil
		a.giveUpAddr(err)
		return
	}
	if a.lease.Held() {
		a.useOrConnect()
	} else {
		a.nextHost()
	}
}

// The first retry waits for a random time of up to backOffBase ms; each further retry for up to twice as long, at most backOffMax.
const backOffBase, backOffMax = 25, 250

// backOff makes the attempt wait before it connects to the leased host. before is the number of earlier retries.
func (a *Attempt) backOff(before int) {
	loop := a.connector.loop
	a.state, a.since = attemptBackOff, loop.Now()
	most := min(int64(backOffBase)<<min(before, 8), backOffMax)
	loop.Arm(&a.timer, a.since+rand.Int64N(most+1))
}

// fail ends the attempt with the last error.
func (a *Attempt) fail() {
	a.end(fmt.Errorf("upstream: while connecting to a host of %q: %w", a.group.Name, a.last))
}

// startConnecting connects to the leased host, or waits in line if another attempt is already making a connection that both can share.
func (a *Attempt) startConnecting() {
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
			// This may be the last link of a chain. If another host answered, its answer would pass through all links and keep the chain alive.
			a.fail()
			return
		}
		a.nextHost()
		return
	}
	if a.nextOrder() {
		a.nextAddr()
		return
	}
	a.wait()
}

// nextOrder sets the leased host's addresses, in the order in which this attempt is to try them. It reports whether there are any.
func (a *Attempt) nextOrder() bool {
	if h := a.host(); h.Unix == "" {
		a.list = h.Name.Turn(a.list[:0])
	} else {
		a.list = append(a.list[:0], netip.Addr{}) // a placeholder: a unix socket counts as one address
	}
	a.addrs = a.list
	a.hostEnd = a.connector.loop.Now() + a.group.HostTimeout.Milliseconds()
	return len(a.addrs) > 0
}

func (a *Attempt) host() *Host { return &a.group.Hosts[a.lease.Host()] }

// wait waits for the resolver's answer, which arrives on another goroutine and is posted to the loop.
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

// resolved continues after wait.
func (a *Attempt) resolved(err error) {
	now := a.connector.loop.Now()
	a.stopWaiting(now)
	if errors.Is(err, context.DeadlineExceeded) { // the resolver's timeout came before ours
		err = fmt.Errorf("%w: %w", ErrResolveTimeout, err)
	}
	if err != nil || !a.nextOrder() {
		a.unresolved(err)
		return
	}
	a.nextAddr()
}

// stopWaiting ends the wait for a name or for admit.
func (a *Attempt) stopWaiting(now int64) {
	a.cancel = nil
	a.connector.loop.Disarm(&a.timer)
	a.extendDeadline(now)
}

// extendDeadline extends the deadline by the time since a.since, because waiting does not count as connecting.
func (a *Attempt) extendDeadline(now int64) {
	if a.deadline != engine.Never {
		a.deadline += now - a.since
	}
}

// nextAddr connects to the leased host's next address. If none is left, it gives the host up.
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
			if end := a.addrDeadline(); end != engine.Never {
				loop.Arm(&a.timer, end)
			}
			if a.conn.Writable() {
				a.secure()
			}
			return
		case errors.Is(err, unix.EMFILE), errors.Is(err, unix.ENFILE):
			// Not the host's fault, and the next host would fare no better.
			a.connector.Release(a.group, a.lease, Report{})
			a.end(fmt.Errorf("upstream: while making a socket to connect to %s: %w", a.host().Label, err))
			return
		default:
			a.addrFailed(err)
		}
	}
	a.hostFailed()
}

// dial begins to connect to the current address. If there is no free descriptor, it closes idle connections and tries again.
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

// addrDeadline returns the deadline for the current address. The remaining time for connecting is divided among the addresses and
// hosts still to be tried, so that an address that never answers leaves time for the others. A host gets no more than
// HostTimeout, unless it is the last one and LastTakesAll is set.
func (a *Attempt) addrDeadline() int64 {
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

// addrFailed notes why the current address could not be connected to.
func (a *Attempt) addrFailed(err error) { a.failed(a.addr, err) }

// hostFailed reports the leased host as unreachable and goes to the next.
func (a *Attempt) hostFailed() {
	a.unreachable()
	a.nextHost()
}

// unresolved gives the leased host up because its name has no address.
func (a *Attempt) unresolved(err error) {
	a.failed(netip.AddrPort{}, err)
	a.hostFailed()
}

// timedOut ends the attempt because the time for connecting is used up.
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

// sendProxyHeader sends the host a PROXY header as the first bytes of the connection. If more bytes follow at once, the header is held back to
// share a segment with them.
func (a *Attempt) sendProxyHeader() error {
	client, local := a.owner.Ends()
	p := proxyproto.Append(a.connector.loop.Scratch()[:0], a.group.ProxyProtocol, client, local)
	_, err := a.conn.RawWrite(p, a.prompt || a.host().TLS != nil)
	return err // a new connection has room for it
}

// secure continues once the connection is established: it sends a PROXY header if the group has one, and begins a TLS handshake if the host speaks TLS.
func (a *Attempt) secure() {
	if a.group.ProxyProtocol != proxyproto.None {
		if err := a.sendProxyHeader(); err != nil {
			a.giveUpAddr(fmt.Errorf("while sending a PROXY header: %w", err))
			return
		}
	}
	t := a.host().TLS
	if t == nil {
		a.succeed()
		return
	}
	// Connect may call Secured before it returns; it returns nil then, and the attempt may have ended or moved to another host.
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

// succeed hands the connection to the owner. If the host speaks HTTP/2, it first makes a session of the connection.
func (a *Attempt) succeed() {
	if sh := a.share.of; sh != nil {
		if a.agreed || a.group.Protocol == HTTP2 {
			a.begin()
			return
		}
		sh.alone = true
	}
	a.noteReachable()
	a.opened()
	a.conn.SetHandler(a.owner)
	if c := a.made; c != nil {
		c.index, c.addr, c.place = a.lease.Host(), a.addr, a.host().Place
		c.pool.begin(c)
		a.claim.Conn, a.made = c, nil
	}
	a.end(nil)
}

// noteReachable notes that the host is reachable at the current address.
func (a *Attempt) noteReachable() {
	if a.addr.IsValid() {
		a.host().Name.Worked(a.addr.Addr())
	}
	a.reached()
}

// opened counts the established connection.
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

// Expired implements engine.Handler: the time for the current state is over.
func (a *Attempt) Expired(*engine.Timer) {
	switch a.state {
	case attemptQueued:
		a.last = ErrQueueTimeout
		a.fail()
	case attemptBackOff:
		now := a.connector.loop.Now()
		a.trace.Began += now - a.since // the wait is not the host's fault
		a.extendDeadline(now)
		a.useOrConnect()
	case attemptHeld:
		a.stopWaiting(a.connector.loop.Now())
		a.startConnecting()
	case attemptLine:
		a.withdraw()
		a.releaseMissed(verdict{err: ErrConnectTimeout})
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
