package balance

import (
	"strconv"
	"sync/atomic"
	"syscall"
)

// Cause says why a host is unfit, for log lines and the status. Number is used by some kinds only.
type Cause struct {
	Kind   CauseKind
	Number uint16
}

// CauseKind is a kind of Cause.
type CauseKind uint8

const (
	// UnknownCause means that the cause is not known or has no kind of its own.
	UnknownCause CauseKind = iota
	// SystemError means that a system call failed. Number is its errno.
	SystemError
	// TimedOut means that the host did not answer in time.
	TimedOut
	// UnresolvedName means that the host's name has no address.
	UnresolvedName
	// FailedHandshake means that the TLS handshake failed.
	FailedHandshake
	// CutConnection means that the connection ended before the response was whole.
	CutConnection
	// MalformedResponse means that the response violated the protocol.
	MalformedResponse
	// BadStatus means that the response had an error status. Number is the status.
	BadStatus
	// BadAnswer means that the response to a check did not have the expected content.
	BadAnswer
	causeKinds
)

var causeTexts = [causeKinds]string{
	"", "", "timed out", "its name cannot be resolved", "the TLS handshake failed", "the connection ended early", "malformed response", "", "unexpected response",
}

// String returns an empty string for an UnknownCause.
func (c Cause) String() string {
	switch {
	case c.Kind == SystemError:
		return syscall.Errno(c.Number).Error()
	case c.Kind == BadStatus:
		return "status " + strconv.Itoa(int(c.Number))
	case c.Kind < causeKinds:
		return causeTexts[c.Kind]
	}
	return ""
}

// lastProblem packs the last known problem of a host and its cause into one word. It stays after the host has recovered. Zero means that the
// host never had a problem.
type lastProblem uint64

const (
	problemCondition = 24 // bit offset of the Condition
	problemKind      = 16 // bit offset of the cause's kind; its number is below
	// problemMark is in the upper half of every valid lastProblem, so that a damaged word is recognized.
	problemMark lastProblem = 0x626c616d << 32
)

func problemFor(what Condition, why Cause) lastProblem {
	return problemMark | lastProblem(what)<<problemCondition | lastProblem(why.Kind)<<problemKind | lastProblem(why.Number)
}

// problemIn unpacks a word, which may be damaged. It returns Well if the word is zero or not valid.
func problemIn(word uint64) (Condition, Cause) {
	b := lastProblem(word)
	what, why := Condition(b>>problemCondition), Cause{Kind: CauseKind(b >> problemKind), Number: uint16(b)}
	if b>>32 != problemMark>>32 || what == Well || what > Out || why.Kind >= causeKinds {
		return Well, Cause{}
	}
	return what, why
}

// Blame records why host i is about to be reported Unreachable or as failing its checks. Ejections are recorded by Lease.Release.
func (h *Hosts) Blame(i int, what Condition, why Cause) {
	p, b := h.word(i, lineProblem), uint64(problemFor(what, why))
	if atomic.LoadUint64(p) != b { // avoid dirtying a cache line that others read
		atomic.StoreUint64(p, b)
	}
}

// Blamed returns the last known problem of host i and its cause, or Well if it never had one. The problem stays recorded after the host
// has recovered.
func (h *Hosts) Blamed(i int) (Condition, Cause) {
	return problemIn(atomic.LoadUint64(h.word(i, lineProblem)))
}

// Blame records why the leased host is about to be reported Unreachable.
func (l *Lease) Blame(why Cause) {
	if h := &l.group.hosts; !h.passive.off {
		h.Blame(int(l.host), Unreachable, why)
	}
}
