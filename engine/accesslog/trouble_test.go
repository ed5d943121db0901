package accesslog_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"kroxy-ev/engine/accesslog"
)

const name = "accesslog: test: "

// After a writer's temporary trouble everything is there once, and no line is torn.
func TestNothingIsLostToPassingTrouble(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name  string
		steps []step
		told  []string
	}{
		{"short writes", []step{{n: 1}, {n: 5}, {n: 0}, {n: 3}}, nil},
		{"EAGAIN", []step{{err: eagain}, {n: 3, err: eagain}, {err: eagain}}, nil},
		{"EINTR", []step{{err: fmt.Errorf("wrapped: %w", errInterrupted)}, {n: 2, err: errInterrupted}}, nil},
		{"ENOSPC in the middle of a line", []step{{n: 7, err: enospc}, {err: enospc}}, nil},
		{"any other error", []step{{n: 1, err: errors.New("odd")}}, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				w := &script{steps: c.steps}
				var told reports
				l := accesslog.New("test", w, accesslog.Options{Report: told.add})
				diagnose(t, l, "one", "two")
				time.Sleep(1050 * time.Millisecond)
				diagnose(t, l, "three")
				if err := l.Close(second); err != nil {
					t.Error(err)
				}
				if want := lines("one", "two", "three"); w.String() != want || l.Lost() != 0 {
					t.Errorf("got %q, want %q; %d lost", w.String(), want, l.Lost())
				}
				told.expect(t, c.told...)
			})
		})
	}
}

// If a disk is full for a minute, traffic continues, the operator gets occasional reports, and no line is torn.
func TestFullDisk(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := new(script)
		w.add(step{n: 6, err: enospc})
		for range 64 { // 10 tries in the first second, then one a second
			w.add(step{err: enospc})
		}
		var told reports
		l := accesslog.New("test", w, accesslog.Options{BufferSize: 20, Report: told.add})
		diagnose(t, l, "first", "second") // 13 bytes of 20: written at once
		synctest.Wait()
		diagnose(t, l, "third")
		for range 10 {
			if _, err := l.Write([]byte("does not fit any more\n")); err == nil {
				t.Error("a full buffer took a line")
			}
		}
		time.Sleep(5 * second)
		told.expect(t, name+"10 lines lost, 10 in all: writing: no space left on device")
		for range 5 {
			_, _ = l.Write([]byte("does not fit any more\n"))
		}
		time.Sleep(5 * second)
		told.expect(t, name+"10 lines lost, 10 in all: writing: no space left on device")
		time.Sleep(2 * second)
		told.expect(t, name+"10 lines lost, 10 in all: writing: no space left on device",
			name+"5 lines lost, 15 in all: writing: no space left on device")
		time.Sleep(2 * time.Minute)
		told.expect(t, name+"10 lines lost, 10 in all: writing: no space left on device",
			name+"5 lines lost, 15 in all: writing: no space left on device",
			name+"writing works again; 0 more lines were lost, 15 in all")
		if want := lines("first", "second", "third"); w.String() != want {
			t.Errorf("got %q, want %q", w.String(), want)
		}
		if err := l.Close(second); err != nil {
			t.Errorf("Close, everything being told: %v", err)
		}
	})
}

// A reader that has gone is reported once; the lines count as lost; another reader may come.
func TestBrokenPipe(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := new(script)
		w.add(step{n: 4, err: epipe}, step{err: epipe}, step{err: epipe})
		var told reports
		l := accesslog.New("test", w, accesslog.Options{Report: told.add})
		for _, line := range []string{"one", "two", "three"} {
			diagnose(t, l, line, line)
			time.Sleep(20 * second)
		}
		if l.Lost() != 5 || w.count() != 3 {
			t.Errorf("%d lost, %d writes", l.Lost(), w.count())
		}
		diagnose(t, l, "four")
		time.Sleep(20 * second)
		if want := lines("one", "four"); w.String() != want {
			t.Errorf("got %q, want %q", w.String(), want)
		}
		told.expect(t,
			name+"1 lines lost, 1 in all: writing: broken pipe",
			name+"2 lines lost, 3 in all: writing: broken pipe",
			name+"2 lines lost, 5 in all: writing: broken pipe",
			name+"writing works again; 0 more lines were lost, 5 in all")
		if err := l.Close(second); err != nil {
			t.Error(err)
		}
	})
}

// A write that does not return blocks no producer; losses are reported meanwhile, and the rest is written afterwards.
func TestStuckWrite(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := new(script)
		block := make(chan struct{})
		w.add(step{n: 3, block: block})
		var told reports
		l := accesslog.New("test", w, accesslog.Options{BufferSize: 60, Report: told.add})
		b := l.NewBuffer(compile(t, "$bytes_sent_upstream"))
		b.Record(number(1))
		b.Record(number(2)) // 50 bytes: a write begins, which gets stuck
		synctest.Wait()
		start := time.Now()
		for i := range 1000 {
			b.Record(number(3 + i))
		}
		if took := time.Since(start); took != 0 || l.Lost() != 998 {
			t.Errorf("took %v, %d lost", took, l.Lost())
		}
		time.Sleep(2 * second)
		told.expect(t, name+"998 lines lost, 998 in all: the output is slower than the traffic, or stuck")
		close(block)
		synctest.Wait()
		want := stamp + "1\n" + stamp + "2\n" + stamp + "3\n" + stamp + "4\n"
		if w.String() != want {
			t.Errorf("got %q, want %q", w.String(), want)
		}
		if err := l.Close(second); err != nil {
			t.Error(err)
		}
	})
}

// Close does not wait longer than its timeout, and reports what was not written.
func TestCloseWhileStuck(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := new(script)
		block := make(chan struct{})
		w.add(step{n: 4, err: eagain}, step{block: block, n: 1 << 20})
		l := accesslog.New("test", w, accesslog.Options{})
		diagnose(t, l, "one", "two", "three")
		time.Sleep(1500 * time.Millisecond)
		diagnose(t, l, "four")
		start := time.Now()
		err := l.Close(3 * second)
		if took := time.Since(start); took != 3*second {
			t.Errorf("took %v", took)
		}
		want := "accesslog: closing test: 3 lines not written: not done after 3s"
		if err == nil || err.Error() != want || l.Lost() != 3 {
			t.Errorf("got %v, want %s; %d lost", err, want, l.Lost())
		}
		close(block) // so that the goroutine ends, and with it the bubble
		synctest.Wait()
		if l.Lost() != 3 || strings.Contains(w.String(), "four") {
			t.Errorf("%d lost, got %q", l.Lost(), w.String())
		}
	})
}

func TestCloseWhileFailing(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		err  error
		took time.Duration
		want string
	}{
		{"full disk", enospc, 0, "2 lines not written: no space left on device"},
		{"broken pipe", epipe, 0, "2 lines not written: broken pipe"},
		{"full pipe", eagain, 3 * second, "2 lines not written: not done after 3s"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				w := new(script)
				for range 100 {
					w.add(step{err: c.err})
				}
				l := accesslog.New("test", w, accesslog.Options{})
				diagnose(t, l, "one", "two")
				start := time.Now()
				err := l.Close(3 * second)
				if err == nil || !strings.HasSuffix(err.Error(), c.want) || time.Since(start) != c.took {
					t.Errorf("got %v after %v, want %s after %v", err, time.Since(start), c.want, c.took)
				}
				synctest.Wait()
				if l.Lost() != 2 {
					t.Errorf("%d lost", l.Lost())
				}
			})
		})
	}
}

// If a write fails within a line while Close begins, the line is completed, so that no other line begins there.
func TestCloseInsideALine(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w, block := new(script), make(chan struct{})
		w.add(step{block: block, n: 2, err: enospc}, step{n: 1, err: enospc})
		l := accesslog.New("test", w, accesslog.Options{})
		diagnose(t, l, "one", "two")
		time.Sleep(2 * second)
		closed := make(chan error)
		go func() { closed <- l.Close(3 * second) }()
		synctest.Wait()
		close(block)
		if err := <-closed; err != nil || w.String() != "one\ntwo\n" {
			t.Errorf("got %q, %v", w.String(), err)
		}
	})
}

func TestCloseInterrupted(t *testing.T) {
	t.Parallel()
	w := &script{steps: []step{{err: errInterrupted}, {n: 2, err: errInterrupted}, {err: errInterrupted}}}
	l := accesslog.New("test", w, accesslog.Options{})
	diagnose(t, l, "one")
	if err := l.Close(testTimeout); err != nil || w.String() != "one\n" {
		t.Errorf("got %q, %v", w.String(), err)
	}
}

// Events during a call of Report are reported afterwards, not at the same time.
func TestSlowReport(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := new(script)
		for range 11 { // the last failing try is 1 s after the first
			w.add(step{err: enospc})
		}
		var told reports
		l := accesslog.New("test", w, accesslog.Options{Report: func(err error) {
			time.Sleep(time.Minute)
			told.add(err)
		}})
		diagnose(t, l, "one")
		time.Sleep(62 * second)
		told.expect(t, name+"writing: no space left on device")
		time.Sleep(62 * second)
		told.expect(t, name+"writing: no space left on device", name+"writing works again; 0 more lines were lost, 0 in all")
		if err := l.Close(second); err != nil {
			t.Error(err)
		}
	})
}

// Report may write to the log that it reports on.
func TestReportIntoTheSameLog(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := new(script)
		w.add(step{err: enospc})
		var l *accesslog.Log
		l = accesslog.New("test", w, accesslog.Options{Report: func(err error) { _, _ = fmt.Fprintln(l, err) }})
		diagnose(t, l, "one")
		time.Sleep(time.Minute)
		if err := l.Close(second); err != nil {
			t.Error(err)
		}
		if !strings.HasPrefix(w.String(), "one\n") {
			t.Errorf("got %q", w.String())
		}
	})
}
