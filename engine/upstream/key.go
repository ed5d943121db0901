package upstream

import (
	"encoding/binary"
	"net/netip"

	"github.com/cespare/xxhash/v2"

	"kroxy-ev/logformat"
)

// maxKey bounds a key that is made from a template, in bytes. It is copied for each attempt, and clients write what is in it: of a longer
// one its hash takes its place.
const maxKey = 64

// AppendAddrKey appends a client's address as balance.KeyClient has it: as $client_addr would be.
func AppendAddrKey(dst []byte, client netip.Addr) []byte {
	return client.Unmap().WithZone("").AppendTo(dst)
}

// AppendKey appends what the hosts of g are chosen by where that is a balance.KeyTemplate; r has what HashKey needs.
func (g *Group) AppendKey(dst []byte, r *logformat.Record) []byte {
	from := len(dst)
	dst = g.HashKey.Append(dst, r)
	if len(dst)-from > maxKey {
		dst = binary.LittleEndian.AppendUint64(dst[:from], xxhash.Sum64(dst[from:]))
	}
	return dst
}
