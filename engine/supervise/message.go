package supervise

import (
	"encoding/binary"
	"strings"
)

// kind is the type of a message. The numbers never change, because the two masters of an upgrade may have
// different versions.
type kind uint8

const (
	kindFiles kind = 1 // either way: descriptors that belong to the following payload with this id
	// From a master to its worker; id is the plan's number.
	kindPrepare kind = 2 // a payload: prepare to follow this plan
	kindCommit  kind = 3 // follow the prepared plan
	kindAbort   kind = 4 // forget the prepared plan
	kindDrain   kind = 5 // value: nanoseconds
	kindStop    kind = 6
	kindNotice  kind = 7 // value: the Notice
	// From a worker to its master.
	kindPrepared  kind = 8  // value: 0 for success; otherwise 1, and text is the reason
	kindCommitted kind = 9  // from now on the worker serves
	kindHandover  kind = 10 // from a master to its successor, a payload
	kindServing   kind = 11 // from a successor to its master; text is for the user, and may be empty
	kindFailed    kind = 12 // from a successor to its master; text is the reason
)

const (
	headerSize = 16
	// maxText bounds an error's text, so that a message fits into the smallest socket buffer that occurs in practice.
	maxText = 8 << 10
)

// message is one packet of a control channel: kind, three zero bytes, id, value (little-endian), text.
type message struct {
	kind  kind
	id    uint32
	value int64
	text  string // UTF-8; truncated to maxText

	// The payload of kindPrepare and kindHandover, which is not in the packet itself; value is the number of
	// files. damaged is set if part of the payload was lost.
	body    []byte
	files   []int
	damaged error
}

// encode returns the packet.
func (m *message) encode() []byte {
	text := m.text
	if len(text) > maxText {
		text = strings.ToValidUTF8(text[:maxText], "")
	}
	p := make([]byte, headerSize, headerSize+len(text))
	p[0] = byte(m.kind)
	binary.LittleEndian.PutUint32(p[4:], m.id)
	binary.LittleEndian.PutUint64(p[8:], uint64(m.value))
	return append(p, text...)
}

// decode decodes a packet and reports whether it is valid. The reader must ignore unknown kinds.
func decode(p []byte) (message, bool) {
	if len(p) < headerSize || len(p) > headerSize+maxText || p[0] == 0 || p[1]|p[2]|p[3] != 0 {
		return message{}, false
	}
	return message{
		kind:  kind(p[0]),
		id:    binary.LittleEndian.Uint32(p[4:]),
		value: int64(binary.LittleEndian.Uint64(p[8:])),
		text:  string(p[headerSize:]),
	}, true
}
