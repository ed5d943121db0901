package screenshots

import (
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"kroxy-ev/cmd/kroxy-ev/internal/service"
)

// scene is what the screenshots show: a program with hosts and clients, which runs until the test ends. One of the hosts is down, and one is
// drained.
type scene struct {
	config string
	page   string // the dashboard's URL
}

func startScene(t *testing.T, program string) scene {
	t.Helper()
	var hosts []int
	for i := range 7 {
		hosts = append(hosts, host(t, time.Duration(1+i%3)*time.Millisecond))
	}
	ports := freePorts(t, 4)
	s := scene{config: filepath.Join(t.TempDir(), "proxy.json"), page: fmt.Sprintf("http://127.0.0.1:%d/", ports[2])}
	if err := os.WriteFile(s.config, []byte(configuration(ports, hosts)), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(program, "--config", filepath.Base(s.config), "--multiprocess")
	cmd.Dir = filepath.Dir(s.config)
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		_ = cmd.Wait()
	})
	for late := time.Now().Add(10 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		if _, _, err := service.Status(s.config); err == nil {
			break
		} else if time.Now().After(late) {
			t.Fatal(err)
		}
	}
	drain := exec.Command(program, "drain", fmt.Sprintf("web/127.0.0.1:%d", hosts[2]), "--config", s.config)
	if out, err := drain.CombinedOutput(); err != nil {
		t.Fatalf("%v: %v: %s", drain.Args, err, out)
	}
	var clients sync.WaitGroup
	quit := make(chan struct{})
	for i := range 12 {
		clients.Go(func() { client(quit, fmt.Sprintf("http://127.0.0.1:%d", ports[i/10]), i/10 == 0) })
	}
	t.Cleanup(func() {
		close(quit)
		clients.Wait()
	})
	return s
}

// configuration returns a configuration for these ports: of the proxy, a TCP service and the dashboard, and one on which nothing listens.
func configuration(ports, hosts []int) string {
	list := func(ports ...int) string {
		all := make([]string, len(ports))
		for i, p := range ports {
			all[i] = fmt.Sprintf(`{ "host": "127.0.0.1", "port": %d }`, p)
		}
		return strings.Join(all, ", ")
	}
	return fmt.Sprintf(`{
  "workers_num": 2,
  "admin": { "listen": [{ "port": %d }] },
  "http": {
    "port": %d,
    "routes": [
      { "name": "api", "match": { "path_prefix": "/api" }, "proxy_to": "api" },
      { "name": "old site", "match": { "path_prefix": "/old" }, "redirect": { "to": "/" } },
      { "name": "site", "proxy_to": "web" }
    ]
  },
  "stream": { "name": "database", "port": %d, "proxy_to": "db" },
  "servers": {
    "web": { "balancing_algo": "least_conn", "hosts": [%s] },
    "api": { "health_check": { "path": "/" }, "hosts": [%s] },
    "db": { "hosts": [%s] }
  }
}
`, ports[2], ports[0], ports[1], list(hosts[0], hosts[1], hosts[2]), list(hosts[3], hosts[4], ports[3]), list(hosts[5], hosts[6]))
}

// host starts a web server that takes about the given time for an answer, and returns its port.
func host(t *testing.T, takes time.Duration) int {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		time.Sleep(takes + time.Duration(rand.ExpFloat64()*float64(takes)))
		if strings.HasSuffix(r.URL.Path, "/missing") {
			w.WriteHeader(http.StatusNotFound)
		}
		_, _ = io.WriteString(w, strings.Repeat("kroxy-ev\n", 200+rand.IntN(800)))
	}))
	t.Cleanup(server.Close)
	return server.Listener.Addr().(*net.TCPAddr).Port
}

// client repeatedly sends a request and pauses, at a varying rate, until quit is closed. It may keep its connection open.
func client(quit <-chan struct{}, url string, keep bool) {
	paths := []string{"/", "/", "/", "/shop", "/shop/missing", "/api/orders", "/api/orders", "/old/news"}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: !keep}, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	for {
		if resp, err := client.Get(url + paths[rand.IntN(len(paths))]); err == nil {
			_, _ = io.Copy(io.Discard, resp.Body)
			_ = resp.Body.Close()
		}
		lull := 1.5 + math.Sin(float64(time.Now().UnixMilli())/8000)
		select {
		case <-quit:
			return
		case <-time.After(time.Duration(rand.ExpFloat64() * lull * 40 * float64(time.Millisecond))):
		}
	}
}

// freePorts returns n ports on which nothing listens at the moment.
func freePorts(t *testing.T, n int) []int {
	t.Helper()
	var ports []int
	for range n {
		ln, err := net.Listen("tcp4", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer ln.Close()
		ports = append(ports, ln.Addr().(*net.TCPAddr).Port)
	}
	return ports
}
