package httpcodec

import (
	"time"

	"kroxy-ev/engine"
)

// maxHeadWait bounds how long a host may take to complete its response head after it has the request, if it is not silent but
// sends interim responses or single bytes. The bound is this multiple of proxy_read_timeout.
const maxHeadWait = 10

// deadlines yields when each running timeout expires. As in stream mode, a side counts as silent since the last byte that moved
// on its connection in either direction.
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
		since, most := x.hostSendTimeout()
		at(since, most, causeHostSendTimeout)
	} else if x.wantsBody() && !x.wantsContinue() {
		at(max(x.up.ReadAt, x.down.WroteAt), r.ClientBodyTimeout, causeBodyTimeout)
	}
}

// hostSendTimeout returns how long the host may take no bytes, and since when. After its response is complete the host gets less
// time if it will close the connection, since it may have stopped reading, or if the client may be about to send its next
// request.
func (x *exchange) hostSendTimeout() (since int64, most time.Duration) {
	const short = lingerSilence * time.Millisecond
	since, most = x.up.WroteAt, x.route.ProxySendTimeout
	if x.responded() && !x.res.Upgrade && (!x.res.KeepAlive || x.request.Done) && (most == 0 || most > short) {
		return max(since, x.down.WroteAt), short
	}
	return since, most
}

// wantsBody reports whether the client is waited for because it owes more of its body, or its end. Until the host has the whole request no
// response is expected of it; but while it sends an early response, the host is waited for instead.
func (x *exchange) wantsBody() bool {
	return (!x.request.Done || x.requestTail) && !x.up.Holding() && !x.uploadOver && (!x.replied || x.response.Done)
}

// wantsContinue reports whether the client is waiting for the host's 100.
func (x *exchange) wantsContinue() bool {
	return x.req.ExpectContinue && !x.continued && x.request.Size == 0
}

// arm sets the client's timer to the earliest deadline.
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
			if why == causeHeaderTimeout && !x.requestBegun() {
				x.closeClient() // empty lines are not a request that needs a reply
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

// advanced reports whether a peer that seems to take nothing has acknowledged bytes after all. If so, its timeout begins anew.
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
