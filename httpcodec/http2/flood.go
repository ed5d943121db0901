package http2

// What a peer may do for nothing, and how often. What is above ends the connection with ENHANCE_YOUR_CALM: an honest peer gets there neither by
// haste nor by accident. Streams that are reset count whoever resets them, since a peer can make this side do it (CVE-2023-44487, CVE-2025-8671).
const (
	resetBurst  = 100 // at once
	resetRate   = 33  // a second, after that
	emptyFrames = 10  // DATA, or header blocks, without a byte, in a row
	pingRate    = 100 // in window, and since something useful was sent either way
	settingRate = 50  // in window
	otherRate   = 1000
	window      = 10_000 // ms
)

// Event is something that a peer may do for nothing.
type Event uint8

// The events. Other are frames that are ignored: PRIORITY, of unknown types, and WINDOW_UPDATE for streams that are closed.
const (
	EventReset Event = iota
	EventEmpty
	EventPing
	EventSettings
	EventOther
)

var (
	errResets   = connError(EnhanceYourCalm, "too many streams that are reset")
	errEmpty    = connError(EnhanceYourCalm, "too many empty frames")
	errPings    = connError(EnhanceYourCalm, "too many pings")
	errSettings = connError(EnhanceYourCalm, "too many settings")
	errOthers   = connError(EnhanceYourCalm, "too many frames that mean nothing")
)

// Flood counts what a peer does for nothing. The zero value is ready.
type Flood struct {
	since                   int64 // ms; when the window began
	pings, settings, others int
	resets                  int64 // thousandths of a reset that are owed
	last                    int64 // ms; when resets was counted down
	empty                   int
	sent                    int // bytes of content sent for which others has not been counted down yet
}

// Count counts an event at a time in ms, which does not go back. It returns an error if there are too many.
func (f *Flood) Count(e Event, now int64) *Error {
	if now-f.since >= window {
		f.since, f.pings, f.settings, f.others = now, 0, 0, min(f.others, 0)/2 // what was sent just before is not answered yet
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

// Useful notes that the peer has sent something that means something, so that empty frames and pings begin to count anew.
func (f *Flood) Useful() { f.empty, f.pings = 0, 0 }

// A peer may send more frames without effect the more it was served: a window for a stream may arrive after its end if the content was sent
// faster, and from far away it arrives when more streams have ended since than are remembered.
const (
	othersEach  = 4       // for each stream
	othersBytes = 4 << 10 // one for each so many bytes that were sent to it
)

// Begun notes that a stream has begun.
func (f *Flood) Begun() { f.others -= othersEach }

// Sent notes that the peer was sent so many bytes of content. Peers that measure how fast that goes send a ping with each piece, as those of gRPC do.
func (f *Flood) Sent(n int) {
	f.pings = 0
	f.sent += n
	f.others -= f.sent / othersBytes
	f.sent %= othersBytes
}
