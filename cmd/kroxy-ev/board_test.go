package main_test

import (
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// Every panel of the Grafana dashboard, and every alert rule, queries something that a Prometheus with conf/prometheus.yml has about a proxy with traffic.
func TestBoard(t *testing.T) {
	t.Parallel()
	if raceEnabled {
		t.Skip("it shows nothing about races that scrapes in other tests do not")
	}
	program, err := exec.LookPath("prometheus")
	if err != nil {
		t.Skip("prometheus is not installed (Debian's package of that name)")
	}
	host := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/bad" {
			w.WriteHeader(http.StatusInternalServerError)
		}
	}))
	defer host.Close()
	port, adminPort := reservePort(t), reservePort(t)
	startFile(t, true, nil, object{
		"workers_num": 2,
		"admin":       object{"listen": []object{{"port": adminPort}}},
		"servers":     object{"web": object{"hosts": []object{{"host": "127.0.0.1", "port": host.Listener.Addr().(*net.TCPAddr).Port}}}},
		"http":        object{"port": port, "proxy_to": "web"},
	})
	asked := startPrometheus(t, program, adminPort)

	traffic := func() {
		for _, path := range []string{"/", "/bad"} {
			res, err := http.Get(fmt.Sprintf("http://127.0.0.1:%d%s", port, path))
			if err != nil {
				t.Fatal(err)
			}
			_ = res.Body.Close()
		}
	}
	for _, q := range boardQueries(t) {
		var problem string
		eventually(t, "an answer to "+q, func() bool {
			traffic()
			var n int
			n, problem = asked.ask(q)
			return n > 0 || problem != ""
		})
		if problem != "" {
			t.Errorf("%s: %s", q, problem)
		}
	}
	var rules struct {
		Data struct {
			Groups []struct {
				Rules []struct{ Name, Health, LastError string }
			}
		}
	}
	eventually(t, "the alerts are evaluated", func() bool {
		asked.get("/api/v1/rules", &rules)
		done := len(rules.Data.Groups) == 1
		for _, g := range rules.Data.Groups {
			for _, r := range g.Rules {
				done = done && r.Health != "unknown"
			}
		}
		return done
	})
	for _, r := range rules.Data.Groups[0].Rules {
		if r.Health != "ok" {
			t.Errorf("alert %s: %s", r.Name, r.LastError)
		}
	}
}

// boardQueries returns the queries of all panels, with Grafana's variables filled in.
func boardQueries(t *testing.T) (all []string) {
	t.Helper()
	text, err := os.ReadFile("../../conf/grafana.json")
	if err != nil {
		t.Fatal(err)
	}
	var board struct {
		Panels []struct {
			Type, Title string
			Targets     []struct{ Expr string }
		}
	}
	if err := json.Unmarshal(text, &board); err != nil {
		t.Fatal(err)
	}
	fill := strings.NewReplacer("$instance", ".*", "$server", ".*", "$group", ".*", "$__rate_interval", "1m")
	for _, p := range board.Panels {
		if p.Type != "row" && len(p.Targets) == 0 {
			t.Errorf("panel %q asks nothing", p.Title)
		}
		for _, target := range p.Targets {
			all = append(all, fill.Replace(target.Expr))
		}
	}
	return all
}

// prometheus is a running Prometheus.
type prometheus struct {
	t    *testing.T
	base string
}

// startPrometheus starts a Prometheus with conf/prometheus.yml that scrapes the admin endpoint on this port, and more often than the file says.
func startPrometheus(t *testing.T, program string, adminPort int) *prometheus {
	t.Helper()
	dir := t.TempDir()
	for _, name := range []string{"prometheus.yml", "alerts.yml"} {
		text, err := os.ReadFile("../../conf/" + name)
		if err != nil {
			t.Fatal(err)
		}
		changed := strings.NewReplacer("127.0.0.1:9900", fmt.Sprintf("127.0.0.1:%d", adminPort), "scrape_interval: 10s", "scrape_interval: 500ms\n  scrape_timeout: 500ms\n  evaluation_interval: 1s").Replace(string(text))
		if err := os.WriteFile(filepath.Join(dir, name), []byte(changed), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	p := &prometheus{t, fmt.Sprintf("http://%s:%d", ownAddress(t), 10000+rand.N(20000))}
	cmd := exec.Command(program, "--config.file="+filepath.Join(dir, "prometheus.yml"), "--storage.tsdb.path="+filepath.Join(dir, "data"),
		"--web.listen-address="+strings.TrimPrefix(p.base, "http://"), "--log.level=error")
	log := newTranscript()
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &unix.SysProcAttr{Pdeathsig: unix.SIGKILL}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		if t.Failed() {
			t.Logf("prometheus wrote:\n%s", log)
		}
	})
	eventually(t, "prometheus is ready", func() bool {
		res, err := http.Get(p.base + "/-/ready")
		if err == nil {
			_ = res.Body.Close()
		}
		return err == nil && res.StatusCode == http.StatusOK
	})
	return p
}

// get decodes the response of an API path.
func (p *prometheus) get(path string, into any) {
	p.t.Helper()
	res, err := http.Get(p.base + path)
	if err != nil {
		p.t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		p.t.Fatal(err)
	}
	if err := json.Unmarshal(text, into); err != nil {
		p.t.Fatalf("%s: %v: %s", path, err, text)
	}
}

// ask returns how many series a query yields, or what is wrong with the query.
func (p *prometheus) ask(query string) (n int, problem string) {
	p.t.Helper()
	var answer struct {
		Status, Error string
		Data          struct{ Result []json.RawMessage }
	}
	p.get("/api/v1/query?query="+url.QueryEscape(query), &answer)
	if answer.Status != "success" {
		return 0, answer.Error
	}
	return len(answer.Data.Result), ""
}
