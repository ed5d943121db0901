package tlsconn

import (
	"crypto"
	"io"
	"testing"

	"golang.org/x/sys/unix"
)

// watchedKey records the priority of the thread that makes a signature with it.
type watchedKey struct{ nice chan int }

func (watchedKey) Public() crypto.PublicKey { return nil }

func (k watchedKey) Sign(io.Reader, []byte, crypto.SignerOpts) ([]byte, error) {
	raw, err := unix.Getpriority(unix.PRIO_PROCESS, unix.Gettid()) // 20 minus the nice value
	k.nice <- 20 - raw
	return nil, err
}

// Signatures are made on threads with a lower priority than the loops, but not so low that they would starve on a busy machine.
func TestSignersGiveWay(t *testing.T) {
	t.Parallel()
	usual, err := unix.Getpriority(unix.PRIO_PROCESS, 0)
	if err != nil {
		t.Fatal(err)
	}
	s := NewSigners(2)
	k := watchedKey{make(chan int)}
	made := make(chan *signature, 4)
	for range cap(made) {
		j := &signature{key: k}
		j.done = func() { made <- j }
		s.submit(j)
	}
	for range cap(made) {
		if got, want := <-k.nice, max(20-usual, signerNice); got != want {
			t.Errorf("a signature was made at nice %d, want %d", got, want)
		}
	}
	for range cap(made) {
		if j := <-made; j.err != nil {
			t.Error(j.err)
		}
	}
	s.Close()
}
