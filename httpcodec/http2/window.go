package http2

// Window is how many bytes of DATA one side may still send to the other, on a stream or on a connection (RFC 9113 section 5.2). A change of
// settings may make it negative.
type Window int64

var (
	errStreamOverflow = streamError(FlowControlError, "the window of a stream is above 2^31-1")
	errConnOverflow   = connError(FlowControlError, "the window of the connection is above 2^31-1")
	errStreamOverrun  = streamError(FlowControlError, "more data than the window of the stream allows")
	errConnOverrun    = connError(FlowControlError, "more data than the window of the connection allows")
)

// Grow adds what the peer grants by a WINDOW_UPDATE, or by settings.
func (w *Window) Grow(n int64, conn bool) *Error {
	if *w += Window(n); *w > maxStream {
		if conn {
			return errConnOverflow
		}
		return errStreamOverflow
	}
	return nil
}

// Spend takes what the peer has sent of what it was granted.
func (w *Window) Spend(n int, conn bool) *Error {
	if *w -= Window(n); *w < 0 {
		if conn {
			return errConnOverrun
		}
		return errStreamOverrun
	}
	return nil
}

// Room is how many bytes may be sent now, at most n.
func (w Window) Room(n int) int { return int(max(0, min(w, Window(n)))) }

// Grant is what a peer may be granted anew. It is told in large pieces, since each is a frame: once it is half of the whole.
type Grant struct {
	Size uint32 // the whole window
	due  uint32
}

// Drained notes that n bytes went on their way, and returns how much is to be granted now, or 0.
func (g *Grant) Drained(n int) uint32 {
	if g.due += uint32(n); g.due < g.Size/2 {
		return 0
	}
	due := g.due
	g.due = 0
	return due
}
