package enginetest

import (
	"runtime"
	"testing"
	"time"

	"kroxy-ev/engine"
)

// Patience is how long a helper waits for an expected event before it fails the test.
const Patience = 20 * time.Second

// Loop is an engine.Loop that runs until the test ends. Its methods may only be called on the test's goroutine.
type Loop struct {
	*engine.Loop
	tb   testing.TB
	done chan error
}

// Start makes a loop and runs it on its own thread. When the test ends, the loop is stopped and closed. Connections
// on it must be closed by then, so attach them after Start and close them in a tb.Cleanup (Attach does).
func Start(tb testing.TB, o engine.Options) *Loop {
	tb.Helper()
	l, err := engine.NewLoop(o)
	if err != nil {
		tb.Fatalf("enginetest: %v", err)
	}
	r := &Loop{Loop: l, tb: tb, done: make(chan error, 1)}
	go func() {
		runtime.LockOSThread()
		r.done <- l.Run()
	}()
	tb.Cleanup(r.end)
	return r
}

func (l *Loop) end() {
	l.Stop()
	select {
	case err := <-l.done:
		if err != nil {
			l.tb.Errorf("enginetest: the loop ended with %v", err)
		}
		l.Close()
	case <-time.After(Patience):
		l.tb.Errorf("enginetest: the loop did not stop")
	}
}

// Do calls fn on the loop's goroutine and waits until it has returned. fn must not call tb.Fatal, which would end the
// loop's goroutine.
func (l *Loop) Do(fn func()) {
	l.tb.Helper()
	done := make(chan struct{})
	l.Post(func() {
		fn()
		close(done)
	})
	select {
	case <-done:
	case <-time.After(Patience):
		l.tb.Fatalf("enginetest: the loop did not run a task within %v", Patience)
	}
}
