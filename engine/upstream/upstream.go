// Package upstream brings a connection to a host of an upstream group: it leases a host and takes an idle connection to it, or
// waits for its name to be resolved and connects, by TLS if the host wants that, and goes on to the next host when that fails,
// all within the loop and within the time allowed.
//
// It does not choose (package balance does), look names up (package resolve does), or speak any protocol.
package upstream

import (
	"errors"
	"fmt"
	"net"
	"strconv"
	"time"

	"kroxy-ev/balance"
	"kroxy-ev/engine/metrics"
	"kroxy-ev/engine/proxyproto"
	"kroxy-ev/engine/resolve"
	"kroxy-ev/engine/tlsconn"
	"kroxy-ev/logformat"
)

// Errors with which an attempt ends; Is-able through what wraps them.
var (
	// ErrNoHost means that the group has no host to offer.
	ErrNoHost = errors.New("no host to try")
	// ErrFull means that each host has as many clients as it may have, and that the group has no queue.
	ErrFull = errors.New("every host has as many connections as it may have (max_conns)")
	// ErrQueueFull means that as many wait already as may, and ErrQueueTimeout that no host had a place in time.
	ErrQueueFull    = errors.New("every host has as many connections as it may have (max_conns), and the queue is full")
	ErrQueueTimeout = errors.New("no host had a place in time (queue.timeout)")
	// ErrConnectTimeout means that no host accepted the connection in time.
	ErrConnectTimeout = errors.New("connecting timed out")
	// ErrResolveTimeout means that a host's name was not resolved in time.
	ErrResolveTimeout = errors.New("resolving the name timed out")
	// ErrLoop means that a connection to the host would come back to this proxy.
	ErrLoop = errors.New("the host leads back to this proxy")
	// ErrSuspect means that the host is not connected to for a while: see Watch.Crowded.
	ErrSuspect = errors.New("the host answers none of its clients and may lead back to this proxy; new connections to it are refused for a while")
)

// These say why an address is not connected to, or a unix socket.
var (
	errOwnAddress = fmt.Errorf(`%w: its address and port are this proxy's own; correct "host" or "port" in the configuration`, ErrLoop)
	errOwnSocket  = fmt.Errorf(`%w: its socket is this proxy's own; correct "unix" in the configuration`, ErrLoop)
)

// ErrHandshake begins what is said of a handshake with a host that failed.
var ErrHandshake = errors.New("while making a TLS handshake")

// Host is a host as an attempt needs it. It is immutable.
type Host struct {
	// Name and Port are where it is; or Unix is, the path of a unix socket, and Name is nil.
	Name *resolve.Name
	Port uint16
	Unix string
	// TLS is how the host is spoken to; nil for plain TCP.
	TLS *tlsconn.Client
	// Label is the host as people write it, "db1.example:5432" or "unix:/run/app.sock": for logs.
	Label string
	// Place is where the host is counted.
	Place metrics.Place
}

// NewHost makes a Host out of a configured name or address and port.
func NewHost(r *resolve.Resolver, name string, port uint16) Host {
	return Host{Name: r.Name(name), Port: port, Label: net.JoinHostPort(name, strconv.Itoa(int(port)))}
}

// NewUnixHost makes a Host out of the path of a unix socket.
func NewUnixHost(path string) Host { return Host{Unix: path, Label: "unix:" + path} }

// Group is an upstream group: hosts in the configured order, with their counts and algorithm. It is immutable and
// shared by all loops.
type Group struct {
	Name    string
	Hosts   []Host
	Balance *balance.Group
	// HashKey says what hosts are chosen by where Balance has a balance.KeyTemplate; nil where it has not.
	HashKey *logformat.Template
	// ConnectTimeout bounds the time spent connecting, over all hosts tried; zero is no bound.
	ConnectTimeout time.Duration
	// HostTimeout bounds the time spent connecting to one host, over all its addresses; zero is no bound. LastTakesAll says
	// that it is not for the last host to be tried, which may take all that is left of ConnectTimeout.
	HostTimeout  time.Duration
	LastTakesAll bool
	// KeepHost says that a connection does not go on to another host when one cannot be reached.
	KeepHost bool
	// Retries is how often Connector.Retry goes on to another host for one claim.
	Retries int
	// Place is where the group is counted.
	Place metrics.Place
	// Queue says who waits when every host has as many clients as it may have. Balance is to have the same size.
	Queue Queue
	// Self knows which addresses are not connected to because they lead back; nil for none.
	Self *Self
	// ResolveTimeout bounds the wait for one host's name; zero is no bound.
	ResolveTimeout time.Duration
	// TCPKeepalive is how long a host may be silent before TCP asks whether it is there, see engine.Endpoint.Keepalive; zero is
	// for ever.
	TCPKeepalive time.Duration
	// Keepalive is how many idle connections are kept for each host, by each loop: a number, or KeepaliveAuto.
	// KeepaliveTimeout is for how long; zero is no bound.
	Keepalive        int
	KeepaliveTimeout time.Duration
	// ProxyProtocol is the version of the PROXY header that every connection to a host begins with, before TLS. Such a connection
	// tells of one client's connection and serves no other, so none is kept idle, whatever Keepalive says.
	ProxyProtocol proxyproto.Version
	// Protocol is what the hosts are spoken to in. Their TLS offers by ALPN what it allows. It is HTTP1 where there is a ProxyProtocol. Of
	// connections that requests share each counts as one for Keepalive, whatever its streams.
	Protocol Protocol
}

// KeepaliveAuto is the Group.Keepalive that keeps as many idle connections as were in use at once of late.
const KeepaliveAuto = -1
