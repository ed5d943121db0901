package streamcodec

import (
	crand "crypto/rand"
	"encoding/binary"
	"encoding/hex"
	"math/rand/v2"
)

// RequestID is 128 random bits in hexadecimal.
type RequestID [32]byte

// RequestIDs generates request IDs on one loop. The zero value is ready to use. The bits come from ChaCha8, seeded once with
// the kernel's random numbers. So an ID costs no system call, different loops and processes do not generate the same one, and
// IDs cannot be guessed from other IDs.
type RequestIDs struct{ random *rand.ChaCha8 }

// Next generates an ID.
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
