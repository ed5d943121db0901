package httpcodec

import (
	"time"

	"kroxy-ev/balance"
	"kroxy-ev/engine/metrics"
	"kroxy-ev/engine/upstream"
	"kroxy-ev/logformat"
)

// isHosts reports whether a host that was reached is to blame for such an end.
func isHosts(end logformat.End) bool {
	switch end {
	case logformat.HostCut, logformat.BadResponse, logformat.ProxyReadTimeout, logformat.ProxySendTimeout:
		return true
	}
	return false
}

// ask notes that the host gets the request now. Where there is much to do, the clock has been read for others since this batch of events
// began; where there is not, it has just begun.
func (x *exchange) ask() { x.asked = x.server.loop.Recent() }

// hear notes that the head of the host's final response is there, since the batch of events began that told of it.
func (x *exchange) hear() {
	loop := x.server.loop
	x.hostStatus, x.answered = x.res.Status, loop.Now()
	at := loop.Began()
	if at <= x.asked { // it has been asked in the same batch
		at = loop.Clock()
	}
	x.latency = time.Duration(at - x.asked)
	x.answerTry()
}

// erred is the report on a host that has failed the exchange for this cause.
func (x *exchange) erred(why *cause) upstream.Report {
	r := x.outcome()
	r.Class, r.Why, r.Fault = balance.Erred, why.text, why.fault()
	return r
}

// fault is how a host fails that is to blame for c.
func (c *cause) fault() metrics.Fault {
	switch c.end {
	case logformat.BadResponse:
		return metrics.FaultBadResponse
	case logformat.ProxyReadTimeout, logformat.ProxySendTimeout:
		return metrics.FaultTimeout
	}
	return metrics.FaultReset
}

// answerReport is the report on a host by its response: it may be one that counts as failure. A host of which there is none was not
// given the time to make one: that a client has left says nothing against it but that it took longer than the client would wait.
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

// waited is for how long a host that has the whole request has not answered it; zero if none has it.
func (x *exchange) waited() time.Duration {
	if x.asked == 0 || !x.request.Done || x.up.Holding() {
		return 0
	}
	return time.Duration(x.server.loop.Now()-x.up.WroteAt) * time.Millisecond
}

// outcome is what there is to report on the host, without a verdict.
func (x *exchange) outcome() upstream.Report {
	r := upstream.Report{Asked: x.asked != 0}
	if x.hostStatus != 0 {
		r.Status, r.Latency = x.hostStatus, x.latency
	} else {
		r.Latency = x.waited()
	}
	return r
}
