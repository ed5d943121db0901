package upstream

import (
	"encoding/binary"
	"net/netip"

	"github.com/cespare/xxhash/v2"

	"kroxy-ev/logformat"
)

// maxKey bounds a key that is made from a template, in bytes. Clients control its content and it is copied for each attempt, so a longer
// key is replaced by its hash.
const maxKey = 64

// AppendAddrKey appends a client's address as the key for balance.KeyClient; the key is equal to $client_addr.
func AppendAddrKey(dst []byte, client netip.Addr) []byte {
	return client.Unmap().WithZone("").AppendTo(dst)
}

// AppendKey appends the key by which hosts of g are chosen if that is a balance.KeyTemplate; r must have what HashKey needs.
func (g *Group) AppendKey(dst []byte, r *logformat.Record) []byte {
	from := len(dst)
	dst = g.HashKey.Append(dst, r)
	if len(dst)-from > maxKey {
		dst = binary.LittleEndian.AppendUint64(dst[:from], xxhash.Sum64(dst[from:]))
	}
	return dst
}
