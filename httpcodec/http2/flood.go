package http2

// These limits bound what a peer may do that costs it nothing. Exceeding one ends the connection with ENHANCE_YOUR_CALM; an
// honest peer does not exceed them, neither by haste nor by accident. Stream resets count no matter which side sends them, since
// a peer can provoke this side into sending them (CVE-2023-44487, CVE-2025-8671).
const (
	resetBurst  = 100 // at once
	resetRate   = 33  // a second, after that
	emptyFrames = 10  // DATA or header fragments without content, in a row
	pingRate    = 100 // per window, and since something useful was sent in either direction
	settingRate = 50  // per window
	otherRate   = 1000
	window      = 10_000 // ms
)

// Event is something a peer may do at no cost to itself.
type Event uint8

// The events. EventOther is a frame that is ignored: PRIORITY, an unknown type, or WINDOW_UPDATE for a closed stream.
const (
	EventReset Event = iota
	EventEmpty
	EventPing
	EventSettings
	EventOther
)

var (
	errResets   = connError(EnhanceYourCalm, "too many stream resets")
	errEmpty    = connError(EnhanceYourCalm, "too many empty frames")
	errPings    = connError(EnhanceYourCalm, "too many pings")
	errSettings = connError(EnhanceYourCalm, "too many settings")
	errOthers   = connError(EnhanceYourCalm, "too many frames without effect")
)

// Flood counts such events. The zero value is ready to use.
type Flood struct {
	since                   int64 // when the window began, in ms
	pings, settings, others int
	resets                  int64 // resets that count at present, in thousandths
	last                    int64 // when resets was last reduced, in ms
	empty                   int
	sent                    int // bytes of content sent that have not yet reduced others
}

// Count counts an event. Now is in ms and must not decrease. It returns an error if there are too many events.
func (f *Flood) Count(e Event, now int64) *Error {
	if now-f.since >= window {
		f.since, f.pings, f.settings, f.others = now, 0, 0, min(f.others, 0)/2 // half of the credit stays: frames for what was just sent have yet to arrive
	}
	switch e {
	case EventReset:
		f.resets = max(0, f.resets-(now-f.last)*resetRate) + 1000
		f.last = now
		if f.resets > resetBurst*1000 {
			return errResets
		}
	case EventEmpty:
		if f.empty++; f.empty > emptyFrames {
			return errEmpty
		}
	case EventPing:
		if f.pings++; f.pings > pingRate {
			return errPings
		}
	case EventSettings:
		if f.settings++; f.settings > settingRate {
			return errSettings
		}
	case EventOther:
		if f.others++; f.others > otherRate {
			return errOthers
		}
	}
	return nil
}

// Useful records that the peer has sent something useful, which resets the counts of empty frames and pings.
func (f *Flood) Useful() { f.empty, f.pings = 0, 0 }

// The more a peer is served, the more frames it may send that have no effect. A WINDOW_UPDATE for a stream may arrive after the
// stream's end if the content was sent faster; from a distant peer it may arrive after so many more streams have ended that the
// stream is no longer remembered.
const (
	othersEach  = 4       // frames per stream
	othersBytes = 4 << 10 // one frame per so many bytes sent to the peer
)

// Begun records that a stream has begun.
func (f *Flood) Begun() { f.others -= othersEach }

// Sent records that n bytes of content were sent to the peer. Peers that measure bandwidth, such as gRPC's, send a ping for each piece.
func (f *Flood) Sent(n int) {
	f.pings = 0
	f.sent += n
	f.others -= f.sent / othersBytes
	f.sent %= othersBytes
}
