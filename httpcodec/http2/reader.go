package http2

import (
	"encoding/binary"
)

// Frame is a frame, or a piece of a DATA frame. Payload has no padding. The memory after the payload of DATA may be used, up to
// the end of the bytes that have been received.
type Frame struct {
	Header
	Payload []byte
	// Last says that a DATA frame ends with this piece. Cost is how much of the windows the piece takes, including padding.
	Last bool
	Cost int
}

// Reader cuts a peer's bytes into frames, and checks everything that can be checked in a single frame. The zero value is ready to use.
//
// DATA is returned in pieces as it arrives. Any other frame is returned whole, so at most HeaderLen+MaxFrame bytes must be buffered.
type Reader struct {
	data     Header // of the DATA frame whose payload comes next, if inData
	inData   bool
	begun    bool   // the Pad Length was read
	left     int    // bytes of its payload that have not arrived, including padding
	padding  int    // bytes of padding at its end
	started  bool   // the first SETTINGS was read
	heading  uint32 // stream of the incomplete header block; 0 if there is none
	Continue int    // how many CONTINUATION frames the current header block has
}

var (
	errPreface      = connError(ProtocolError, "no http/2 preface")
	errFrameSize    = connError(FrameSizeError, "a frame is longer than 16384 bytes")
	errSize         = connError(FrameSizeError, "a frame of a wrong length")
	errStreamSize   = streamError(FrameSizeError, "a priority frame of a wrong length")
	errNoStream     = connError(ProtocolError, "a frame that needs a stream has none")
	errHasStream    = connError(ProtocolError, "a frame of the connection has a stream")
	errPadding      = connError(ProtocolError, "padding is longer than the frame")
	errInterleaved  = connError(ProtocolError, "a frame inside a header block")
	errNoBlock      = connError(ProtocolError, "a continuation without a header block")
	errAckSize      = connError(FrameSizeError, "a settings acknowledgement with a payload")
	errIncrement    = streamError(ProtocolError, "a window update of zero")
	errConnWindow   = connError(ProtocolError, "a window update of zero for the connection")
	errSelfPriority = streamError(ProtocolError, "a stream that depends on itself")
	errFirst        = connError(ProtocolError, "the first frame is not settings")
	errPushed       = connError(ProtocolError, "a push promise")
	errContinue     = connError(EnhanceYourCalm, "more than 8 continuations of a header block")
)

// maxContinuations is how many CONTINUATION frames a header block may have.
const maxContinuations = 8

// SkipPreface looks for the preface at the beginning of b. It returns the preface's length, or 0 if more bytes are needed.
func SkipPreface(b []byte) (int, *Error) {
	n := min(len(b), len(Preface))
	if string(b[:n]) != Preface[:n] {
		return 0, errPreface
	}
	if n < len(Preface) {
		return 0, nil
	}
	return n, nil
}

// Next reads a frame from b, which must have all bytes that were received and not read yet. It returns how many bytes the frame
// took, or 0 if more are needed. The payload is part of b. After a connection error, Next must not be called again. A stream
// error is returned together with its frame, which was read.
func (r *Reader) Next(b []byte) (f Frame, n int, err *Error) {
	if r.inData {
		return r.piece(b)
	}
	if len(b) < HeaderLen {
		return f, 0, nil
	}
	h := parseHeader(b)
	if err := r.check(h); err != nil {
		return f, 0, err
	}
	if h.Type == Data {
		r.data, r.inData, r.begun, r.left, r.padding = h, true, !h.Has(Padded), h.Length, 0
		f, n, err = r.piece(b[HeaderLen:])
		return f, HeaderLen + n, err
	}
	n = HeaderLen + h.Length
	if len(b) < n {
		return f, 0, nil
	}
	f = Frame{Header: h, Payload: b[HeaderLen:n:n], Last: true}
	r.note(h)
	return f, n, f.trim()
}

// check checks a frame by its header.
func (r *Reader) check(h Header) *Error {
	switch {
	case h.Length > MaxFrame:
		return errFrameSize
	case !r.started && (h.Type != Settings || h.Has(Ack)):
		return errFirst
	case r.heading != 0 && (h.Type != Continuation || h.Stream != r.heading):
		return errInterleaved
	case r.heading == 0 && h.Type == Continuation:
		return errNoBlock
	}
	switch h.Type {
	case PushPromise: // a client may not send it, and no host was asked for it
		return errPushed
	case Data, Headers, Priority, RSTStream, Continuation:
		if h.Stream == 0 {
			return errNoStream
		}
	case Settings, Ping, GoAway:
		if h.Stream != 0 {
			return errHasStream
		}
	}
	switch h.Type {
	case RSTStream, WindowUpdate:
		if h.Length != 4 {
			return errSize
		}
	case Settings:
		switch {
		case h.Length%6 != 0:
			return errSize
		case h.Has(Ack) && h.Length > 0:
			return errAckSize
		}
	case Ping:
		if h.Length != 8 {
			return errSize
		}
	case GoAway:
		if h.Length < 8 {
			return errSize
		}
	case Continuation:
		if r.Continue >= maxContinuations {
			return errContinue
		}
	}
	return nil
}

// note records what determines which frame may come next.
func (r *Reader) note(h Header) {
	r.started = true
	switch h.Type {
	case Headers:
		r.Continue = 0
		if !h.Has(EndHeaders) {
			r.heading = h.Stream
		}
	case Continuation:
		r.Continue++
		if h.Has(EndHeaders) {
			r.heading = 0
		}
	}
}

// trim reduces the payload to the header block or the data, and checks a whole frame.
func (f *Frame) trim() *Error {
	p := f.Payload
	switch f.Type {
	case Priority:
		switch {
		case len(p) != 5:
			return errStreamSize
		case binary.BigEndian.Uint32(p)&maxStream == f.Stream:
			return errSelfPriority
		}
	case WindowUpdate:
		if binary.BigEndian.Uint32(p)&maxStream == 0 {
			if f.Stream == 0 {
				return errConnWindow
			}
			return errIncrement
		}
	case Headers:
		if f.Has(Padded) {
			if len(p) == 0 {
				return errSize
			}
			if int(p[0]) >= len(p) {
				return errPadding
			}
			p = p[1 : len(p)-int(p[0])]
		}
		if f.Has(HasPriority) {
			if len(p) < 5 {
				return errSize
			}
			depends := binary.BigEndian.Uint32(p) & maxStream
			p = p[5:]
			f.Payload = p
			if depends == f.Stream { // the block must be decoded anyway
				return errSelfPriority
			}
		}
		f.Payload = p
	}
	return nil
}

// piece reads what has arrived of the current DATA frame.
func (r *Reader) piece(b []byte) (f Frame, n int, err *Error) {
	f = Frame{Header: r.data}
	if !r.begun {
		if r.left == 0 {
			return f, 0, errSize
		}
		if len(b) == 0 {
			return f, 0, nil
		}
		r.begun, r.padding, r.left = true, int(b[0]), r.left-1
		if r.padding > r.left {
			return f, 0, errPadding
		}
		b, n, f.Cost = b[1:], 1, 1
	}
	have := min(len(b), r.left)
	content := min(have, r.left-r.padding)
	f.Payload = b[:max(content, 0)]
	f.Cost += have
	n += have
	if r.left -= have; r.left == 0 {
		f.Last, r.inData = true, false
	} else if content < have || r.left < r.padding { // the rest is padding
		r.padding = r.left
	}
	return f, n, nil
}
