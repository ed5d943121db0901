package dashboard_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"mime"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path"
	"strings"
	"sync"
	"testing"
	"time"

	"kroxy-ev/cmd/kroxy-ev/internal/admin"
	"kroxy-ev/cmd/kroxy-ev/internal/admin/dashboard"
)

// program is an admin endpoint with a simulated program behind it, whose state a test controls.
type program struct {
	url string

	mu     sync.Mutex
	status admin.Status
	began  time.Time
	pace   float64 // seconds that pass in the program for each real second
	token  string  // "" if none is needed
	silent bool    // it breaks connections
	refuse bool    // it reports all hosts as unknown
	reload func() (int, any)
	orders []string
}

// start serves a program with the given numbers of hosts and routes.
func start(t *testing.T, hosts, routes int) *program {
	t.Helper()
	p := &program{began: time.Now(), pace: 1, status: status(hosts, routes)}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", p.file)
	mux.HandleFunc("GET /assets/{name}", p.file)
	mux.HandleFunc("GET /api/v1/status", p.guarded(p.serveStatus))
	mux.HandleFunc("POST /api/v1/reload", p.guarded(func(w http.ResponseWriter, _ *http.Request) {
		code, v := p.reload()
		reply(w, code, v)
	}))
	mux.HandleFunc("POST /api/v1/hosts/{group}/{host}", p.guarded(p.serveHost))
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p.mu.Lock()
		silent := p.silent
		p.mu.Unlock()
		if silent {
			panic(http.ErrAbortHandler)
		}
		mux.ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	p.url = server.URL + "/"
	return p
}

// change changes the program's state.
func (p *program) change(how func(p *program)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	how(p)
}

// given returns the orders that arrived, each with its host.
func (p *program) given() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]string(nil), p.orders...)
}

func (p *program) file(w http.ResponseWriter, r *http.Request) {
	name := path.Base(r.URL.Path)
	if name == "/" {
		name = "index.html"
	}
	body, err := fs.ReadFile(dashboard.Files, name)
	if err != nil {
		http.NotFound(w, r)
		return
	}
	w.Header().Set("Content-Security-Policy", dashboard.Policy)
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.Header().Set("Content-Type", mime.TypeByExtension(path.Ext(name)))
	_, _ = w.Write(body)
}

// guarded requires the token, if there is one, and serializes requests with the test's accesses.
func (p *program) guarded(next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		p.mu.Lock()
		defer p.mu.Unlock()
		if p.token != "" && r.Header.Get("Authorization") != "Bearer "+p.token {
			reply(w, http.StatusUnauthorized, failure("unauthorized", "a token is needed", "send it as Authorization: Bearer TOKEN"))
			return
		}
		if r.Method == http.MethodPost && r.Header.Get("Content-Type") != "application/json" {
			reply(w, http.StatusUnsupportedMediaType, failure("media_type", "what is written must be JSON", "send Content-Type: application/json"))
			return
		}
		next(w, r)
	}
}

func (p *program) serveStatus(w http.ResponseWriter, _ *http.Request) {
	passed := time.Since(p.began).Seconds() * p.pace
	p.status.Uptime = p.began.Sub(p.status.Started).Seconds() + passed
	move(&p.status, passed)
	reply(w, http.StatusOK, p.status)
}

func (p *program) serveHost(w http.ResponseWriter, r *http.Request) {
	var order admin.HostOrder
	if err := json.NewDecoder(r.Body).Decode(&order); err != nil {
		reply(w, http.StatusBadRequest, failure("bad_body", err.Error(), "send JSON"))
		return
	}
	h, err := p.host(r.PathValue("group"), r.PathValue("host"))
	if p.refuse {
		err = errors.New("no such host")
	}
	if err != nil {
		reply(w, http.StatusNotFound, failure("no_host", err.Error(), "see /api/v1/status"))
		return
	}
	text, _ := json.Marshal(order)
	p.orders = append(p.orders, fmt.Sprintf("%s %s %s", r.PathValue("group"), r.PathValue("host"), text))
	if order.Drain != nil {
		h.Drain, h.State, h.Since = *order.Drain, admin.StateUp, time.Now()
		if h.Drain {
			h.State = admin.StateDrain
		}
	}
	if order.Weight != nil {
		h.Weight = *order.Weight
	}
	reply(w, http.StatusOK, map[string]any{})
}

func (p *program) host(group, host string) (*admin.Host, error) {
	for g := range p.status.Groups {
		for h := range p.status.Groups[g].Hosts {
			if p.status.Groups[g].Name == group && p.status.Groups[g].Hosts[h].Host == host {
				return &p.status.Groups[g].Hosts[h], nil
			}
		}
	}
	return nil, errors.New("no such host: " + url.PathEscape(host))
}

func reply(w http.ResponseWriter, code int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	_ = json.NewEncoder(w).Encode(v)
}

func failure(code, message, remedy string) any {
	return map[string]any{"error": map[string]string{"code": code, "message": message, "remedy": remedy}}
}

// status returns a program with the given numbers of routes and of hosts, which are in groups of up to 50.
func status(hosts, routes int) admin.Status {
	now := time.Now()
	s := admin.Status{
		Version: "1.7.0", PID: 4711, Mode: "master", Started: now.Add(-76 * time.Hour), State: "serving",
		Path: "/etc/kroxy-ev/kroxy.jsonc", Hash: strings.Repeat("9f86d081884c7d65", 4), Reloads: []admin.Reload{},
		Certificates: []admin.Certificate{
			{Path: "/etc/letsencrypt/live/shop.example/fullchain.pem", Names: []string{"shop.example", "*.shop.example"}, NotAfter: now.Add(63 * 24 * time.Hour)},
			{Path: "/etc/kroxy-ev/api.pem", Names: []string{"api.example"}, NotAfter: now.Add(40 * 24 * time.Hour)},
		},
	}
	for i := range 2 {
		s.Workers = append(s.Workers, admin.Worker{Slot: i, PID: 4712 + i, State: "serving", Since: now.Add(-76 * time.Hour)})
	}
	s.Reloads = []admin.Reload{
		{Time: now.Add(-42 * time.Minute), OK: true, By: "command", Changes: []string{"servers.web.hosts[2]: added 10.0.0.3:8080"}, Warnings: []string{}},
		{Time: now.Add(-45 * time.Minute), By: "signal", Error: "kroxy.jsonc:14:17: http.routes[0].proxy_to: no group named \"wbe\" in servers; did you mean \"web\"?", Warnings: []string{}, Changes: []string{}},
	}
	s.LastReload = &s.Reloads[0]
	http := admin.Server{Name: "http", Mode: "http", Listen: []string{"0.0.0.0:80", "[::]:443"}, Active: 812}
	for i := range routes {
		name := fmt.Sprintf("http.routes[%d]", i)
		if i == 0 {
			name = "shop"
		}
		http.Routes = append(http.Routes, admin.Route{Name: name, To: "web", Latency: admin.Latency{P50: 4.2 + float64(i), P99: 38 + float64(i)}})
	}
	s.Servers = []admin.Server{http, {Name: "stream", Mode: "stream", Listen: []string{"0.0.0.0:5432"}, Active: 40,
		Routes: []admin.Route{{Name: "stream", To: "db", Latency: admin.Latency{P50: 1200, P99: 59000}}}}}
	names := []string{"web", "api", "db"}
	for i := range hosts {
		g := i / 50
		if hosts <= 50 {
			g = i * 3 / hosts
		}
		if g == len(s.Groups) {
			name := fmt.Sprintf("group%d", g)
			if g < len(names) {
				name = names[g]
			}
			s.Groups = append(s.Groups, admin.Group{Name: name, Algorithm: []string{"least_conn", "hash", "first"}[g%3], Hosts: []admin.Host{}})
		}
		s.Groups[g].Hosts = append(s.Groups[g].Hosts, admin.Host{
			Host: fmt.Sprintf("10.%d.%d.%d:8080", g, i/250, i%250+1), State: admin.StateUp, Since: now.Add(-75 * time.Hour), Weight: 1, Active: int64(3 + i%7), MaxConns: 200 * (i % 2),
			Backup: i%4 == 3, Latency: admin.Latency{P50: 1.1 + float64(i%9), P99: 14 + float64(i%40)},
		})
	}
	move(&s, 0)
	return s
}

// move sets all counters to their values after a number of seconds.
func move(s *admin.Status, seconds float64) {
	traffic := func(t *admin.Traffic, rate float64, codes bool) {
		t.Requests = uint64(1e6 + rate*(seconds+10*math.Sin(seconds/20)+2*math.Sin(seconds/3+rate)))
		t.Received, t.Sent = 800*t.Requests, 14500*t.Requests
		t.Codes = map[string]uint64{}
		if codes {
			t.Codes = map[string]uint64{"2xx": t.Requests, "3xx": 0, "4xx": t.Requests / 200, "5xx": 12, "other": 0}
		}
	}
	for i := range s.Servers {
		http := s.Servers[i].Mode == "http"
		traffic(&s.Servers[i].Traffic, 1500/float64(i*i*i*100+1), http)
		for j := range s.Servers[i].Routes {
			traffic(&s.Servers[i].Routes[j].Traffic, 1500/float64(len(s.Servers[i].Routes)), http)
		}
	}
	for i := range s.Groups {
		g := &s.Groups[i]
		g.Usable = 0
		for j := range g.Hosts {
			if g.Hosts[j].State == admin.StateUp {
				g.Usable++
				traffic(&g.Hosts[j].Traffic, 300, true)
				g.Hosts[j].Served = int64(g.Hosts[j].Requests)
			}
		}
		traffic(&g.Traffic, 300*float64(len(g.Hosts)), true)
	}
}
