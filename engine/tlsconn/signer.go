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

// Signers makes signatures that would block a loop, on threads beside the loops: an RSA-2048 signature takes a millisecond, in which a
// loop serves sixty requests. All loops of a process share it. The number of handshakes bounds the waiting signatures.
//
// The threads sleep in the kernel and not in Go's scheduler. The scheduler would first wake another thread to look for the work, and that
// thread would take the CPU from the loop that has just handed over the work, and keep it until the signature is made.
type Signers struct {
	mu      sync.Mutex
	queue   []*signature
	max     int
	threads int
	wakefd  int // an eventfd that counts queued signatures; valid while there are threads
	closed  bool
}

// NewSigners returns Signers that make up to n signatures at once. Threads are started on demand; Close ends them.
func NewSigners(n int) *Signers { return &Signers{max: n} }

// Close ends the threads. No handshake may be in progress.
func (s *Signers) Close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	s.wake(s.threads)
}

// signature is a signature to be made.
type signature struct {
	key    crypto.Signer
	rand   io.Reader
	digest []byte
	opts   crypto.SignerOpts
	done   func() // called when result and err are set

	result []byte
	err    error
}

func (j *signature) make() {
	j.result, j.err = j.key.Sign(j.rand, j.digest, j.opts)
	j.done()
}

// submit queues a signature.
func (s *Signers) submit(j *signature) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.queue) == s.threads && s.threads < s.max && !s.start() {
		go j.make() // no descriptor for the eventfd: use an ordinary goroutine
		return
	}
	s.queue = append(s.queue, j)
	s.wake(1)
}

// start starts one more thread. It returns false if there can be none.
func (s *Signers) start() bool {
	if s.threads == 0 {
		var err error
		if s.wakefd, err = unix.Eventfd(0, unix.EFD_SEMAPHORE|unix.EFD_CLOEXEC); err != nil {
			return false
		}
	}
	s.threads++
	go s.work()
	return true
}

// wake wakes n threads that sleep or are about to.
func (s *Signers) wake(n int) {
	if n > 0 {
		count := [8]byte{byte(n), byte(n >> 8)}
		_, _ = unix.Write(s.wakefd, count[:]) // fails only after 2^64 signatures
	}
}

// signerNice makes the kernel prefer a loop that wakes up to a signer, in most cases. It is not higher because a
// garbage collection waits for a signer at work, which must get the CPU soon enough even on a busy machine.
const signerNice = 10

// work makes signatures on its own thread.
func (s *Signers) work() {
	runtime.LockOSThread() // never unlocked: the thread ends with the goroutine
	_ = unix.Setpriority(unix.PRIO_PROCESS, unix.Gettid(), signerNice)
	for {
		var count [8]byte
		if _, err := unix.Read(s.wakefd, count[:]); err != nil {
			continue // interrupted by a signal
		}
		s.mu.Lock()
		if s.closed {
			if s.threads--; s.threads == 0 {
				_ = unix.Close(s.wakefd)
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

// isSlow reports whether a signature with this key takes too long for a loop. ECDSA on P-256 takes 26
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

// signer is a key for one handshake.
type signer struct {
	key     crypto.Signer
	signers *Signers // nil if the key is fast
	hs      *Handshake
}

// signerFor wraps key for use by hs.
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

// Sign implements crypto.Signer. It runs on the handshake's coroutine.
func (s *signer) Sign(rand io.Reader, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
	hs := s.hs
	if s.signers == nil {
		if err := hs.yieldTurn(); err != nil {
			return nil, err
		}
		return s.key.Sign(rand, digest, opts)
	}
	loop, serial := hs.set.loop, hs.serial
	// crypto/tls owns the digest, and may reuse it before the signature is made if the handshake is cancelled.
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
