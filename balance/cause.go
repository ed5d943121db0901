package balance

import (
	"strconv"
	"sync/atomic"
	"syscall"
)

// Cause is why a host is down, for people. Number goes with some kinds.
type Cause struct {
	Kind   CauseKind
	Number uint16
}

// CauseKind is a kind of Cause.
type CauseKind uint8

const (
	// UnknownCause means that it is not known, or that there is no word for it.
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
	// MalformedResponse means that the response was not one.
	MalformedResponse
	// BadStatus means that the response was an error. Number is its status.
	BadStatus
	// BadAnswer means that a check did not find what it looks for in the response.
	BadAnswer
	causeKinds
)

var causeTexts = [causeKinds]string{
	"", "", "timed out", "its name cannot be resolved", "the TLS handshake failed", "the connection ended early", "malformed response", "", "the answer is not the one that is wanted",
}

// String is empty for an UnknownCause.
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

// blame says what was last known against a host, and why. It stays when the host has come back. Zero means that nothing ever was.
type blame uint64

const (
	blameCondition = 24 // where the Condition stands, above the cause's kind,
	blameKind      = 16 // which stands above its number
	// blameMark is in the upper half of every blame, so that a damaged word is none.
	blameMark blame = 0x626c616d << 32
)

func blameFor(what Condition, why Cause) blame {
	return blameMark | blame(what)<<blameCondition | blame(why.Kind)<<blameKind | blame(why.Number)
}

// blameIn is what a word says that may be damaged: Well if it says nothing.
func blameIn(word uint64) (Condition, Cause) {
	b := blame(word)
	what, why := Condition(b>>blameCondition), Cause{Kind: CauseKind(b >> blameKind), Number: uint16(b)}
	if b>>32 != blameMark>>32 || what == Well || what > Out || why.Kind >= causeKinds {
		return Well, Cause{}
	}
	return what, why
}

// Blame notes, for people, why host i is about to be reported Unreachable or as failing its checks. Those that are ejected are blamed by
// Lease.Release.
func (h *Hosts) Blame(i int, what Condition, why Cause) {
	p, b := h.word(i, lineBlame), uint64(blameFor(what, why))
	if atomic.LoadUint64(p) != b { // others read this line
		atomic.StoreUint64(p, b)
	}
}

// Blamed returns what was last known against host i, and why: Well if nothing ever was. It stays known when the host has come back.
func (h *Hosts) Blamed(i int) (Condition, Cause) {
	return blameIn(atomic.LoadUint64(h.word(i, lineBlame)))
}

// Blame notes why the leased host is about to be reported Unreachable.
func (l *Lease) Blame(why Cause) {
	if h := &l.group.hosts; !h.passive.off {
		h.Blame(int(l.host), Unreachable, why)
	}
}
