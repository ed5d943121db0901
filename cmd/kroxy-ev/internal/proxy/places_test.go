package proxy_test

import (
	"fmt"
	"reflect"
	"testing"

	"kroxy-ev/cmd/kroxy-ev/internal/proxy"
	"kroxy-ev/config"
	"kroxy-ev/engine/metrics"
)

// measuredConfig has two servers, whose routes share a group, and one that gets no traffic.
func measuredConfig() *config.Config {
	at := func(port uint16, alias string) config.Host {
		return config.Host{Name: "127.0.0.1", Port: port, Alias: alias}
	}
	shared := &config.Group{Name: "web", Hosts: []config.Host{at(1, "a"), at(2, ""), at(1, "b"), at(1, "b"), at(2, ""), {Unix: "/run/app.sock"}}}
	again := &config.Group{Name: "web", Hosts: shared.Hosts} // configured differently, but with the same hosts
	unused := &config.Group{Name: "unused", Hosts: []config.Host{at(3, "")}}
	return &config.Config{
		Groups: []*config.Group{shared, again, unused},
		Servers: []*config.Server{
			{Name: "one", Routes: []config.Route{{Name: "x", To: []config.Target{{Group: shared}}}, {Name: "y"}}},
			{Name: "two", Routes: []config.Route{{Name: "x", To: []config.Target{{Group: again}, {Group: shared}}}}},
		},
	}
}

func TestSeries(t *testing.T) {
	t.Parallel()
	host := func(label string) metrics.Series {
		return metrics.Series{Kind: metrics.KindHost, Group: "web", Host: label}
	}
	want := []metrics.Series{
		{Kind: metrics.KindServer, Server: "one"},
		{Kind: metrics.KindRoute, Server: "one", Route: "x"},
		{Kind: metrics.KindRoute, Server: "one", Route: "y"},
		{Kind: metrics.KindServer, Server: "two"},
		{Kind: metrics.KindRoute, Server: "two", Route: "x"},
		{Kind: metrics.KindGroup, Group: "web"},
		host("127.0.0.1:1"), host("127.0.0.1:2"), host("127.0.0.1:1=b"), host("127.0.0.1:1=b#2"), host("127.0.0.1:2#2"), host("unix:/run/app.sock"),
	}
	if got := proxy.SeriesOf(measuredConfig()); !reflect.DeepEqual(got, want) {
		t.Errorf("got  %v\nwant %v", got, want)
	}
}

func TestPlaces(t *testing.T) {
	t.Parallel()
	cfg := measuredConfig()
	places := make([]metrics.Place, len(proxy.SeriesOf(cfg)))
	for i := range places {
		places[i] = metrics.Place(100 + i)
	}
	look := func(p *proxy.Places) string {
		return fmt.Sprint(p.Server(0), p.Route(0, 0), p.Route(0, 1), p.Server(1), p.Route(1, 0), p.Group(cfg.Groups[0]), p.Group(cfg.Groups[1]),
			p.Host(cfg.Groups[0], 0), p.Host(cfg.Groups[1], 5), p.Group(cfg.Groups[2]), p.Host(cfg.Groups[2], 0))
	}
	if got, want := look(proxy.PlacesOf(cfg, places)), "100 101 102 103 104 105 105 106 111 0 0"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	// Series for which there are not enough places are not counted.
	if got, want := look(proxy.PlacesOf(cfg, places[:4])), "100 101 102 103 0 0 0 0 0 0 0"; got != want {
		t.Errorf("with four places: got %s, want %s", got, want)
	}
}
