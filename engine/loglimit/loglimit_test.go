package loglimit_test

import (
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"kroxy-ev/engine/loglimit"
)

// logger returns a logger that writes lines without their time into output, through a Handler.
func logger(level slog.Level) (*slog.Logger, *loglimit.Handler, *output) {
	out := new(output)
	h := loglimit.New(slog.NewTextHandler(out, &slog.HandlerOptions{Level: level, ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
		if a.Key == slog.TimeKey {
			return slog.Attr{}
		}
		return a
	}}), nil)
	return slog.New(h), h, out
}

func expect(t *testing.T, when string, out *output, want ...string) {
	t.Helper()
	text := strings.Join(want, "\n")
	if len(want) > 0 {
		text += "\n"
	}
	if got := out.take(); got != text {
		t.Errorf("%s:\n%swant:\n%s", when, got, text)
	}
}

// pass lets d pass, and waits for everything that is due then.
func pass(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

func TestFirstAtOnceThenCounted(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		log, h, out := logger(slog.LevelInfo)
		defer h.Close()
		for i := range 1205 {
			log.Error("broken", "client", i)
		}
		expect(t, "at once", out, `level=ERROR msg=broken client=0`)
		pass(10 * time.Second)
		expect(t, "after 10 s", out, `level=ERROR msg="broken, and 1,204 more like it" client=1204 within=10s`)
		// The lines continue: the intervals grow.
		for range 59 {
			log.Error("broken", "client", "x")
			pass(time.Second)
		}
		expect(t, "after 69 s", out, `level=ERROR msg="broken, and 20 more like it" client=x within=20s`)
		pass(time.Second)
		expect(t, "after 70 s", out, `level=ERROR msg="broken, and 39 more like it" client=x within=40s`)
		pass(time.Hour)
		expect(t, "after silence", out)
		// The kind was forgotten: the next line is a first one.
		log.Error("broken")
		log.Error("broken")
		expect(t, "anew", out, `level=ERROR msg=broken`)
		// The handler starts over, for example because of a new file.
		h.Forget()
		expect(t, "the rest", out, `level=ERROR msg="broken, and 1 more like it" within=100ms`)
		log.Error("broken")
		log.Error("broken")
		expect(t, "after Forget", out, `level=ERROR msg=broken`)
		pass(10 * time.Second)
		expect(t, "10 s after Forget", out, `level=ERROR msg="broken, and 1 more like it" within=10s`)
		log.Error("broken")
		pass(3 * time.Second)
		h.Close()
		expect(t, "the rest", out, `level=ERROR msg="broken, and 1 more like it" within=3s`)
		log.Error("broken")
		log.Error("broken")
		expect(t, "after Close", out, `level=ERROR msg=broken`, `level=ERROR msg=broken`)
	})
}

// The intervals of kinds that began at different times end at different times.
func TestKindsOutOfStep(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		log, h, out := logger(slog.LevelInfo)
		defer h.Close()
		log.Error("a")
		log.Error("a")
		pass(10 * time.Second)
		expect(t, "at 10 s", out, `level=ERROR msg=a`, `level=ERROR msg="a, and 1 more like it" within=10s`)
		pass(2 * time.Second)
		log.Error("b")
		log.Error("b")
		log.Error("a")
		pass(9 * time.Second)
		expect(t, "at 21 s", out, `level=ERROR msg=b`)
		pass(time.Second)
		expect(t, "at 22 s", out, `level=ERROR msg="b, and 1 more like it" within=10s`)
		pass(8 * time.Second)
		expect(t, "at 30 s", out, `level=ERROR msg="a, and 1 more like it" within=20s`)
		// The timer is set for b, at 42 s. Lines after Forget do not depend on that.
		pass(time.Second)
		h.Forget()
		log.Error("c")
		log.Error("c")
		pass(10 * time.Second)
		expect(t, "at 41 s", out, `level=ERROR msg=c`, `level=ERROR msg="c, and 1 more like it" within=10s`)
	})
}

func TestKinds(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		log, h, out := logger(slog.LevelDebug)
		defer h.Close()
		one, two := errors.New("one"), errors.New("two")
		for range 3 {
			log.Info("a")
			log.Warn("a")
			log.Warn("b")
			log.Warn("a", "reason", "r", "client", 1)
			log.Warn("a", "reason", "s", "client", 2)
			log.Warn("a", "host", "h", "error", one)
			log.Warn("a", "name", "n")
			log.With("worker", 1).Warn("a", "host", "h", "error", two)
		}
		expect(t, "each kind once", out, `level=INFO msg=a`, `level=WARN msg=a`, `level=WARN msg=b`, `level=WARN msg=a reason=r client=1`,
			`level=WARN msg=a reason=s client=2`, `level=WARN msg=a host=h error=one`, `level=WARN msg=a name=n`, `level=WARN msg=a worker=1 host=h error=two`)
		pass(10 * time.Second)
		text := out.take()
		if n := strings.Count(text, ", and 2 more like it"); n != 8 || strings.Count(text, "\n") != 8 || !strings.Contains(text, "worker=1 host=h error=two within") {
			t.Errorf("summaries:\n%s", text)
		}
		log.Debug("a")
		log.Debug("a")
		expect(t, "debug", out, `level=DEBUG msg=a`, `level=DEBUG msg=a`)
	})
}

// Whatever peers do, the table and the number of lines are bounded: lines of too many kinds are counted together.
func TestBounds(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		log, h, out := logger(slog.LevelInfo)
		for i := range 1000 {
			log.Error("made up", "error", fmt.Sprint("made up ", i))
		}
		if n := strings.Count(out.take(), "\n"); n != 8 {
			t.Errorf("%d lines for errors that a peer makes up, want 8", n)
		}
		for i := range 1000 {
			log.Error("many", "host", i)
		}
		if n := strings.Count(out.take(), "\n"); n != 64 { // there was one class before, and one is for the others
			t.Errorf("%d lines for 1,000 hosts, want 64", n)
		}
		h.Close()
		text := out.take()
		for _, want := range []string{"and 992 more", "and 936 more"} {
			if !strings.Contains(text, want) {
				t.Errorf("no %q in:\n%s", want, text)
			}
		}
		// All were forgotten.
		log, h, out = logger(slog.LevelInfo)
		defer h.Close()
		for i := range 100 {
			log.Error("many", "host", i)
		}
		pass(time.Minute)
		out.take()
		for i := range 64 {
			log.Error("many", "host", i+100)
		}
		if n := strings.Count(out.take(), "\n"); n != 64 {
			t.Errorf("%d lines for 64 hosts after a minute", n)
		}
	})
}

// No line is lost or counted twice with concurrent loggers, even while summaries are written.
func TestManyWriters(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const writers, each = 8, 500
		counted := new(counter)
		var suppressed atomic.Int64
		h := loglimit.New(counted, func() { suppressed.Add(1) })
		log := slog.New(h.WithGroup("g")).With("a", 1)
		var wg sync.WaitGroup
		for w := range writers {
			wg.Go(func() {
				for i := range each {
					log.Error("x", "error", i%3)
					if i%50 == w {
						time.Sleep(7 * time.Second)
					}
					runtime.Gosched()
				}
			})
		}
		wg.Wait()
		h.Close()
		if counted.n != writers*each {
			t.Errorf("%d lines are accounted for, want %d", counted.n, writers*each)
		}
		if n := int(suppressed.Load()); n+counted.alone != writers*each {
			t.Errorf("%d lines are said to be counted only, and %d were written, want %d together", n, counted.alone, writers*each)
		}
	})
}
