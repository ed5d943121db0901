package bench

import (
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func TestMachine(t *testing.T) {
	t.Parallel()
	c, err := splitCores()
	if err != nil {
		t.Fatal(err)
	}
	m := lookAtMachine(c, 1234)
	if m.CPU == "" || m.CPUs < 1 || m.Proxies == "" || m.Rest == "" || !strings.HasSuffix(m.Memory, " GB") || !strings.HasPrefix(m.Kernel, "Linux ") || !strings.HasPrefix(m.Go, "go") || m.Files != 1234 {
		t.Errorf("%+v", m)
	}
	var set unix.CPUSet
	set.Set(0)
	set.Set(70)
	if got := numbers(set); got != "0, 70" {
		t.Errorf("CPUs %s", got)
	}
}

func TestMachineWords(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct{ got, want string }{
		{entry("a: 1\nno model name: W\nmodel name\t: X: Y \nmodel name: Z", "model name", ":"), "X: Y"},
		{entry("a: 1\n", "b", ":"), ""},
		{gigabytes("8131672 kB"), "8.3 GB"},
		{gigabytes(""), ""},
		{virtual("fpu hypervisor", "kvm"), "virtual (kvm)"},
		{virtual("hypervisor", ""), "virtual"},
		{virtual("fpu nohypervisor", ""), "no hypervisor seen"},
		{virtual("", "none"), "no hypervisor seen"},
		{virtual("", ""), ""},
		{nginxOpenSSL("nginx version: nginx/1\nbuilt with OpenSSL 3.0.22 25 Aug 2026 (running with OpenSSL 3.0.19 27 Jan 2026)\nTLS SNI\n"), "OpenSSL 3.0.19 27 Jan 2026"},
		{nginxOpenSSL("built with OpenSSL 3.0.22 25 Aug 2026\n"), "OpenSSL 3.0.22 25 Aug 2026"},
		{nginxOpenSSL("nginx version: nginx/1\n"), ""},
		{withOpenSSL("a", ""), "a"},
		{strings.Join(programs("", "", "", ""), ","), ""},
		{said("/no/such/program"), ""},
	} {
		if tc.got != tc.want {
			t.Errorf("got %q, want %q", tc.got, tc.want)
		}
	}
}
