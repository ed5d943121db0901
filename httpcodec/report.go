package httpcodec

import (
	"time"

	"kroxy-ev/balance"
	"kroxy-ev/engine/metrics"
	"kroxy-ev/engine/upstream"
	"kroxy-ev/logformat"
)

// isHostFault reports whether a host that was reached is to blame for the given end.
func isHostFault(end logformat.End) bool {
	switch end {
	case logformat.HostCut, logformat.BadResponse, logformat.ProxyReadTimeout, logformat.ProxySendTimeout:
		return true
	}
	return false
}

// markAsked records that the request is now being sent to the host. On a busy loop, others have read the clock since this batch
// of events began; on an idle one, the batch has just begun. So the clock is not read again.
func (x *exchange) markAsked() { x.asked = x.server.loop.Recent() }

// markAnswered records that the head of the host's final response is complete, as of the beginning of this batch of events.
func (x *exchange) markAnswered() {
	loop := x.server.loop
	x.hostStatus, x.answered = x.res.Status, loop.Now()
	at := loop.Began()
	if at <= x.asked { // it was asked in the same batch
		at = loop.Clock()
	}
	x.latency = time.Duration(at - x.asked)
	x.answerTry()
}

// erred returns the report on a host that failed the exchange for the given cause.
func (x *exchange) erred(why *cause) upstream.Report {
	r := x.outcome()
	r.Class, r.Why, r.Fault = balance.Erred, why.text, why.fault()
	return r
}

// fault returns how a host that is to blame for c has failed.
func (c *cause) fault() metrics.Fault {
	switch c.end {
	case logformat.BadResponse:
		return metrics.FaultBadResponse
	case logformat.ProxyReadTimeout, logformat.ProxySendTimeout:
		return metrics.FaultTimeout
	}
	return metrics.FaultReset
}

// answerReport returns the report on a host by the status of its response, which may count as a failure. A host that had not
// answered when the client left is not blamed, but the report has how long the client waited in vain.
func (x *exchange) answerReport() upstream.Report {
	r := x.outcome()
	switch {
	case x.hostStatus == 0:
	case x.target.Errors.Has(x.hostStatus):
		r.Class, r.Fault = balance.Erred, metrics.FaultStatus
	default:
		r.Class = balance.Served
	}
	return r
}

// waited returns how long a host has had the whole request without answering; zero if none has it.
func (x *exchange) waited() time.Duration {
	if x.asked == 0 || !x.request.Done || x.up.Holding() {
		return 0
	}
	return time.Duration(x.server.loop.Now()-x.up.WroteAt) * time.Millisecond
}

// outcome returns the report on the host, without a verdict.
func (x *exchange) outcome() upstream.Report {
	r := upstream.Report{Asked: x.asked != 0}
	if x.hostStatus != 0 {
		r.Status, r.Latency = x.hostStatus, x.latency
	} else {
		r.Latency = x.waited()
	}
	return r
}
