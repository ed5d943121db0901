package tlsconn

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rsa"
	"io"
	"runtime"
	"slices"
	"sync"

	"golang.org/x/sys/unix"
)

// Signers makes signatures that would hold a loop up, on threads beside the loops: RSA-2048 takes a millisecond, in which a
// loop serves sixty requests. It is shared by all loops of a process. No more signatures wait than there are handshakes.
//
// The threads sleep in the kernel and not in Go's scheduler, which would have another thread look for the work first: that one
// takes the CPU from the loop that has just handed the work over, and keeps it until the signature is made.
type Signers struct {
	mu      sync.Mutex
	queue   []*signature
	max     int
	threads int
	bell    int // an eventfd that counts what is queued; meaningful while there are threads
	closed  bool
}

// NewSigners makes signers that work on up to n signatures at once. Threads are started when there is work; Close ends them.
func NewSigners(n int) *Signers { return &Signers{max: n} }

// Close ends the threads. No handshake may be at work.
func (s *Signers) Close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	s.ring(s.threads)
}

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

func (j *signature) make() {
	j.result, j.err = j.key.Sign(j.rand, j.digest, j.opts)
	j.done()
}

// submit has a signature made.
func (s *Signers) submit(j *signature) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.queue) == s.threads && s.threads < s.max && !s.start() {
		go j.make() // without a descriptor it is made anyhow
		return
	}
	s.queue = append(s.queue, j)
	s.ring(1)
}

// start starts one more thread. It reports false if there is none at all.
func (s *Signers) start() bool {
	if s.threads == 0 {
		var err error
		if s.bell, err = unix.Eventfd(0, unix.EFD_SEMAPHORE|unix.EFD_CLOEXEC); err != nil {
			return false
		}
	}
	s.threads++
	go s.work()
	return true
}

// ring has n threads, that are asleep or about to be, look.
func (s *Signers) ring(n int) {
	if n > 0 {
		count := [8]byte{byte(n), byte(n >> 8)}
		_, _ = unix.Write(s.bell, count[:]) // cannot fail, short of 2^64 signatures
	}
}

// signerNice has the kernel take the CPU from a signer for a loop that wakes up, in most cases. It is not more, since a
// garbage collection waits for a signer that is at work: on a busy machine it must get the CPU soon enough.
const signerNice = 10

// work makes signatures on a thread of its own.
func (s *Signers) work() {
	runtime.LockOSThread() // and not back: the thread ends with this
	_ = unix.Setpriority(unix.PRIO_PROCESS, unix.Gettid(), signerNice)
	for {
		var count [8]byte
		if _, err := unix.Read(s.bell, count[:]); err != nil {
			continue // a signal
		}
		s.mu.Lock()
		if s.closed {
			if s.threads--; s.threads == 0 {
				_ = unix.Close(s.bell)
			}
			s.mu.Unlock()
			return
		}
		j := s.queue[0]
		s.queue = slices.Delete(s.queue, 0, 1)
		s.mu.Unlock()
		j.make()
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

// signer is a key as one handshake uses it.
type signer struct {
	key     crypto.Signer
	signers *Signers // nil if the key is fast
	hs      *Handshake
}

// signerFor returns key as hs uses it.
func (s *Signers) signerFor(hs *Handshake, key crypto.PrivateKey) crypto.PrivateKey {
	k, signs := key.(crypto.Signer)
	if !signs {
		return key
	}
	if !isSlow(key) {
		s = nil
	}
	return &signer{k, s, hs}
}

// Public implements crypto.Signer.
func (s *signer) Public() crypto.PublicKey { return s.key.Public() }

// Sign implements crypto.Signer. It is called on the handshake's coroutine.
func (s *signer) Sign(rand io.Reader, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
	hs := s.hs
	if s.signers == nil {
		if err := hs.giveWay(); err != nil {
			return nil, err
		}
		return s.key.Sign(rand, digest, opts)
	}
	loop, serial := hs.set.loop, hs.serial
	// The digest is crypto/tls's, which may be gone before the signature is made if the handshake is given up.
	j := &signature{key: s.key, rand: rand, digest: slices.Clone(digest), opts: opts}
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
