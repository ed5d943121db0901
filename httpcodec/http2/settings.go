package http2

import "encoding/binary"

// setting is the identifier of a setting (RFC 9113 section 6.5.2).
type setting uint16

const (
	settingHeaderTableSize   setting = 1
	settingEnablePush        setting = 2
	settingMaxStreams        setting = 3
	settingInitialWindow     setting = 4
	settingMaxFrame          setting = 5
	settingMaxHeaderListSize setting = 6
)

// PeerSettings are the settings that a peer has announced, or their initial values.
type PeerSettings struct {
	MaxStreams    uint32 // streams that the peer allows at once
	InitialWindow int32  // initial window of a stream, in bytes
	MaxFrame      int    // longest payload that the peer accepts, in bytes; at least MaxFrame
	MaxHeaderList uint32 // largest head, in bytes as RFC 9113 section 6.5.2 counts them
}

// NewPeerSettings returns the initial values, which hold until a SETTINGS arrives.
func NewPeerSettings() PeerSettings {
	return PeerSettings{MaxStreams: maxStream, InitialWindow: 65535, MaxFrame: MaxFrame, MaxHeaderList: maxStream}
}

var (
	errPush       = connError(ProtocolError, "settings with an enable_push that is neither 0 nor 1")
	errInitial    = connError(FlowControlError, "settings with an initial window above 2^31-1")
	errFrameBound = connError(ProtocolError, "settings with a frame size outside its bounds")
)

// Take applies the payload of a SETTINGS. It returns by how much the windows of all streams change; the caller must change them.
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
		// HEADER_TABLE_SIZE does not matter, since the peer's decoder table is not used (see AppendBlock). Unknown settings are ignored.
	}
	return windows, nil
}

// OwnSettings are the settings that this side announces.
type OwnSettings struct {
	MaxStreams    uint32 // streams allowed at once; a client does not announce it
	InitialWindow uint32 // initial window of a stream, in bytes
	Client        bool   // this side is the client and refuses pushes
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

// AppendSettingsAck appends the acknowledgement of a SETTINGS.
func AppendSettingsAck(dst []byte) []byte { return Header{0, Settings, Ack, 0}.Append(dst) }
