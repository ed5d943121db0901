package resolve_test

import (
	"context"
	"errors"
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

// An answer is refreshed when it is old and used, and only then; it outlives failures; changes are reported once.
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
		synctest.Wait()
		use := func(calls int, want ...string) {
			t.Helper()
			a.Addrs()
			synctest.Wait()
			expect(t, a, want...)
			if got := d.count("a"); got != calls {
				t.Fatalf("%d lookups, want %d", got, calls)
			}
		}
		same := &a.Addrs()[0]
		time.Sleep(30*time.Second - 1)
		use(1, "10.0.0.1")
		time.Sleep(time.Nanosecond)
		use(2, "10.0.0.1")
		if &a.Addrs()[0] != same {
			t.Error("the same answer is another slice")
		}
		time.Sleep(24 * time.Hour)
		if d.count("a") != 2 {
			t.Error("a name nobody uses was looked up")
		}
		d.set("a", "10.0.0.2")
		use(3, "10.0.0.2")

		d.unset("a")
		time.Sleep(30 * time.Second)
		use(4, "10.0.0.2")
		calls := 4
		for _, pause := range []time.Duration{1, 2, 4, 8, 16, 30, 30} {
			time.Sleep(pause*time.Second - 1)
			use(calls, "10.0.0.2")
			time.Sleep(time.Nanosecond)
			calls++
			use(calls, "10.0.0.2")
		}
		const failing = "a: resolve: looking up a: no such host"
		told.expect(t, failing)
		d.set("a", "10.0.0.3")
		time.Sleep(30 * time.Second)
		use(calls+1, "10.0.0.3")
		told.expect(t, failing, "a: <nil>")
		// The pause begins anew.
		d.unset("a")
		time.Sleep(30 * time.Second)
		use(calls+2, "10.0.0.3")
		time.Sleep(time.Second)
		use(calls+3, "10.0.0.3")
	})
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

// A waiter that cancels while another is being told is not told.
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
	r := resolve.New(resolve.Options{Lookup: func(ctx context.Context, _ string) ([]netip.Addr, error) {
		<-ctx.Done()
		return nil, ctx.Err()
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

// done is never called on the stack of Wait, whose caller may hold a lock that done takes.
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
		time.Sleep(2 * time.Second)
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
	r := resolve.New(resolve.Options{Lookup: func(context.Context, string) ([]netip.Addr, error) {
		return addrs("10.0.0.1"), nil
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
	r := resolve.New(resolve.Options{Lookup: func(context.Context, string) ([]netip.Addr, error) {
		return addrs("10.0.0.1"), nil
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
