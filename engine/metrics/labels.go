package metrics

import (
	"kroxy-ev/logformat"
)

// labelled is an array of counters that are distinguished by labels.
type labelled interface {
	// labels returns the names of the labels, and their values for each element of the array; nil for an element that is never counted.
	labels() (names []string, values [][]string)
}

// each returns one label with the given name and each word as a value.
func each(name string, words ...string) (names []string, values [][]string) {
	for _, word := range words {
		values = append(values, []string{word})
	}
	return []string{name}, values
}

// Classes counts requests by class of their status.
type Classes [7]Counter

var classes = [len(Classes{})]string{"", "1xx", "2xx", "3xx", "4xx", "5xx", "other"}

// Class returns the index of a status in Classes; 0 means no status.
func Class(status int) int {
	switch {
	case status == 0:
		return 0
	case status < 100 || status > 599:
		return len(classes) - 1
	}
	return status / 100
}

// Count counts a request with this status; 0 means no status.
func (c *Classes) Count(status int) { c[Class(status)].Add(1) }

// Total returns the sum over all classes.
func (c *Classes) Total() uint64 {
	var n uint64
	for i := range c {
		n = plus(n, c[i].Value())
	}
	return n
}

func (*Classes) labels() ([]string, [][]string) { return each("code", classes[:]...) }

// Ends counts requests and sessions that did not end well, by reason.
type Ends [logformat.Ends]Counter

// Count counts a request that ended for this reason; logformat.Complete is not counted.
func (e *Ends) Count(end logformat.End) {
	if end != logformat.Complete {
		e[end].Add(1)
	}
}

// Total returns the sum over all reasons.
func (e *Ends) Total() uint64 {
	var n uint64
	for i := range e {
		n = plus(n, e[i].Value())
	}
	return n
}

func (e *Ends) labels() ([]string, [][]string) {
	values := make([][]string, len(e))
	for end := logformat.Complete + 1; int(end) < len(e); end++ {
		values[end] = []string{end.String()}
	}
	return []string{"reason"}, values
}

// Direction says where bytes were sent.
type Direction uint8

// Up means to hosts, Down to clients.
const (
	Up Direction = iota
	Down
)

var directions = [...]string{Up: "up", Down: "down"}

func (d Direction) String() string { return directions[d] }

// Bytes counts bytes by direction.
type Bytes [len(directions)]Counter

// Count counts n bytes.
func (b *Bytes) Count(d Direction, n int) { b[d].Add(uint64(n)) }

// Up returns the bytes sent to hosts.
func (b *Bytes) Up() uint64 { return b[Up].Value() }

// Down returns the bytes sent to clients.
func (b *Bytes) Down() uint64 { return b[Down].Value() }

func (*Bytes) labels() ([]string, [][]string) { return each("direction", directions[:]...) }

// Versions counts handshakes by TLS version and whether a session was resumed.
type Versions [4]Counter

// tls13 is the protocol number of TLS 1.3.
const tls13 = 0x0304

// Count counts a handshake; version is as in crypto/tls.
func (v *Versions) Count(version uint16, resumed bool) {
	i := 0
	if version >= tls13 {
		i = 2
	}
	if resumed {
		i++
	}
	v[i].Add(1)
}

func (*Versions) labels() ([]string, [][]string) {
	return []string{"version", "resumed"}, [][]string{{"1.2", "no"}, {"1.2", "yes"}, {"1.3", "no"}, {"1.3", "yes"}}
}

// HandshakeError says why a handshake with a client failed.
type HandshakeError uint8

// The reasons.
const (
	HandshakeFailed  HandshakeError = iota // no agreement, or a malformed record
	HandshakeTimeout                       // it took too long
	HandshakeCut                           // the client left during the handshake
	HandshakeSilent                        // the client left before its first byte
	HandshakePlain                         // an HTTP request came instead of a handshake
)

var handshakeErrors = [...]string{"failed", "timeout", "cut", "silent", "plain_http"}

func (e HandshakeError) String() string { return handshakeErrors[e] }

// HandshakeErrors counts failed handshakes, by reason.
type HandshakeErrors [len(handshakeErrors)]Counter

// Count counts one.
func (h *HandshakeErrors) Count(why HandshakeError) { h[why].Add(1) }

func (*HandshakeErrors) labels() ([]string, [][]string) { return each("reason", handshakeErrors[:]...) }

// Refusal says why a connection was refused.
type Refusal uint8

// The reasons.
const (
	RefusedStranger Refusal = iota // the peer may not send a PROXY header
	RefusedHeader                  // the PROXY header is malformed, or was cut off
	RefusedTimeout                 // no PROXY header came in time
	RefusedSilent                  // the peer left before its first byte
	RefusedHello                   // a server name was needed, but no valid hello came
	RefusedInternal                // the kernel refused something
)

var refusals = [...]string{"proxy_stranger", "proxy_header", "proxy_timeout", "silent", "hello", "internal"}

func (r Refusal) String() string { return refusals[r] }

// Refusals counts refused connections, by reason.
type Refusals [len(refusals)]Counter

// Count counts one.
func (r *Refusals) Count(why Refusal) { r[why].Add(1) }

func (*Refusals) labels() ([]string, [][]string) { return each("reason", refusals[:]...) }

// Fault says how a host failed.
type Fault uint8

// The ways.
const (
	FaultConnect        Fault = iota // it refused, or could not be reached
	FaultConnectTimeout              // it did not accept a connection in time
	FaultResolve                     // its name has no address
	FaultTLS                         // the TLS handshake failed
	FaultReset                       // its connection ended or failed before its response was complete
	FaultTimeout                     // it was silent, or accepted no bytes, for too long
	FaultBadResponse                 // its response is malformed
	FaultStatus                      // its status counts as a failure (passive_check)
)

var faults = [...]string{"connect", "connect_timeout", "resolve", "tls", "reset", "timeout", "bad_response", "status"}

func (f Fault) String() string { return faults[f] }

// Faults counts failures of hosts, by reason.
type Faults [len(faults)]Counter

// Count counts one.
func (f *Faults) Count(how Fault) { f[how].Add(1) }

// Total returns the sum over all reasons.
func (f *Faults) Total() uint64 {
	var n uint64
	for i := range f {
		n = plus(n, f[i].Value())
	}
	return n
}

func (*Faults) labels() ([]string, [][]string) { return each("reason", faults[:]...) }

// Pause says why accepting had to pause.
type Pause uint8

// PausedLimit means max_connections, or the share of open files for clients; PausedDescriptors means that the kernel has run out of something.
const (
	PausedLimit Pause = iota
	PausedDescriptors
)

var pauses = [...]string{"limit", "descriptors"}

func (p Pause) String() string { return pauses[p] }

// Pauses counts pauses, by reason.
type Pauses [len(pauses)]Counter

// Count counts one.
func (p *Pauses) Count(why Pause) { p[why].Add(1) }

func (*Pauses) labels() ([]string, [][]string) { return each("reason", pauses[:]...) }

// Outcomes counts reloads by outcome.
type Outcomes [2]Tally

// Count counts a reload; ok says whether it was successful.
func (o *Outcomes) Count(ok bool) {
	if ok {
		o[0].Add(1)
	} else {
		o[1].Add(1)
	}
}

// OK returns the number of successful reloads.
func (o *Outcomes) OK() uint64 { return o[0].Value() }

// Failed returns the number of reloads that failed and changed nothing.
func (o *Outcomes) Failed() uint64 { return o[1].Value() }

func (*Outcomes) labels() ([]string, [][]string) { return each("outcome", "ok", "failed") }
