package httpcodec

import (
	"time"

	"kroxy-ev/engine"
)

// maxHeadWait bounds how long a host that is not silent may take for the head of its response once it has the request, by
// interim responses or by dripping: that many times proxy_read_timeout.
const maxHeadWait = 10

// deadlines yields, for each timeout that is running, when it runs out. As in stream mode, a side is silent since the
// last byte that moved on its connection either way.
func (x *exchange) deadlines(yield func(at int64, why cause) bool) {
	set, r := x.client.settings, x.route
	at := func(since int64, timeout time.Duration, why cause) bool {
		return timeout == 0 || yield(since+timeout.Milliseconds(), why)
	}
	if x.phase == readingHead {
		at(x.began/int64(time.Millisecond), set.Server.ClientHeaderTimeout, causeHeaderTimeout)
		return
	}
	if x.down.Holding() {
		if !at(x.down.WroteAt, r.SendTimeout, causeClientTakesNone) {
			return
		}
	} else if x.phase == relaying && !x.responded() && (!x.up.Holding() || x.replied) && (!x.wantsBody() || x.wantsContinue()) {
		if !at(max(x.down.ReadAt, x.up.WroteAt), r.ProxyReadTimeout, causeHostReadTimeout) {
			return
		}
		if !x.replied && !at(x.up.WroteAt, x.target.Retry.TryTimeout, causeTryTimeout) {
			return
		}
		if !x.replied && !at(x.up.WroteAt, maxHeadWait*r.ProxyReadTimeout, causeHeadWait) {
			return
		}
	}
	if x.phase != relaying {
		return
	}
	if x.up.Holding() {
		since, most := x.hostPatience()
		at(since, most, causeHostSendTimeout)
	} else if x.wantsBody() && !x.wantsContinue() {
		at(max(x.up.ReadAt, x.down.WroteAt), r.ClientBodyTimeout, causeBodyTimeout)
	}
}

// hostPatience is how long the host may take no bytes, and since when. One that has answered is not waited for long behind its
// answer if it has said that it will close, since it may have stopped reading as well, or if the client may be about to send its
// next request.
func (x *exchange) hostPatience() (since int64, most time.Duration) {
	const short = lingerSilence * time.Millisecond
	since, most = x.up.WroteAt, x.route.ProxySendTimeout
	if x.responded() && !x.res.Upgrade && (!x.res.KeepAlive || x.request.Done) && (most == 0 || most > short) {
		return max(since, x.down.WroteAt), short
	}
	return since, most
}

// wantsBody reports whether the client is waited for: it owes more of its body. Of a host that has not got the whole request
// no answer is expected; while it answers early, it is the host that is waited for.
func (x *exchange) wantsBody() bool {
	return !x.request.Done && !x.up.Holding() && !x.deaf && (!x.replied || x.response.Done)
}

// wantsContinue reports whether the client itself waits, for the host's 100.
func (x *exchange) wantsContinue() bool {
	return x.req.ExpectContinue && !x.continued && x.request.Size == 0
}

// arm sets the client's timer to the first deadline.
func (x *exchange) arm() {
	first := engine.Never
	for at := range x.deadlines {
		first = min(first, at)
	}
	x.client.arm(first)
}

// expired ends the exchange if a deadline has really passed.
func (x *exchange) expired(now int64) {
	for at, why := range x.deadlines {
		if at <= now && !x.advanced(why) {
			if why == causeHeaderTimeout && !x.spoken() {
				x.leave() // empty lines are no request to answer
				return
			}
			if why == causeBodyTimeout || why == causeHostSendTimeout {
				x.failRequest(why, nil)
			} else {
				x.fail(why, nil)
			}
			return
		}
	}
	x.arm()
}

// advanced reports whether a side that seems to take nothing does take bytes, in which case it has more time.
func (x *exchange) advanced(why cause) bool {
	h := &x.down
	switch why {
	case causeHostSendTimeout:
		h = &x.up
	case causeClientTakesNone:
	default:
		return false
	}
	if !h.Advanced() {
		return false
	}
	h.WroteAt = x.server.loop.Now()
	return true
}
