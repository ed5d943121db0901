package supervise

import "sync"

// turnstile admits one caller and lets one more wait.
type turnstile struct {
	mu   sync.Mutex
	busy bool
	next chan bool // tells the waiting caller whether it is its turn; nil if none waits
}

// enter waits for the caller's turn, until another caller takes its place or leaving is closed.
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
	case <-leaving: // permanent, so it does not matter whose turn it is
		return ErrStopping
	}
}

// leave admits the waiting caller.
func (t *turnstile) leave() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.busy = t.next != nil; t.busy {
		t.next <- true
		t.next = nil
	}
}
