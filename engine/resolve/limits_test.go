package resolve_test

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"kroxy-ev/engine/resolve"
)

func TestTimeout(t *testing.T) {
	t.Parallel()
	for _, ignoresCtx := range []bool{false, true} {
		t.Run(fmt.Sprintf("ignoresCtx=%v", ignoresCtx), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				d := newDNS()
				d.slow("a", time.Hour, ignoresCtx)
				d.set("a", "10.0.0.1")
				var told reports
				r := resolve.New(resolve.Options{Lookup: d.lookup, Settings: resolve.Settings{Timeout: 3 * time.Second}, Report: told.add})
				defer r.Close()
				start := time.Now()
				a := r.Name("a")
				got, _ := wait(a)
				o := <-got
				const late = "resolve: looking up a: no answer within 3s: context deadline exceeded"
				if o.err == nil || o.err.Error() != late {
					t.Fatalf("got %v, want %s", o.err, late)
				}
				if took := time.Since(start); took != 3*time.Second {
					t.Errorf("timed out after %v", took)
				}
				// While a lookup hangs there is no second one, and no caller waits for it.
				for range 100 {
					time.Sleep(time.Second)
					a.Addrs()
					got, _ := wait(a)
					synctest.Wait()
					if ignoresCtx && len(got) != 1 {
						t.Fatal("a waiter hangs on a hung lookup")
					}
				}
				if n := d.running.Load(); ignoresCtx && (n != 1 || d.count("a") != 1) {
					t.Errorf("%d lookups run of %d", n, d.count("a"))
				}
				told.expect(t, "a: "+late)
				if !ignoresCtx {
					return
				}
				// A late answer is still used.
				time.Sleep(time.Until(start.Add(time.Hour)))
				synctest.Wait()
				expect(t, a, "10.0.0.1")
				told.expect(t, "a: "+late, "a: <nil>")
			})
		})
	}
}

// Names whose lookups hang, whether or not they react to ctx, do not prevent other lookups, and lookups are bounded.
func TestSlowNamesDelayNobody(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := newDNS()
		r := resolve.New(resolve.Options{Lookup: d.lookup, Settings: resolve.Settings{Timeout: 5 * time.Second}})
		defer r.Close()
		for i := range 63 {
			name := fmt.Sprint("slow", i)
			d.slow(name, time.Minute, i%2 == 0)
			r.Name(name)
		}
		synctest.Wait()
		d.set("good", "10.0.0.1")
		good := r.Name("good")
		synctest.Wait()
		expect(t, good, "10.0.0.1")

		time.Sleep(time.Minute) // lookups that ignore ctx must end before the bubble does
	})
}

func TestLookupsAreBounded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := newDNS()
		r := resolve.New(resolve.Options{Lookup: d.lookup, Settings: resolve.Settings{Timeout: 5 * time.Second}})
		defer r.Close()
		for i := range 100 {
			name := fmt.Sprint("ignoresCtx", i)
			d.slow(name, time.Hour, true)
			r.Name(name)
		}
		synctest.Wait()
		if n := d.running.Load(); n != 64 {
			t.Errorf("%d lookups run at once", n)
		}
		d.set("late", "10.0.0.2")
		time.Sleep(4 * time.Second)
		late := r.Name("late")
		time.Sleep(time.Second) // the slots of hung lookups are free again
		synctest.Wait()
		expect(t, late, "10.0.0.2")
		time.Sleep(time.Hour)
	})
}

// If a lookup fails after its time was up, that does not count as a second failure.
func TestLateFailureIsIgnored(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := newDNS()
		d.slow("a", 10*time.Second, true)
		var told reports
		r := resolve.New(resolve.Options{Lookup: d.lookup, Settings: resolve.Settings{Timeout: 3 * time.Second}, Report: told.add})
		defer r.Close()
		a := r.Name("a")
		time.Sleep(10 * time.Second)
		synctest.Wait()
		d.slow("a", 0, false)
		d.set("a", "10.0.0.1")
		a.Addrs()
		synctest.Wait()
		expect(t, a, "10.0.0.1")
		told.expect(t, "a: resolve: looking up a: no answer within 3s: context deadline exceeded", "a: <nil>")
	})
}

// If an answer arrives at the moment of the timeout, the name has its addresses, whichever comes first.
func TestAnswerAtTheLastMoment(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var told sync.Map
		r := resolve.New(resolve.Options{
			Settings: resolve.Settings{Timeout: time.Second},
			Lookup: func(ctx context.Context, _ string) ([]netip.Addr, time.Duration, error) {
				<-ctx.Done()
				return addrs("10.0.0.1"), resolve.UnknownTTL, nil
			},
			Report: func(name string, err error) { told.Store(name, err) },
		})
		defer r.Close()
		for i := range 60 {
			r.Name(fmt.Sprint(i))
		}
		time.Sleep(time.Second)
		synctest.Wait()
		for i := range 60 {
			if err, failed := told.Load(fmt.Sprint(i)); failed && err != nil {
				t.Errorf("name %d has an answer and fails: %v", i, err)
			}
			expect(t, r.Name(fmt.Sprint(i)), "10.0.0.1")
		}
	})
}

func TestQueueingCountsAsLookingUp(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		block := make(chan struct{})
		r := resolve.New(resolve.Options{Lookup: func(ctx context.Context, _ string) ([]netip.Addr, time.Duration, error) {
			<-block
			return nil, 0, errNoHost
		}, Settings: resolve.Settings{Timeout: time.Second}})
		defer r.Close()
		var all []<-chan outcome
		for i := range 200 {
			got, _ := wait(r.Name(fmt.Sprint(i)))
			all = append(all, got)
		}
		time.Sleep(time.Second)
		synctest.Wait()
		for i, got := range all {
			if len(got) != 1 {
				t.Fatalf("name %d: told %d times", i, len(got))
			}
			if o := <-got; !errors.Is(o.err, context.DeadlineExceeded) {
				t.Fatalf("name %d: %v", i, o.err)
			}
		}
		close(block)
	})
}

func TestClose(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := newDNS()
		d.set("known", "10.0.0.1")
		d.slow("slow", time.Hour, false)
		var told reports
		r := resolve.New(resolve.Options{Lookup: d.lookup, Report: told.add})
		known, slow := r.Name("known"), r.Name("slow")
		synctest.Wait()
		before, _ := wait(slow)
		r.Close()
		r.Close()
		after, _ := wait(slow)
		unknown, _ := wait(r.Name("new"))
		for i, got := range []<-chan outcome{before, after, unknown} {
			if o := <-got; !errors.Is(o.err, resolve.ErrClosed) {
				t.Errorf("waiter %d: %v", i, o.err)
			}
		}
		time.Sleep(time.Hour)
		expect(t, known, "10.0.0.1")
		still, _ := wait(known)
		if o := <-still; o.err != nil {
			t.Errorf("a known name after Close: %v", o.err)
		}
		synctest.Wait()
		if d.count("new") != 0 || d.count("known") != 1 {
			t.Errorf("after Close: lookups %v", d.calls)
		}
		told.expect(t)
		// The bubble does not end before all goroutines have.
	})
}

func TestConcurrency(t *testing.T) {
	before := runtime.NumGoroutine()
	var calls atomic.Int64
	r := resolve.New(resolve.Options{
		Settings: resolve.Settings{Timeout: 2 * time.Millisecond}, Refresh: 200 * time.Microsecond, Retry: 100 * time.Microsecond,
		Report: func(string, error) {},
		Lookup: func(ctx context.Context, name string) ([]netip.Addr, time.Duration, error) {
			switch calls.Add(1) % 4 {
			case 0:
				return nil, 0, errNoHost
			case 1:
				<-ctx.Done()
				return nil, 0, ctx.Err()
			}
			return addrs("10.0.0.1", "10.0.0.2"), resolve.UnknownTTL, nil
		},
	})
	var wg, told sync.WaitGroup
	for g := range 8 {
		wg.Go(func() {
			for i := range 500 {
				n := r.Name(fmt.Sprint("name", (g+i)%5))
				if a := n.Addrs(); a != nil && len(a) != 2 {
					t.Errorf("got %v", a)
				}
				var once atomic.Int32
				if i%3 == 0 {
					n.Wait(func([]netip.Addr, error) { once.Add(1) })()
					continue
				}
				told.Add(1)
				n.Wait(func(a []netip.Addr, err error) {
					if once.Add(1) != 1 || (a == nil) == (err == nil) {
						t.Errorf("told %v, %v", a, err)
					}
					told.Done()
				})
			}
		})
	}
	wg.Wait()
	told.Wait()
	r.Close()
	deadline := time.Now().Add(10 * time.Second)
	for runtime.NumGoroutine() > before && time.Now().Before(deadline) {
		runtime.Gosched()
	}
	if n := runtime.NumGoroutine(); n > before {
		t.Errorf("%d goroutines, %d before", n, before)
	}
}
