package supervise

import (
	"encoding/binary"
	"strings"
)

// kind is what a message says. The numbers are kept from version to version, as the two masters of an upgrade are of
// different ones.
type kind uint8

const (
	kindFiles kind = 1 // either way: descriptors that belong to the payload that follows, id
	// From a master to its worker; id is the plan's number.
	kindPrepare kind = 2 // a payload: get ready to follow this plan
	kindCommit  kind = 3 // follow the plan that was prepared
	kindAbort   kind = 4 // forget the plan that was prepared
	kindDrain   kind = 5 // value: nanoseconds
	kindStop    kind = 6
	kindNotice  kind = 7 // value: which
	// From a worker to its master.
	kindPrepared  kind = 8  // value: 0, or 1 and text says why not
	kindCommitted kind = 9  // from now on the worker serves
	kindHandover  kind = 10 // from a master to its successor, a payload
	kindServing   kind = 11 // from a successor to its master; text is for people, and may be empty
	kindFailed    kind = 12 // likewise; text says why
)

const (
	headerSize = 16
	// maxText bounds an error's text, so that a message fits into the smallest socket buffer there is in practice.
	maxText = 8 << 10
)

// message is one packet of a control channel: kind, three zero bytes, id, value (little-endian), text.
type message struct {
	kind  kind
	id    uint32
	value int64
	text  string // UTF-8; what exceeds maxText is cut off

	// The payload of kindPrepare and kindHandover, which does not travel in the packet itself: value is the number of
	// files. damaged says that it was lost on its way.
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

// decode reads a packet and says whether it is one. A kind that is not known is for the reader to pass over.
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
