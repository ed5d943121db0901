package http2

import "fmt"

// Code is an error code in RST_STREAM or GOAWAY (RFC 9113 section 7).
type Code uint32

// The error codes.
const (
	NoError            Code = 0x0
	ProtocolError      Code = 0x1
	InternalError      Code = 0x2
	FlowControlError   Code = 0x3
	SettingsTimeout    Code = 0x4
	StreamClosed       Code = 0x5
	FrameSizeError     Code = 0x6
	RefusedStream      Code = 0x7
	Cancel             Code = 0x8
	CompressionError   Code = 0x9
	ConnectError       Code = 0xa
	EnhanceYourCalm    Code = 0xb
	InadequateSecurity Code = 0xc
	HTTP11Required     Code = 0xd
)

var codeNames = [...]string{
	"NO_ERROR", "PROTOCOL_ERROR", "INTERNAL_ERROR", "FLOW_CONTROL_ERROR", "SETTINGS_TIMEOUT", "STREAM_CLOSED", "FRAME_SIZE_ERROR",
	"REFUSED_STREAM", "CANCEL", "COMPRESSION_ERROR", "CONNECT_ERROR", "ENHANCE_YOUR_CALM", "INADEQUATE_SECURITY", "HTTP_1_1_REQUIRED",
}

func (c Code) String() string {
	if int(c) < len(codeNames) {
		return codeNames[c]
	}
	return fmt.Sprintf("code %#x", uint32(c))
}

// Error is the reason why a connection must end, or only a stream if Stream is set. Values are shared and must not be changed.
type Error struct {
	Code Code
	// Stream says that only the frame's stream ends, not the connection.
	Stream bool
	Reason string // for the error log: lower case, short, and without bytes from the peer
}

func (e *Error) Error() string { return e.Reason }

func connError(c Code, reason string) *Error   { return &Error{Code: c, Reason: reason} }
func streamError(c Code, reason string) *Error { return &Error{Code: c, Stream: true, Reason: reason} }
