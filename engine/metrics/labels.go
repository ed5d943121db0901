package metrics

import (
	"kroxy-ev/logformat"
)

// labelled is an array of counters that are told apart by labels.
type labelled interface {
	// labels are the names of the labels, and their values for each element of the array; nil for one that is never counted.
	labels() (names []string, values [][]string)
}

// each gives each word as the value of one label.
func each(name string, words ...string) (names []string, values [][]string) {
	for _, word := range words {
		values = append(values, []string{word})
	}
	return []string{name}, values
}

// Classes count requests by class of their status.
type Classes [7]Counter

var classes = [len(Classes{})]string{"", "1xx", "2xx", "3xx", "4xx", "5xx", "other"}

// Class is the index of a status in Classes; 0 is no status.
func Class(status int) int {
	switch {
	case status == 0:
		return 0
	case status < 100 || status > 599:
		return len(classes) - 1
	}
	return status / 100
}

// Count counts a request with this status; 0 is none.
func (c *Classes) Count(status int) { c[Class(status)].Add(1) }

// Total is all of them.
func (c *Classes) Total() uint64 {
	var n uint64
	for i := range c {
		n = plus(n, c[i].Value())
	}
	return n
}

func (*Classes) labels() ([]string, [][]string) { return each("code", classes[:]...) }

// Ends count how requests and sessions ended that did not end well.
type Ends [logformat.Ends]Counter

// Count counts one that ended so; logformat.Complete is not counted.
func (e *Ends) Count(end logformat.End) {
	if end != logformat.Complete {
		e[end].Add(1)
	}
}

// Total is all of them.
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

// Direction is where bytes went.
type Direction uint8

// Up is to hosts, Down to clients.
const (
	Up Direction = iota
	Down
)

var directions = [...]string{Up: "up", Down: "down"}

func (d Direction) String() string { return directions[d] }

// Bytes count bytes by direction.
type Bytes [len(directions)]Counter

// Count counts n bytes.
func (b *Bytes) Count(d Direction, n int) { b[d].Add(uint64(n)) }

// Up are those sent to hosts.
func (b *Bytes) Up() uint64 { return b[Up].Value() }

// Down are those sent to clients.
func (b *Bytes) Down() uint64 { return b[Down].Value() }

func (*Bytes) labels() ([]string, [][]string) { return each("direction", directions[:]...) }

// Versions count handshakes by the version of TLS and whether a session was resumed.
type Versions [4]Counter

// tls13 is the version's number on the wire.
const tls13 = 0x0304

// Count counts a handshake; version is a number as crypto/tls has it.
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

// HandshakeError is why a handshake with a client failed.
type HandshakeError uint8

// The reasons.
const (
	HandshakeFailed  HandshakeError = iota // the two did not agree, or a record was malformed
	HandshakeTimeout                       // it took too long
	HandshakeCut                           // the client left inside it
	HandshakeSilent                        // the client left before its first byte
	HandshakePlain                         // an HTTP request came instead
)

var handshakeErrors = [...]string{"failed", "timeout", "cut", "silent", "plain_http"}

func (e HandshakeError) String() string { return handshakeErrors[e] }

// HandshakeErrors count handshakes that failed, by reason.
type HandshakeErrors [len(handshakeErrors)]Counter

// Count counts one.
func (h *HandshakeErrors) Count(why HandshakeError) { h[why].Add(1) }

func (*HandshakeErrors) labels() ([]string, [][]string) { return each("reason", handshakeErrors[:]...) }

// Refusal is why a connection was refused.
type Refusal uint8

// The reasons.
const (
	RefusedStranger Refusal = iota // the peer may not send a PROXY header
	RefusedHeader                  // the PROXY header is malformed, or was cut off
	RefusedTimeout                 // no PROXY header came in time
	RefusedSilent                  // the peer left before its first byte
	RefusedHello                   // no hello came that could be read, where a name was to be found in it
	RefusedInternal                // the kernel refused something
)

var refusals = [...]string{"proxy_stranger", "proxy_header", "proxy_timeout", "silent", "hello", "internal"}

func (r Refusal) String() string { return refusals[r] }

// Refusals count refused connections, by reason.
type Refusals [len(refusals)]Counter

// Count counts one.
func (r *Refusals) Count(why Refusal) { r[why].Add(1) }

func (*Refusals) labels() ([]string, [][]string) { return each("reason", refusals[:]...) }

// Fault is how a host failed.
type Fault uint8

// The ways.
const (
	FaultConnect        Fault = iota // it refused, or could not be reached
	FaultConnectTimeout              // it did not accept a connection in time
	FaultResolve                     // its name has no address
	FaultTLS                         // the TLS handshake failed
	FaultReset                       // its connection ended or failed before its response was whole
	FaultTimeout                     // it was silent, or took no bytes, for too long
	FaultBadResponse                 // its response is malformed
	FaultStatus                      // it answered with a status that counts as a failure (passive_check)
)

var faults = [...]string{"connect", "connect_timeout", "resolve", "tls", "reset", "timeout", "bad_response", "status"}

func (f Fault) String() string { return faults[f] }

// Faults count how a host failed.
type Faults [len(faults)]Counter

// Count counts one.
func (f *Faults) Count(how Fault) { f[how].Add(1) }

// Total is all of them.
func (f *Faults) Total() uint64 {
	var n uint64
	for i := range f {
		n = plus(n, f[i].Value())
	}
	return n
}

func (*Faults) labels() ([]string, [][]string) { return each("reason", faults[:]...) }

// Pause is why accepting had to stop for a while.
type Pause uint8

// PausedLimit is for max_connections, or the share of open files that clients may have; PausedDescriptors is for what the kernel has no more of.
const (
	PausedLimit Pause = iota
	PausedDescriptors
)

var pauses = [...]string{"limit", "descriptors"}

func (p Pause) String() string { return pauses[p] }

// Pauses count pauses, by reason.
type Pauses [len(pauses)]Counter

// Count counts one.
func (p *Pauses) Count(why Pause) { p[why].Add(1) }

func (*Pauses) labels() ([]string, [][]string) { return each("reason", pauses[:]...) }

// Outcomes count reloads by outcome.
type Outcomes [2]Tally

// Count counts one that was successful or not.
func (o *Outcomes) Count(ok bool) {
	if ok {
		o[0].Add(1)
	} else {
		o[1].Add(1)
	}
}

// OK and Failed are how many there were.
func (o *Outcomes) OK() uint64 { return o[0].Value() }

// Failed are how many there were that changed nothing.
func (o *Outcomes) Failed() uint64 { return o[1].Value() }

func (*Outcomes) labels() ([]string, [][]string) { return each("outcome", "ok", "failed") }
