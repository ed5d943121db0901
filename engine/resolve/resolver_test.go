package resolve_test

import (
	"context"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"kroxy-ev/engine/resolve"
)

func TestLiterals(t *testing.T) {
	t.Parallel()
	r := resolve.New(resolve.Options{Lookup: func(_ context.Context, name string) ([]netip.Addr, time.Duration, error) {
		return nil, 0, fmt.Errorf("%s was looked up", name)
	}})
	defer r.Close()
	for _, c := range []struct{ host, want string }{
		{"127.0.0.1", "127.0.0.1"},
		{"::1", "::1"},
		{"[::1]", "::1"},
		{"[2001:DB8::A]", "2001:db8::a"},
		{"::ffff:10.0.0.1", "10.0.0.1"},
		{"fe80::1%Eth0", "fe80::1%Eth0"},
		{"fe80::1%eth0", "fe80::1%eth0"},
		{"[fe80::1%lo]", "fe80::1%lo"},
		{"[127.0.0.1]", ""},
		{"[::1", ""},
		{"::1]", ""},
		{"[]", ""},
		{"", ""},
		{"127.0.0.1.", ""},
		{"1.2.3", ""},
		{"example.com", ""},
	} {
		n := r.Name(c.host)
		if c.want != "" {
			expect(t, n, c.want)
		} else {
			expect(t, n)
		}
		got, _ := wait(n)
		if o := <-got; (o.err == nil) != (c.want != "") {
			t.Errorf("Wait of %q: %v", c.host, o.err)
		} else if o.err != nil && !strings.Contains(o.err.Error(), c.host+" was looked up") {
			t.Errorf("Wait of %q: %v", c.host, o.err)
		}
	}
}

func TestOneNamePerHost(t *testing.T) {
	t.Parallel()
	r := resolve.New(resolve.Options{Lookup: newDNS().lookup})
	defer r.Close()
	if r.Name("Example.COM") != r.Name("example.com") || r.Name("a") == r.Name("b") {
		t.Error("names are not one per host")
	}
}

func FuzzName(f *testing.F) {
	for _, s := range []string{"[::1]", "::ffff:1.2.3.4", "fe80::1%a", "[1.2.3.4]", "a.b", "[", "]", ""} {
		f.Add(s)
	}
	r := resolve.New(resolve.Options{})
	r.Close() // so that nothing is looked up
	f.Fuzz(func(t *testing.T, host string) {
		bare := host
		if strings.HasPrefix(host, "[") && strings.HasSuffix(host, "]") && len(host) > 1 && strings.Contains(host, ":") {
			bare = host[1 : len(host)-1]
		}
		want, err := netip.ParseAddr(bare)
		got := r.Name(host).Addrs()
		if (err == nil) != (got != nil) || err == nil && got[0] != want.Unmap() {
			t.Errorf("%q: got %v, want %v (%v)", host, got, want, err)
		}
	})
}

func TestDefaultLookup(t *testing.T) {
	t.Parallel()
	r := resolve.New(resolve.Options{})
	defer r.Close()
	got, _ := wait(r.Name("localhost"))
	o := <-got
	if o.err != nil {
		t.Skipf("this machine does not know localhost: %v", o.err)
	}
	for _, a := range o.addrs {
		if !a.IsLoopback() || a.Is4In6() {
			t.Errorf("localhost is %v", a)
		}
	}
}
