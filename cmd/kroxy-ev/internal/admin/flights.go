package admin

import (
	"fmt"
	"sync"
	"time"
)

// flights has answers made that many ask for at once: one at a time is made, and all who have asked before it began get it. So what
// is told is never older than the question, 10,000 questions cost a few answers, and half of a processor's time is the most that is spent.
type flights struct {
	mu      sync.Mutex
	waiting []*flight // not begun
	running bool
}

// flight is an answer that is being made, or will be.
type flight struct {
	what string
	make func() answer
	done chan struct{}
	answer
}

// answer is what is answered.
type answer struct {
	body      []byte
	mediaType string
	err       error
}

// maxRest bounds the pause after an answer, which is as long as it took to make.
const maxRest = time.Second

func newFlights() *flights { return &flights{} }

// get returns what make answers, or has answered to others who asked for the same what, after get was called.
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

// run makes answers until nobody waits.
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
