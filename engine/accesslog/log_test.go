package accesslog_test

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"regexp"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"kroxy-ev/engine/accesslog"
)

const second = time.Second

func TestLinesAreFlushedEachInterval(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var w script
		l := accesslog.New("test", &w, accesslog.Options{})
		b := l.NewBuffer(compile(t, "$bytes_sent_upstream"))
		time.Sleep(500 * time.Millisecond)
		b.Record(number(1))
		time.Sleep(second - 1)
		b.Record(number(2))
		if w.count() != 0 {
			t.Fatal("written too early")
		}
		time.Sleep(time.Nanosecond)
		synctest.Wait()
		want := stamp + "1\n[2000-01-01 00:00:01]: 2\n"
		if w.String() != want || w.count() != 1 {
			t.Fatalf("got %q in %d writes, want %q in 1", w.String(), w.count(), want)
		}
		b.Record(number(3))
		if err := l.Close(second); err != nil {
			t.Error(err)
		}
		if want += "[2000-01-01 00:00:01]: 3\n"; w.String() != want {
			t.Errorf("after Close: got %q, want %q", w.String(), want)
		}
	})
}

func TestHalfFullBufferIsFlushedAtOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var w script
		l := accesslog.New("test", &w, accesslog.Options{BufferSize: 1000, FlushInterval: time.Hour})
		defer l.Close(second)
		b := l.NewBuffer(compile(t, "$bytes_sent_upstream"))
		for i := range 2000 {
			b.Record(number(i))
			synctest.Wait()
		}
		if n := strings.Count(w.String(), "\n"); n < 1950 || l.Lost() != 0 {
			t.Errorf("%d lines written, %d lost", n, l.Lost())
		}
	})
}

func TestNewlyMadeLineIsNeverForgotten(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var w script
		l := accesslog.New("test", &w, accesslog.Options{})
		defer l.Close(second)
		for i := range 100 {
			diagnose(t, l, "line")
			time.Sleep(second)
			synctest.Wait()
			if n := strings.Count(w.String(), "\n"); n != i+1 {
				t.Fatalf("%d lines written of %d", n, i+1)
			}
		}
		calls := w.count()
		time.Sleep(time.Hour)
		if w.count() != calls {
			t.Error("an idle log was written to")
		}
	})
}

func TestWrite(t *testing.T) {
	t.Parallel()
	var w script
	l := accesslog.New("test", &w, accesslog.Options{BufferSize: 100})
	p := []byte("no newline")
	for _, p := range [][]byte{p, []byte("one\ntwo\n"), nil} {
		if n, err := l.Write(p); n != len(p) || err != nil {
			t.Errorf("Write of %q: %d, %v", p, n, err)
		}
	}
	p[0] = 'X' // Write must not keep p
	if n, err := l.Write([]byte(strings.Repeat("long\n", 30))); n != 0 || err == nil || l.Lost() != 30 {
		t.Errorf("Write of what does not fit: %d, %v, %d lost", n, err, l.Lost())
	}
	slog.New(slog.NewTextHandler(l, &slog.HandlerOptions{ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
		if a.Key == slog.TimeKey {
			return slog.Attr{}
		}
		return a
	}})).Info("hello", "k", "v")
	if err := l.Close(10 * second); err == nil || !strings.Contains(err.Error(), "30 lines not written") {
		t.Errorf("Close: %v", err)
	}
	if want := "no newline\none\ntwo\nlevel=INFO msg=hello k=v\n"; w.String() != want {
		t.Errorf("got %q, want %q", w.String(), want)
	}
}

func TestClosed(t *testing.T) {
	t.Parallel()
	var w script
	counted := 0
	l := accesslog.New("test", &w, accesslog.Options{Lost: func(lines int) { counted += lines }})
	f := compile(t, "x")
	b := l.NewBuffer(f)
	if err := l.Close(10 * second); err != nil {
		t.Fatal(err)
	}
	b.Record(record())
	l.NewBuffer(f).Record(record())
	if _, err := l.Write([]byte("x\n")); !errors.Is(err, os.ErrClosed) {
		t.Errorf("Write: %v", err)
	}
	if err := l.Close(second); !errors.Is(err, os.ErrClosed) {
		t.Errorf("second Close: %v", err)
	}
	if err := l.Reopen(); !errors.Is(err, os.ErrClosed) {
		t.Errorf("Reopen: %v", err)
	}
	if w.String() != "" || l.Lost() != 3 || counted != 3 {
		t.Errorf("got %q, %d lost, %d counted", w.String(), l.Lost(), counted)
	}
}

func TestDiscard(t *testing.T) {
	t.Parallel()
	l, err := accesslog.Open("/dev/null", accesslog.Options{BufferSize: 1})
	if err != nil {
		t.Fatal(err)
	}
	b := l.NewBuffer(compile(t, "$status"))
	b.Record(record())
	(*accesslog.Buffer)(nil).Record(record())
	diagnose(t, l, "line")
	if err := errors.Join(l.Reopen(), l.Close(second)); err != nil || l.Lost() != 0 {
		t.Errorf("%v, %d lost", err, l.Lost())
	}
	b.Record(record())
}

// Many producers write more lines than fit, through a writer that accepts odd amounts: the lines that arrive are complete and in order for
// each producer, and together with the lost ones they are all.
func TestConcurrentProducers(t *testing.T) {
	t.Parallel()
	const producers, each = 6, 3000
	var w script
	for i := range 4000 {
		w.add(step{n: i * 7 % 301, err: []error{nil, nil, eagain, enospc}[i%4]})
	}
	l := accesslog.New("test", &w, accesslog.Options{BufferSize: 8 << 10, FlushInterval: time.Millisecond})
	var wg sync.WaitGroup
	for p := range producers {
		b := l.NewBuffer(compile(t, fmt.Sprintf("p%d $bytes_sent_upstream.", p)))
		wg.Go(func() {
			for i := range each {
				if p == 0 {
					_, _ = fmt.Fprintf(l, "[2026-01-01 00:00:00]: p0 %d.\n", i)
				} else {
					b.Record(number(i))
				}
			}
		})
	}
	wg.Wait()
	w.mu.Lock()
	w.steps = nil
	w.mu.Unlock()
	_ = l.Close(30 * second) // an error if lines were lost

	whole := regexp.MustCompile(`^\[\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\]: p(\d) (\d+)\.$`)
	list := strings.Split(strings.TrimSuffix(w.String(), "\n"), "\n")
	last := [producers]int{-1, -1, -1, -1, -1, -1}
	for _, line := range list {
		var p, i int
		m := whole.FindStringSubmatch(line)
		if m == nil {
			t.Fatalf("torn line %q", line)
		}
		_, _ = fmt.Sscan(m[1], &p)
		_, _ = fmt.Sscan(m[2], &i)
		if i <= last[p] {
			t.Fatalf("line %d of producer %d after %d", i, p, last[p])
		}
		last[p] = i
	}
	if got := uint64(len(list)) + l.Lost(); got != producers*each {
		t.Errorf("%d lines written, %d lost, of %d", len(list), l.Lost(), producers*each)
	}
}

func TestRecordDoesNotAllocate(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	block := make(chan struct{})
	var stuck script
	stuck.add(step{block: block, err: io.ErrClosedPipe})
	l := accesslog.New("test", &stuck, accesslog.Options{BufferSize: 16 << 10})
	full := l.NewBuffer(everything(t))
	for l.Lost() == 0 {
		full.Record(record())
	}
	running := accesslog.New("test", io.Discard, accesslog.Options{BufferSize: 64 << 10})
	warm := running.NewBuffer(everything(t))
	r, line := record(), []byte("diagnostic\n")
	for range 10000 {
		warm.Record(r)
		_, _ = running.Write(line)
	}
	for _, c := range []struct {
		name string
		call func()
	}{
		{"a log that is written", func() { warm.Record(r) }},
		{"Write", func() { _, _ = running.Write(line) }},
		{"a log that is stuck", func() { full.Record(r) }},
	} {
		if a := testing.AllocsPerRun(5000, c.call); a != 0 {
			t.Errorf("%s: %v allocations", c.name, a)
		}
	}
	close(block)
	_ = l.Close(second) // what was lost
	_ = running.Close(second)
}

func BenchmarkRecord(b *testing.B) {
	for _, path := range []string{"/dev/null", "file"} {
		b.Run(strings.TrimPrefix(path, "/dev/"), func(b *testing.B) {
			if path == "file" {
				path = b.TempDir() + "/access.log"
			}
			l, err := accesslog.Open(path, accesslog.Options{BufferSize: 4 << 20})
			if err != nil {
				b.Fatal(err)
			}
			buf := l.NewBuffer(compile(b, "$client_addr $bytes_sent_upstream $bytes_sent_downstream $processing_time"))
			r := record()
			b.ReportAllocs()
			for b.Loop() {
				buf.Record(r)
			}
			b.ReportMetric(float64(l.Lost())/float64(b.N), "lost/op")
			b.StopTimer()
			_ = l.Close(10 * second)
		})
	}
}
