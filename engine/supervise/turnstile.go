package supervise

import "sync"

// turnstile lets one caller in and one wait.
type turnstile struct {
	mu   sync.Mutex
	busy bool
	next chan bool // the one who waits is told whether it is its turn; nil if nobody waits
}

// enter waits for the caller's turn, until another takes its place or leaving is closed.
func (t *turnstile) enter(leaving <-chan struct{}) error {
	t.mu.Lock()
	if !t.busy {
		t.busy = true
		t.mu.Unlock()
		return nil
	}
	if t.next != nil {
		t.next <- false
	}
	turn := make(chan bool, 1)
	t.next = turn
	t.mu.Unlock()
	select {
	case mine := <-turn:
		if !mine {
			return ErrReplaced
		}
		return nil
	case <-leaving: // for good: whose turn it is does not matter any more
		return ErrStopping
	}
}

// leave gives the turn to the one who waits.
func (t *turnstile) leave() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.busy = t.next != nil; t.busy {
		t.next <- true
		t.next = nil
	}
}
