package httpcodec

import (
	"time"

	"kroxy-ev/balance"
	"kroxy-ev/engine/upstream"
	"kroxy-ev/logformat"
)

// isHosts reports whether it is the host that is to blame, which has been reached.
func (c *cause) isHosts() bool {
	switch c.end {
	case logformat.HostCut, logformat.BadResponse, logformat.ProxyReadTimeout, logformat.ProxySendTimeout:
		return true
	}
	return false
}

// ask notes that the host gets the request now.
func (x *exchange) ask() {
	x.asked = time.Time{}
	if x.target.Group.Balance.Timed() {
		x.asked = time.Now()
	}
}

// hear notes that the head of the host's final response is there.
func (x *exchange) hear() {
	x.hostStatus, x.answered, x.latency = x.res.Status, x.server.loop.Now(), 0
	if !x.asked.IsZero() {
		x.latency = time.Since(x.asked)
	}
}

// erred is the report on a host that has failed the exchange for this cause.
func erred(why *cause) upstream.Report {
	return upstream.Report{Outcome: balance.Outcome{Class: balance.Erred}, Why: why.text}
}

// answerReport is the report on a host by its response: it may be one that counts as failure. A host of which there is none was not
// given the time to make one.
func (x *exchange) answerReport() upstream.Report {
	o := balance.Outcome{Class: balance.Served, Latency: x.latency}
	switch {
	case x.hostStatus == 0:
		return upstream.Report{}
	case x.target.Errors.Has(x.hostStatus):
		o.Class = balance.Erred
		return upstream.Report{Outcome: o, Status: x.hostStatus}
	}
	return upstream.Report{Outcome: o}
}
