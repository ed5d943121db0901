package http2

// Window is how many bytes of DATA one side may still send on a stream or on a connection (RFC 9113 section 5.2). A change of
// settings may make it negative.
type Window int64

var (
	errStreamOverflow = streamError(FlowControlError, "the window of a stream is above 2^31-1")
	errConnOverflow   = connError(FlowControlError, "the window of the connection is above 2^31-1")
	errStreamOverrun  = streamError(FlowControlError, "more data than the window of the stream allows")
	errConnOverrun    = connError(FlowControlError, "more data than the window of the connection allows")
)

// Grow adds n, which the peer has granted by a WINDOW_UPDATE or by SETTINGS. Conn says whether this is a connection's window.
func (w *Window) Grow(n int64, conn bool) *Error {
	if *w += Window(n); *w > maxStream {
		if conn {
			return errConnOverflow
		}
		return errStreamOverflow
	}
	return nil
}

// Spend subtracts n, which the peer has sent.
func (w *Window) Spend(n int, conn bool) *Error {
	if *w -= Window(n); *w < 0 {
		if conn {
			return errConnOverrun
		}
		return errStreamOverrun
	}
	return nil
}

// Room returns how many bytes may be sent now, at most n.
func (w Window) Room(n int) int { return int(max(0, min(w, Window(n)))) }

// Grant tracks how much of a window can be granted to the peer again. Each grant is a frame, so it waits until half of the window
// is due.
type Grant struct {
	Size uint32 // the whole window
	due  uint32
}

// Consumed records that n received bytes have been consumed, and returns how much to grant now, or 0.
func (g *Grant) Consumed(n int) uint32 {
	if g.due += uint32(n); g.due < g.Size/2 {
		return 0
	}
	due := g.due
	g.due = 0
	return due
}
