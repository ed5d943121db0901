package resolve_test

import (
	"context"
	"fmt"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"kroxy-ev/engine/resolve"
)

// Names are looked up again when the settings change, including those whose lookup was in progress.
func TestResolverFollows(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := newDNS()
		for _, name := range []string{"a", "b"} {
			d.set(name, "10.0.0.1")
			d.goodFor(name, 5*time.Minute)
		}
		r := resolve.New(resolve.Options{Lookup: d.lookup})
		defer r.Close()
		a := r.Name("a")
		synctest.Wait()
		d.slow("b", time.Second, false)
		b := r.Name("b")
		r.Follow(resolve.Settings{MinTTL: time.Second, MaxTTL: 5 * time.Minute}) // unchanged
		a.Addrs()
		synctest.Wait()
		if d.count("a") != 1 {
			t.Errorf("%d lookups by the same settings", d.count("a"))
		}
		r.Follow(resolve.Settings{MaxTTL: 10 * time.Second})
		d.set("a", "10.0.0.2")
		expect(t, a, "10.0.0.1")
		synctest.Wait()
		expect(t, a, "10.0.0.2")
		time.Sleep(time.Second)
		synctest.Wait()
		d.slow("b", 0, false)
		d.set("b", "10.0.0.2")
		expect(t, b, "10.0.0.1")
		synctest.Wait()
		expect(t, b, "10.0.0.2")
		d.set("b", "10.0.0.3")
		time.Sleep(later(10 * time.Second))
		synctest.Wait()
		expect(t, b, "10.0.0.3")
	})
}

func TestExcessIsTold(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var many []netip.Addr
		for i := range 10000 {
			many = append(many, netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)}))
		}
		n := len(many)
		told := make(chan string, 100)
		r := resolve.New(resolve.Options{
			Refresh: time.Second,
			Lookup: func(context.Context, string) ([]netip.Addr, time.Duration, error) {
				return many[:n], resolve.UnknownTTL, nil
			},
			Excess: func(name string, found, used int) { told <- fmt.Sprintf("%s: %d, %d", name, found, used) },
		})
		defer r.Close()
		a := r.Name("a")
		look := func() {
			a.Addrs()
			synctest.Wait()
			time.Sleep(later(time.Second))
			synctest.Wait()
		}
		expectTold := func(want string) {
			t.Helper()
			if n := len(told); n != 1 {
				t.Errorf("told %d times", n)
			} else if got := <-told; got != want {
				t.Errorf("told %q, want %q", got, want)
			}
		}
		look()
		look()
		expectTold("a: 10000, 256")
		n = 256
		look()
		n = 257
		look()
		expectTold("a: 257, 256")
	})
}

// Unused names are forgotten when there are many names; others are not.
func TestUnusedNamesAreForgotten(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := newDNS()
		r := resolve.New(resolve.Options{Lookup: d.lookup})
		defer r.Close()
		used, unused := r.Name("used"), r.Name("unused")
		for i := range 5000 {
			if i%100 == 0 {
				used.Addrs()
				time.Sleep(time.Second)
			}
			r.Name(fmt.Sprint(i))
		}
		if r.Name("used") != used {
			t.Error("a name that is in use was forgotten")
		}
		if r.Name("unused") == unused {
			t.Error("an unused name was not forgotten")
		}
		synctest.Wait()
	})
}
