package http2

import (
	"encoding/binary"
	"fmt"
)

// Preface is what a client sends before its first frame (RFC 9113 section 3.4).
const Preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

// Type is the type of a frame (RFC 9113 section 6).
type Type uint8

// The types. Unknown types are ignored (section 4.1).
const (
	Data         Type = 0x0
	Headers      Type = 0x1
	Priority     Type = 0x2
	RSTStream    Type = 0x3
	Settings     Type = 0x4
	PushPromise  Type = 0x5
	Ping         Type = 0x6
	GoAway       Type = 0x7
	WindowUpdate Type = 0x8
	Continuation Type = 0x9
)

var typeNames = [...]string{"DATA", "HEADERS", "PRIORITY", "RST_STREAM", "SETTINGS", "PUSH_PROMISE", "PING", "GOAWAY", "WINDOW_UPDATE", "CONTINUATION"}

func (t Type) String() string {
	if int(t) < len(typeNames) {
		return typeNames[t]
	}
	return fmt.Sprintf("type %#x", uint8(t))
}

// Flags are the flags of a frame. What they mean depends on its type.
type Flags uint8

// The flags.
const (
	Ack         Flags = 0x1 // of SETTINGS and PING
	EndStream   Flags = 0x1 // of DATA and HEADERS
	EndHeaders  Flags = 0x4
	Padded      Flags = 0x8
	HasPriority Flags = 0x20
)

// HeaderLen is the length of a frame header in bytes.
const HeaderLen = 9

// MaxFrame is the longest payload that is accepted, and sent: every peer accepts it (section 4.2).
const MaxFrame = 16384

// Header is a frame header.
type Header struct {
	Length int // of the payload, in bytes; less than 1<<24
	Type   Type
	Flags  Flags
	Stream uint32 // 0 for the connection
}

// Has reports whether all of these flags are set.
func (h Header) Has(f Flags) bool { return h.Flags&f == f }

// parseHeader parses the first HeaderLen bytes of b. The reserved bit is ignored (section 4.1).
func parseHeader(b []byte) Header {
	return Header{
		Length: int(b[0])<<16 | int(b[1])<<8 | int(b[2]),
		Type:   Type(b[3]),
		Flags:  Flags(b[4]),
		Stream: binary.BigEndian.Uint32(b[5:]) & maxStream,
	}
}

// maxStream is the highest stream number, and the largest window.
const maxStream = 1<<31 - 1

// Append appends the header. The caller appends the payload.
func (h Header) Append(dst []byte) []byte {
	dst = append(dst, byte(h.Length>>16), byte(h.Length>>8), byte(h.Length), byte(h.Type), byte(h.Flags))
	return binary.BigEndian.AppendUint32(dst, h.Stream)
}

// AppendRST appends a RST_STREAM.
func AppendRST(dst []byte, stream uint32, c Code) []byte {
	dst = Header{4, RSTStream, 0, stream}.Append(dst)
	return binary.BigEndian.AppendUint32(dst, uint32(c))
}

// AppendWindowUpdate appends a WINDOW_UPDATE of n bytes, from 1 to 1<<31-1. Stream 0 is the connection.
func AppendWindowUpdate(dst []byte, stream uint32, n uint32) []byte {
	dst = Header{4, WindowUpdate, 0, stream}.Append(dst)
	return binary.BigEndian.AppendUint32(dst, n)
}

// AppendPing appends a PING, or the acknowledgement of one with the same data.
func AppendPing(dst []byte, ack bool, data [8]byte) []byte {
	h := Header{8, Ping, 0, 0}
	if ack {
		h.Flags = Ack
	}
	return append(h.Append(dst), data[:]...)
}

// AppendGoAway appends a GOAWAY. Streams up to last are processed (section 6.8). The text why is debug data.
func AppendGoAway(dst []byte, last uint32, c Code, why string) []byte {
	dst = Header{8 + len(why), GoAway, 0, 0}.Append(dst)
	dst = binary.BigEndian.AppendUint32(dst, last)
	dst = binary.BigEndian.AppendUint32(dst, uint32(c))
	return append(dst, why...)
}

// AppendHead appends a header block as a HEADERS frame and as many CONTINUATION frames as needed, with payloads of at most max
// bytes. End says that nothing more of the stream follows.
func AppendHead(dst []byte, stream uint32, block []byte, end bool, max int) []byte {
	h := Header{Type: Headers, Stream: stream}
	if end {
		h.Flags = EndStream
	}
	for {
		h.Length = min(len(block), max)
		if h.Length == len(block) {
			h.Flags |= EndHeaders
		}
		dst = append(h.Append(dst), block[:h.Length]...)
		if block = block[h.Length:]; len(block) == 0 {
			return dst
		}
		h.Type, h.Flags = Continuation, 0
	}
}
