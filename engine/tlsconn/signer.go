package tlsconn

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rsa"
	"io"
	"sync"
)

// Signers makes signatures that would hold a loop up, beside the loops: RSA-2048 takes a millisecond, in which a loop serves
// a hundred requests. It is shared by all loops of a process. There are no more signatures waiting than there are handshakes.
type Signers struct {
	mu      sync.Mutex
	queue   []*signature
	running int
	max     int
}

// NewSigners makes signers that work on up to n signatures at once.
func NewSigners(n int) *Signers { return &Signers{max: n} }

// signature is one that is being made.
type signature struct {
	key    crypto.Signer
	rand   io.Reader
	digest []byte
	opts   crypto.SignerOpts
	done   func() // called when result and err are there

	result []byte
	err    error
}

// submit has a signature made.
func (s *Signers) submit(j *signature) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.queue = append(s.queue, j)
	if s.running < s.max {
		s.running++
		go s.work()
	}
}

// work makes signatures until none is waiting.
func (s *Signers) work() {
	for {
		s.mu.Lock()
		if len(s.queue) == 0 {
			s.running--
			s.mu.Unlock()
			return
		}
		j := s.queue[0]
		s.queue = s.queue[1:]
		s.mu.Unlock()
		j.result, j.err = j.key.Sign(j.rand, j.digest, j.opts)
		j.done()
	}
}

// isSlow reports whether a signature with this key takes longer than a loop should be held up. ECDSA on P-256 takes 26
// microseconds, Ed25519 about as long.
func isSlow(key crypto.PrivateKey) bool {
	switch k := key.(type) {
	case *rsa.PrivateKey:
		return true
	case *ecdsa.PrivateKey:
		return k.Curve != elliptic.P256()
	}
	return false
}

// signer is a key whose signatures are made beside the loop while the handshake waits.
type signer struct {
	key     crypto.Signer
	signers *Signers
	hs      *Handshake
}

// signerFor returns key as a handshake uses it.
func (s *Signers) signerFor(ctx context.Context, key crypto.PrivateKey) crypto.PrivateKey {
	hs, ok := ctx.Value(handshakeKey{}).(*Handshake)
	k, signs := key.(crypto.Signer)
	if !ok || !signs {
		return key
	}
	return &signer{k, s, hs}
}

// Public implements crypto.Signer.
func (s *signer) Public() crypto.PublicKey { return s.key.Public() }

// Sign implements crypto.Signer. It is called on the handshake's coroutine.
func (s *signer) Sign(rand io.Reader, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
	hs := s.hs
	loop, serial := hs.set.loop, hs.serial
	// The digest is crypto/tls's, which may be gone before the signature is made if the handshake is given up.
	j := &signature{key: s.key, rand: rand, digest: append([]byte(nil), digest...), opts: opts}
	made := false
	j.done = func() {
		loop.Post(func() {
			made = true
			if hs.serial == serial && hs.step == stepSignature {
				hs.resume()
			}
		})
	}
	hs.step = stepSignature
	s.signers.submit(j)
	for !made {
		if err := hs.wait(); err != nil {
			return nil, err
		}
	}
	hs.step = stepPeer
	return j.result, j.err
}
