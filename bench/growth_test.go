package bench

import (
	"encoding/json"
	"net/netip"
	"slices"
	"testing"
)

// What a deployment requires appears in kroxy-ev's configuration, and nothing else changes.
func TestRenderDeployment(t *testing.T) {
	t.Parallel()
	type group struct {
		Algorithm string `json:"balancing_algo"`
		Hosts     []struct {
			Host string
			Port int
		}
	}
	for _, d := range []deployment{{}, {Hosts: 1, Algorithm: "least_conn"}, {Hosts: 1000}, {Workers: 4}, {Routes: 1}, {Routes: 50}} {
		b, err := peer{file: "kroxy-ev-http.json"}.render(settings{HostA: 18002, HostB: 18003, deployment: d})
		if err != nil {
			t.Fatal(err)
		}
		var got struct {
			HTTP struct {
				Workers int              `json:"workers_num"`
				Servers map[string]group `json:"servers"`
				Routes  []struct {
					Match map[string]string
					To    string `json:"proxy_to"`
				}
			} `json:"http"`
		}
		if err := json.Unmarshal(b, &got); err != nil {
			t.Fatalf("%+v: %v\n%s", d, err, b)
		}
		g := got.HTTP.Servers["hosts"]
		algorithm, hosts := "round_robin", 2
		if d.Algorithm != "" {
			algorithm = d.Algorithm
		}
		if d.Hosts > 0 {
			hosts = d.Hosts
		}
		if got.HTTP.Workers != d.Workers || g.Algorithm != algorithm || len(g.Hosts) != hosts {
			t.Errorf("%+v: %d workers, %q, %d hosts", d, got.HTTP.Workers, g.Algorithm, len(g.Hosts))
		}
		if n := len(got.HTTP.Routes); n != d.Routes || n > 0 && (got.HTTP.Routes[n-1].To != "hosts" || got.HTTP.Routes[n-1].Match != nil) {
			t.Errorf("%+v: routes %+v", d, got.HTTP.Routes)
		}
		seen := map[netip.AddrPort]bool{}
		for _, h := range g.Hosts {
			a, err := netip.ParseAddr(h.Host)
			if err != nil || !a.IsLoopback() {
				t.Errorf("%+v: host %q is no loopback address: %v", d, h.Host, err)
			}
			seen[netip.AddrPortFrom(a, uint16(h.Port))] = true
		}
		if len(seen) != hosts {
			t.Errorf("%+v: %d different hosts", d, len(seen))
		}
	}
}

// Only kroxy-ev and its variants take part in rows about how it is deployed.
func TestContestants(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		w    *workload
		want []string
	}{
		{httpSmall, []string{"nginx", "haproxy", subject, "old"}},
		{httpDownload, []string{"nginx", "nginx-tuned", "haproxy", "haproxy-tuned", subject, "old"}},
		{growthHosts[0], []string{subject, "old"}},
		{growthWorkers[0], []string{subject, "old"}},
	} {
		all := allPeers("nginx", "haproxy", "kroxy-ev")
		for _, p := range slices.Clone(all) {
			if p.ours {
				p.name = "old"
				all = append(all, p)
			}
		}
		var got []string
		for _, p := range contestants(all, tc.w) {
			got = append(got, p.name)
		}
		if !slices.Equal(got, tc.want) {
			t.Errorf("%s: %v, want %v", tc.w.name, got, tc.want)
		}
	}
}

func TestNeedsFiles(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		files, clients int
		ok             bool
	}{{20000, 8000, true}, {20000, 9000, false}, {4096, 1000, true}, {4096, 4000, false}, {1024, 1, false}} {
		if err := (&harness{files: tc.files}).needsFiles(tc.clients); (err == nil) != tc.ok {
			t.Errorf("%d clients with %d files: %v", tc.clients, tc.files, err)
		}
	}
}
