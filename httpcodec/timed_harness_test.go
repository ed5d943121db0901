package httpcodec

import (
	"fmt"
	"net"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"kroxy-ev/engine/enginetest"
)

// soon is a timeout that a test waits for. Ample is a timeout that does not expire while a test sleeps for up to soon several
// times in a row. In a timed test both are longer if need be.
const (
	soon  = 100 * time.Millisecond
	ample = 5 * soon
)

// timed calls try, whose timeouts are multiples of unit, with a short unit, and again with longer ones if it fails. A machine that
// stands still for a moment makes a short timeout expire too early, before what a test does in time with a longer one; and always
// waiting for long timeouts would take minutes. The test fails if the last trial fails. Try runs on a goroutine of its own.
func timed(t *testing.T, try func(t testing.TB, unit time.Duration)) {
	t.Helper()
	for _, unit := range []time.Duration{soon, 4 * soon, 16 * soon} {
		r := &trial{TB: t}
		done := make(chan struct{})
		go func() {
			defer close(done)
			defer r.cleanUp()
			try(r, unit)
		}()
		<-done
		if len(r.failures) == 0 {
			return
		}
		t.Logf("with %v: %s", unit, strings.Join(r.failures, "\n"))
	}
	t.Error("every trial has failed")
}

// trial is a testing.TB whose failures do not fail the test, and whose cleanups belong to the trial.
type trial struct {
	testing.TB
	mu       sync.Mutex
	failures []string
	cleanups []func()
}

func (r *trial) Cleanup(f func()) { r.cleanups = append(r.cleanups, f) }

func (r *trial) cleanUp() {
	for i := len(r.cleanups) - 1; i >= 0; i-- {
		r.cleanups[i]()
	}
}

func (r *trial) Error(args ...any)                 { r.failed(fmt.Sprint(args...)) }
func (r *trial) Errorf(format string, args ...any) { r.failed(fmt.Sprintf(format, args...)) }

func (r *trial) Fatal(args ...any) {
	r.Error(args...)
	runtime.Goexit()
}

func (r *trial) Fatalf(format string, args ...any) {
	r.Errorf(format, args...)
	runtime.Goexit()
}

func (r *trial) failed(why string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.failures = append(r.failures, why)
}

// fill writes to c until nobody on the way takes any more. A single write that fails in vain would not show that: the machine may
// have stood still.
func (p *proxy) fill(c *net.TCPConn) {
	p.t.Helper()
	b := make([]byte, 64<<10)
	for began, vain := time.Now(), 0; vain < 5; vain++ {
		_ = c.SetWriteDeadline(time.Now().Add(soon))
		if n, _ := c.Write(b); n > 0 {
			vain = 0
		}
		p.settle()
		if time.Since(began) > enginetest.Patience {
			p.t.Fatal("more and more is taken")
		}
	}
}
