package http2

import "encoding/binary"

// setting is the number of a setting (RFC 9113 section 6.5.2).
type setting uint16

const (
	settingHeaderTableSize   setting = 1
	settingEnablePush        setting = 2
	settingMaxStreams        setting = 3
	settingInitialWindow     setting = 4
	settingMaxFrame          setting = 5
	settingMaxHeaderListSize setting = 6
)

// PeerSettings are what a peer has said of itself, with what holds before it has said anything.
type PeerSettings struct {
	MaxStreams    uint32 // streams that it takes at once
	InitialWindow int32  // of each new stream, in bytes
	MaxFrame      int    // payload that it takes, in bytes; at least MaxFrame
	MaxHeaderList uint32 // of a head, in bytes as RFC 9113 section 6.5.2 counts them
}

// NewPeerSettings returns what holds before a SETTINGS has come.
func NewPeerSettings() PeerSettings {
	return PeerSettings{MaxStreams: maxStream, InitialWindow: 65535, MaxFrame: MaxFrame, MaxHeaderList: maxStream}
}

var (
	errPush       = connError(ProtocolError, "settings with an enable_push that is neither 0 nor 1")
	errInitial    = connError(FlowControlError, "settings with an initial window above 2^31-1")
	errFrameBound = connError(ProtocolError, "settings with a frame size outside its bounds")
)

// Take reads the payload of a SETTINGS. It returns by how much the windows of all streams change, which the caller has to see to.
func (s *PeerSettings) Take(payload []byte) (windows int64, err *Error) {
	for ; len(payload) >= 6; payload = payload[6:] {
		value := binary.BigEndian.Uint32(payload[2:])
		switch setting(binary.BigEndian.Uint16(payload)) {
		case settingEnablePush:
			if value > 1 {
				return windows, errPush
			}
		case settingMaxStreams:
			s.MaxStreams = value
		case settingInitialWindow:
			if value > maxStream {
				return windows, errInitial
			}
			windows += int64(value) - int64(s.InitialWindow)
			s.InitialWindow = int32(value)
		case settingMaxFrame:
			if value < MaxFrame || value > 1<<24-1 {
				return windows, errFrameBound
			}
			s.MaxFrame = int(value)
		case settingMaxHeaderListSize:
			s.MaxHeaderList = value
		}
		// The table of a peer's decoder is not used, so its size does not matter (see AppendBlock); others are ignored.
	}
	return windows, nil
}

// OwnSettings are what this side says of itself.
type OwnSettings struct {
	MaxStreams    uint32 // streams that are taken at once; of a client's side it is not told
	InitialWindow uint32 // of each new stream, in bytes
	Client        bool   // this side is the client: it wants no pushes
}

// Append appends a SETTINGS.
func (s OwnSettings) Append(dst []byte) []byte {
	at := len(dst)
	dst = Header{0, Settings, 0, 0}.Append(dst)
	add := func(id setting, value uint32) {
		dst = binary.BigEndian.AppendUint16(dst, uint16(id))
		dst = binary.BigEndian.AppendUint32(dst, value)
	}
	if s.Client {
		add(settingEnablePush, 0)
	} else {
		add(settingMaxStreams, s.MaxStreams)
	}
	add(settingInitialWindow, s.InitialWindow)
	add(settingMaxHeaderListSize, maxList)
	dst[at+2] = byte(len(dst) - at - HeaderLen)
	return dst
}

// AppendSettingsAck appends the answer to a SETTINGS.
func AppendSettingsAck(dst []byte) []byte { return Header{0, Settings, Ack, 0}.Append(dst) }
