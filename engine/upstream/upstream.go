// Package upstream connects to the hosts of an upstream group. It leases a host and reuses an idle connection to it, or waits for
// the host's name to be resolved, connects, and makes a TLS handshake if the host requires one. If that fails, it goes on to the
// next host, within the time allowed. All of this happens on the loop.
//
// The package does not choose hosts (package balance does), resolve names (package resolve does), or speak any protocol.
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

// Errors with which an attempt ends. They may be wrapped; use errors.Is.
var (
	// ErrNoHost means that the group has no host to offer.
	ErrNoHost = errors.New("no host to try")
	// ErrFull means that every host has reached its max_conns and that the group has no queue.
	ErrFull = errors.New("every host is at its limit (max_conns)")
	// ErrQueueFull means that the group's queue is full, and ErrQueueTimeout that no host became free in time.
	ErrQueueFull    = errors.New("every host is at its limit (max_conns), and the queue is full")
	ErrQueueTimeout = errors.New("no host became free in time (queue.timeout)")
	// ErrConnectTimeout means that no host accepted the connection in time.
	ErrConnectTimeout = errors.New("connecting timed out")
	// ErrResolveTimeout means that a host's name was not resolved in time.
	ErrResolveTimeout = errors.New("resolving the name timed out")
	// ErrLoop means that a connection to the host would come back to this proxy.
	ErrLoop = errors.New("the host leads back to this proxy")
	// ErrSuspect means that new connections to the host are refused for a while: see Watch.Crowded.
	ErrSuspect = errors.New("the host answers none of its clients and may lead back to this proxy; new connections to it are refused for a while")
)

// These errors say why a host's address or unix socket is not connected to.
var (
	errOwnAddress = fmt.Errorf(`%w: its address and port are this proxy's own; correct "host" or "port" in the configuration`, ErrLoop)
	errOwnSocket  = fmt.Errorf(`%w: its socket is this proxy's own; correct "unix" in the configuration`, ErrLoop)
)

// ErrHandshake prefixes the error of a failed TLS handshake with a host.
var ErrHandshake = errors.New("while making a TLS handshake")

// Host is a host of a group. It is immutable.
type Host struct {
	// Name and Port are the host's name and port. A host with a unix socket has the socket's path in Unix, and its Name is nil.
	Name *resolve.Name
	Port uint16
	Unix string
	// TLS holds the settings for TLS with the host; nil for plain TCP.
	TLS *tlsconn.Client
	// Label identifies the host in logs: "db1.example:5432" or "unix:/run/app.sock".
	Label string
	// Place is the host's place in the metrics.
	Place metrics.Place
}

// NewHost returns a Host for a configured name or address and a port.
func NewHost(r *resolve.Resolver, name string, port uint16) Host {
	return Host{Name: r.Name(name), Port: port, Label: net.JoinHostPort(name, strconv.Itoa(int(port)))}
}

// NewUnixHost returns a Host for the path of a unix socket.
func NewUnixHost(path string) Host { return Host{Unix: path, Label: "unix:" + path} }

// Group is an upstream group: its hosts in the configured order, with their counts and algorithm. It is immutable and
// shared by all loops.
type Group struct {
	Name    string
	Hosts   []Host
	Balance *balance.Group
	// HashKey is the template of the key that hosts are chosen by, if Balance has a balance.KeyTemplate; nil otherwise.
	HashKey *logformat.Template
	// ConnectTimeout bounds the time spent connecting, over all hosts tried; zero means no bound.
	ConnectTimeout time.Duration
	// HostTimeout bounds the time spent connecting to one host, over all its addresses; zero means no bound. If LastTakesAll is
	// set, the last host to be tried may take all that is left of ConnectTimeout instead.
	HostTimeout  time.Duration
	LastTakesAll bool
	// KeepHost means that no other host is tried if the chosen one cannot be reached.
	KeepHost bool
	// Retries bounds how often Connector.Retry may go on to another host for one claim.
	Retries int
	// Place is the group's place in the metrics.
	Place metrics.Place
	// Queue bounds the queue of clients that wait when every host has reached its max_conns. Balance must have the same size.
	Queue Queue
	// Self knows which addresses are this proxy's own and must not be connected to; nil for none.
	Self *Self
	// ResolveTimeout bounds the wait for one host's name; zero means no bound.
	ResolveTimeout time.Duration
	// TCPKeepalive is how long a host may be silent before TCP probes the connection, see engine.Endpoint.Keepalive; zero means
	// no probes.
	TCPKeepalive time.Duration
	// Keepalive is the number of idle connections that each loop keeps for each host: a number, or KeepaliveAuto.
	// KeepaliveTimeout bounds how long they stay idle; zero means no bound.
	Keepalive        int
	KeepaliveTimeout time.Duration
	// ProxyProtocol is the version of the PROXY header that begins every connection to a host, before TLS. Such a connection
	// stands for one client's connection and cannot be reused, so none is kept idle, whatever Keepalive says.
	ProxyProtocol proxyproto.Version
	// Protocol is the protocol spoken to the hosts. TLS offers the versions that it allows by ALPN. It is HTTP1 if there is a
	// ProxyProtocol. A connection that requests share counts as one for Keepalive, whatever the number of its streams.
	Protocol Protocol
}

// KeepaliveAuto is the Group.Keepalive that keeps as many idle connections as were recently in use at once.
const KeepaliveAuto = -1
