package resolve_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net/netip"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
	"weak"

	"kroxy-ev/engine/resolve"
)

func TestAnswerIsNormalized(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := newDNS()
		d.set("a", "2001:db8::1", "::ffff:10.0.0.2", "10.0.0.1", "10.0.0.2", "2001:db8::1")
		d.set("none")
		r := resolve.New(resolve.Options{Lookup: d.lookup})
		defer r.Close()
		got, _ := wait(r.Name("none"))
		if o := <-got; o.err == nil || o.err.Error() != "resolve: looking up none: no addresses" {
			t.Errorf("an empty answer: %v", o.err)
		}
		a := r.Name("a")
		synctest.Wait()
		expect(t, a, "2001:db8::1", "10.0.0.2", "10.0.0.1")
	})
}

// later returns when something scheduled in d has happened: up to a twentieth may be added.
func later(d time.Duration) time.Duration { return d + d/20 }

// An answer is refreshed if it has expired and the name is in use, and only then. It survives failures, and changes are reported once.
func TestRefresh(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := newDNS()
		d.set("a", "10.0.0.1")
		var told reports
		r := resolve.New(resolve.Options{
			Lookup: d.lookup, Refresh: 30 * time.Second, Retry: time.Second,
			Report: told.add,
		})
		defer r.Close()
		a := r.Name("a")
		calls := 1
		check := func(what string) {
			t.Helper()
			synctest.Wait()
			if got := d.count("a"); got != calls {
				t.Fatalf("%s: %d lookups, want %d", what, got, calls)
			}
		}
		time.Sleep(24 * time.Hour)
		check("never used")
		expect(t, a, "10.0.0.1") // at once; this is a use
		calls++
		check("used when it was old")
		same := &a.Addrs()[0]
		time.Sleep(30*time.Second - 1)
		check("still fresh")
		d.set("a", "10.0.0.1")
		time.Sleep(later(30*time.Second) - 30*time.Second + 1)
		calls++
		check("it has grown old")
		if &a.Addrs()[0] != same {
			t.Error("the same answer is another slice")
		}
		d.set("a", "10.0.0.2")
		time.Sleep(later(30 * time.Second))
		calls++
		check("again")
		expect(t, a, "10.0.0.2") // without another use
		time.Sleep(24 * time.Hour)
		synctest.Wait()
		if n := d.count("a") - calls; n < 18 || n > 20 {
			t.Errorf("%d lookups after it was last used, want those of 10 minutes", n)
		}
		calls = d.count("a")

		d.unset("a")
		expect(t, a, "10.0.0.2")
		calls++
		check("failing")
		// next waits for the next lookup, which must begin after that pause.
		next := func(pause time.Duration) {
			t.Helper()
			const tick = 10 * time.Millisecond
			begin := time.Now()
			for calls++; d.count("a") < calls; synctest.Wait() {
				time.Sleep(tick)
			}
			if took := time.Since(begin); took < pause-tick || took > later(pause)+tick {
				t.Errorf("lookup %d came after %v, want %v", calls, took, pause)
			}
		}
		for _, pause := range []time.Duration{1, 2, 4, 8, 16, 30, 30} {
			next(pause * time.Second)
			expect(t, a, "10.0.0.2")
		}
		const failing = "a: resolve: looking up a: no such host"
		told.expect(t, failing)
		d.set("a", "10.0.0.3")
		next(30 * time.Second)
		expect(t, a, "10.0.0.3")
		told.expect(t, failing, "a: <nil>")
		// The pause starts again at its minimum.
		d.unset("a")
		next(30 * time.Second)
		next(time.Second)
	})
}

// An answer is used for its TTL, within the bounds, and a little longer.
func TestTTL(t *testing.T) {
	t.Parallel()
	for ttl, want := range map[time.Duration]time.Duration{
		0: time.Second, time.Second: time.Second, 2 * time.Second: 2 * time.Second, time.Minute: time.Minute, 5 * time.Minute: 5 * time.Minute,
		24 * time.Hour: 5 * time.Minute, math.MaxInt32 * time.Second: 5 * time.Minute, resolve.UnknownTTL: 7 * time.Second,
	} {
		synctest.Test(t, func(t *testing.T) {
			d := newDNS()
			r := resolve.New(resolve.Options{Lookup: d.lookup, Refresh: 7 * time.Second})
			defer r.Close()
			const names = 50
			for i := range names {
				name := fmt.Sprint(i)
				d.set(name, "10.0.0.1")
				d.goodFor(name, ttl)
				r.Name(name).Addrs()
			}
			total := func() (n int) {
				synctest.Wait()
				for i := range names {
					n += d.count(fmt.Sprint(i))
				}
				return n
			}
			time.Sleep(want - 1)
			if n := total(); n != names {
				t.Errorf("TTL %v: %d lookups of %d names before it was over", ttl, n, names)
			}
			time.Sleep(want/40 + 1)
			if n := total(); n == names || n == 2*names {
				t.Errorf("TTL %v: %d lookups of %d names half way through the time that is added by chance", ttl, n, names)
			}
			time.Sleep(want / 40)
			if n := total(); n < 2*names {
				t.Errorf("TTL %v: %d lookups of %d names after it was over", ttl, n, names)
			}
		})
	}
}

func TestWaitersJoinOneLookup(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := newDNS()
		d.slow("a", time.Second, false)
		d.set("a", "10.0.0.1")
		r := resolve.New(resolve.Options{Lookup: d.lookup})
		defer r.Close()
		a := r.Name("a")
		var all []<-chan outcome
		for range 10 {
			got, _ := wait(a)
			all = append(all, got)
		}
		gone, cancel := wait(a)
		cancel()
		cancel()
		time.Sleep(time.Second - 1)
		expect(t, a)
		time.Sleep(time.Nanosecond)
		synctest.Wait()
		late, _ := wait(a)
		lateGone, cancel := wait(a)
		_ = lateGone
		synctest.Wait()
		cancel()
		for i, got := range append(all, late) {
			if len(got) != 1 {
				t.Fatalf("waiter %d was told %d times", i, len(got))
			}
			if o := <-got; o.err != nil || !slices.Equal(o.addrs, addrs("10.0.0.1")) {
				t.Errorf("waiter %d: %v", i, o)
			}
		}
		if len(gone) != 0 {
			t.Error("a cancelled waiter was told")
		}
		if d.count("a") != 1 {
			t.Errorf("%d lookups", d.count("a"))
		}
	})
}

// A waiter that is cancelled while another is being told is not told.
func TestCancelWhileOthersAreTold(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := newDNS()
		d.slow("a", time.Second, false)
		r := resolve.New(resolve.Options{Lookup: d.lookup})
		defer r.Close()
		a := r.Name("a")
		var calls atomic.Int32
		told, goOn := make(chan struct{}), make(chan struct{})
		var cancels []func()
		for range 2 {
			cancels = append(cancels, a.Wait(func([]netip.Addr, error) {
				calls.Add(1)
				close(told)
				<-goOn
			}))
		}
		<-told
		for _, cancel := range cancels {
			cancel()
		}
		close(goOn)
		synctest.Wait()
		if calls.Load() != 1 {
			t.Errorf("%d waiters were told", calls.Load())
		}
	})
}

// Clients that come and go while a lookup hangs leave nothing behind.
func TestCancelledWaiterIsForgotten(t *testing.T) {
	t.Parallel()
	r := resolve.New(resolve.Options{Lookup: func(ctx context.Context, _ string) ([]netip.Addr, time.Duration, error) {
		<-ctx.Done()
		return nil, 0, ctx.Err()
	}})
	defer r.Close()
	n := r.Name("a")
	session := func() weak.Pointer[[1000]int] {
		s := new([1000]int)
		cancel := n.Wait(func([]netip.Addr, error) { s[0]++ })
		cancel()
		return weak.Make(s)
	}()
	runtime.GC()
	if session.Value() != nil {
		t.Error("the resolver keeps a waiter that cancelled")
	}
	runtime.KeepAlive(n)
}

// Wait never calls done on its own stack, because its caller may hold a lock that done takes.
func TestWaitIsAsynchronous(t *testing.T) {
	t.Parallel()
	r := resolve.New(resolve.Options{Lookup: newDNS().lookup})
	defer r.Close()
	var mu sync.Mutex
	for _, host := range []string{"10.0.0.1", "failing", "failing"} {
		told := make(chan struct{})
		mu.Lock()
		r.Name(host).Wait(func([]netip.Addr, error) {
			mu.Lock()
			defer mu.Unlock()
			close(told)
		})
		mu.Unlock()
		<-told
	}
}

func TestFailureAnswersUntilRetry(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := newDNS()
		r := resolve.New(resolve.Options{Lookup: d.lookup, Retry: 2 * time.Second})
		defer r.Close()
		a := r.Name("a")
		for range 5 {
			got, _ := wait(a)
			if o := <-got; !errors.Is(o.err, errNoHost) || o.err.Error() != "resolve: looking up a: no such host" {
				t.Fatal(o.err)
			}
		}
		if d.count("a") != 1 {
			t.Errorf("%d lookups within the pause", d.count("a"))
		}
		d.set("a", "10.0.0.1")
		time.Sleep(later(2 * time.Second))
		got, _ := wait(a)
		if o := <-got; o.err != nil || d.count("a") != 2 {
			t.Errorf("after the pause: %v, %d lookups", o.err, d.count("a"))
		}
	})
}

func TestAddrsDoesNotAllocate(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	r := resolve.New(resolve.Options{Lookup: func(context.Context, string) ([]netip.Addr, time.Duration, error) {
		return addrs("10.0.0.1"), resolve.UnknownTTL, nil
	}})
	defer r.Close()
	for _, host := range []string{"localname", "10.0.0.1"} {
		n := r.Name(host)
		got, _ := wait(n)
		<-got
		if a := testing.AllocsPerRun(1000, func() { n.Addrs() }); a != 0 {
			t.Errorf("Addrs of %s: %v allocations", host, a)
		}
	}
}

func BenchmarkAddrs(b *testing.B) {
	r := resolve.New(resolve.Options{Lookup: func(context.Context, string) ([]netip.Addr, time.Duration, error) {
		return addrs("10.0.0.1"), resolve.UnknownTTL, nil
	}})
	defer r.Close()
	n := r.Name("localname")
	got, _ := wait(n)
	<-got
	b.ReportAllocs()
	for b.Loop() {
		n.Addrs()
	}
}
