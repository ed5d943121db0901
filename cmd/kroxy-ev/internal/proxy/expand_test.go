package proxy_test

import (
	"reflect"
	"testing"

	"kroxy-ev/cmd/kroxy-ev/internal/proxy"
	"kroxy-ev/config"
)

// The hosts of a service take the position of the service, with its attributes; each priority becomes a tier.
func TestExpand(t *testing.T) {
	t.Parallel()
	own := config.Host{Name: "127.0.0.1", Port: 1, Weight: 1}
	spare := config.Host{SRV: "_b._tcp.test", Weight: 1, Backup: true, Alias: "b.example", MaxConns: 7}
	cfg := &config.Config{Groups: []*config.Group{
		{Hosts: []config.Host{own, {SRV: "_a._tcp.test", Weight: 1}, spare, {SRV: "_none._tcp.test"}}},
		{Hosts: []config.Host{{SRV: "_none._tcp.test", Weight: 1}}},
		{Hosts: []config.Host{own, {SRV: "_a._tcp.test"}}},
	}}
	want := []string{"_a._tcp.test", "_b._tcp.test", "_none._tcp.test"}
	if names := proxy.ServiceNames(cfg); !reflect.DeepEqual(names, want) {
		t.Errorf("services %q, want %q", names, want)
	}
	proxy.Expand(cfg, proxy.Services{
		"_a._tcp.test": {
			{Name: "x.test", Port: 80, Priority: 5, Weight: 65535}, {Name: "y.test", Port: 80, Priority: 5},
			{Name: "z.test", Port: 80, Priority: 6, Weight: 2}, {Name: "z.test", Port: 81, Priority: 60000, Weight: 2},
		},
		"_b._tcp.test":    {{Name: "x.test", Port: 80, Priority: 9, Weight: 3}},
		"_none._tcp.test": nil,
	})
	of := func(h config.Host, name string, port uint16, weight, tier int) config.Host {
		h.Name, h.Port, h.Weight, h.Tier = name, port, weight, tier
		return h
	}
	a := config.Host{SRV: "_a._tcp.test"}
	offering := []config.Host{of(a, "x.test", 80, 65535, 0), of(a, "y.test", 80, 1, 0), of(a, "z.test", 80, 2, 1), of(a, "z.test", 81, 2, 2)}
	for i, want := range [][]config.Host{
		append(append([]config.Host{own}, offering...), of(spare, "x.test", 80, 3, 0)),
		{},
		append([]config.Host{own}, offering...),
	} {
		if got := cfg.Groups[i].Hosts; !reflect.DeepEqual(got, want) {
			t.Errorf("group %d has %+v, want %+v", i, got, want)
		}
	}
	if name := cfg.Groups[0].Hosts[1].Called(); name != "test" {
		t.Errorf("a host of a service is called %q", name)
	}
	if name := cfg.Groups[0].Hosts[5].Called(); name != "b.example" {
		t.Errorf("a host of a service with a name is called %q", name)
	}
}
