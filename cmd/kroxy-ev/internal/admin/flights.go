package admin

import (
	"fmt"
	"sync"
	"time"
)

// flights coalesces answers that many clients ask for: answers are made one at a time, and all clients that asked before an answer was begun
// share it. So an answer is never older than its request, 10,000 requests cost a few answers, and at most half of a processor's time
// is spent on them.
type flights struct {
	mu      sync.Mutex
	waiting []*flight // not begun yet
	running bool
}

// flight is an answer that is being made or will be.
type flight struct {
	what string
	make func() answer
	done chan struct{}
	answer
}

// answer is the body of a response, or the error that prevented it.
type answer struct {
	body      []byte
	mediaType string
	err       error
}

// maxRest bounds the pause after an answer, which is as long as the answer took to make.
const maxRest = time.Second

func newFlights() *flights { return &flights{} }

// get returns the result of make, or of another client's make for the same key what, if that is begun after this call.
func (f *flights) get(what string, make func() answer) answer {
	f.mu.Lock()
	var mine *flight
	for _, one := range f.waiting {
		if one.what == what {
			mine = one
		}
	}
	if mine == nil {
		mine = newFlight(what, make)
		f.waiting = append(f.waiting, mine)
	}
	if !f.running {
		f.running = true
		go f.run()
	}
	f.mu.Unlock()
	<-mine.done
	return mine.answer
}

func newFlight(what string, maker func() answer) *flight {
	return &flight{what: what, make: maker, done: make(chan struct{})}
}

// fly makes the answer.
func (f *flight) fly() {
	defer close(f.done)
	defer func() {
		if r := recover(); r != nil { // as in Listener.handle
			f.answer = answer{err: fmt.Errorf("panic: %v", r)}
		}
	}()
	f.answer = f.make()
}

// run makes answers until no client waits.
func (f *flights) run() {
	for {
		f.mu.Lock()
		if len(f.waiting) == 0 {
			f.running = false
			f.mu.Unlock()
			return
		}
		next := f.waiting[0]
		f.waiting = f.waiting[1:]
		f.mu.Unlock()
		begin := time.Now()
		next.fly()
		time.Sleep(min(time.Since(begin), maxRest))
	}
}
