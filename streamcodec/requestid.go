package streamcodec

import (
	crand "crypto/rand"
	"encoding/binary"
	"encoding/hex"
	"math/rand/v2"
)

// RequestID is 128 random bits in hexadecimal.
type RequestID [32]byte

// RequestIDs makes request IDs on one loop; the zero value is ready. The bits come from ChaCha8, which is seeded once by the
// kernel's random numbers: an ID costs no system call, two loops or processes do not make the same one, and whoever has
// seen IDs cannot guess others.
type RequestIDs struct{ random *rand.ChaCha8 }

// Next makes an ID.
func (r *RequestIDs) Next(id *RequestID) {
	if r.random == nil {
		var seed [32]byte
		_, _ = crand.Read(seed[:]) // never fails
		r.random = rand.NewChaCha8(seed)
	}
	var bits [16]byte
	binary.NativeEndian.PutUint64(bits[:8], r.random.Uint64())
	binary.NativeEndian.PutUint64(bits[8:], r.random.Uint64())
	hex.Encode(id[:], bits[:])
}
