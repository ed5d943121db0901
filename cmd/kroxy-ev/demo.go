package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"time"

	"kroxy-ev/cmd/kroxy-ev/internal/service"
	"kroxy-ev/config"
	"kroxy-ev/engine"
)

// This file is "kroxy-ev demo": hosts, the proxy in front of them, and live figures, in one process.

const demoUsage = `kroxy-ev demo starts three small web servers and the proxy in front of them, once as an HTTP proxy and once as a TCP
proxy, and shows live figures of the traffic.

Usage:
  kroxy-ev demo [-port N] [-for DURATION]

Options:
  -port N        listen on port N for HTTP and on port N+1 for TCP, or on the next free ports (default 8080)
  -for DURATION  stop after that time, such as 30s (default: at Ctrl-C)
  -h, --help     print this
`

const (
	demoLetters = "ABC"     // one host per letter
	demoBulk    = 100 << 20 // size of the big download in bytes
	demoPorts   = 100       // how many ports are tried
	demoAway    = 10 * time.Second
)

// demoFlags is the command line of the demo.
type demoFlags struct {
	port uint
	stop time.Duration // 0 means never
}

// demo runs the demonstration until a signal or the time of -for ends it. It returns the exit status.
func demo(args []string, stdout, stderr io.Writer) int {
	f, err := parseDemoFlags(args)
	switch {
	case errors.Is(err, flag.ErrHelp):
		fmt.Fprint(stdout, demoUsage)
		return service.ExitOK
	case err != nil:
		fmt.Fprintf(stderr, "kroxy-ev: demo: %v\nTry \"kroxy-ev demo --help\".\n", err)
		return service.ExitError
	}
	if err := runDemo(f, stdout, stderr); err != nil {
		fmt.Fprintf(stderr, "%v\n", err)
		return service.ExitError
	}
	return service.ExitOK
}

func parseDemoFlags(args []string) (demoFlags, error) {
	var f demoFlags
	set := flag.NewFlagSet("kroxy-ev demo", flag.ContinueOnError)
	set.SetOutput(io.Discard)
	set.UintVar(&f.port, "port", 8080, "")
	set.DurationVar(&f.stop, "for", 0, "")
	if err := set.Parse(args); err != nil {
		return f, err
	}
	switch {
	case set.NArg() > 0:
		return f, fmt.Errorf("unexpected argument %q", set.Arg(0))
	case f.port < 1 || f.port > 65534:
		return f, fmt.Errorf("-port is %d; it can be 1 to 65534, since the demo takes the next port too", f.port)
	case f.stop < 0:
		return f, fmt.Errorf("-for is %v; it cannot be negative", f.stop)
	}
	return f, nil
}

// demoProxy is one of the demo's two proxies.
type demoProxy struct {
	mode string
	port uint16
	text string // its configuration
	*service.Single
}

// listen makes the proxy, which then listens on port.
func (p *demoProxy) listen(port uint16, hosts *demoHosts, log *slog.Logger) error {
	p.port, p.text = port, demoConfig(p.mode, port, hosts)
	cfg, _, err := config.Parse("demo.json", []byte(p.text))
	if err != nil {
		return err
	}
	p.Single, err = service.NewSingle(cfg, log)
	return err
}

func runDemo(f demoFlags, stdout, stderr io.Writer) error {
	hosts, err := startDemoHosts(stdout)
	if err != nil {
		return err
	}
	defer hosts.close()

	log := slog.New(slog.NewTextHandler(stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
	var proxies []*demoProxy
	port := uint16(f.port)
	for i, mode := range []string{"http", "stream"} {
		p := &demoProxy{mode: mode}
		if err := onFreePort(port, uint16(65534+i), func(port uint16) error { return p.listen(port, hosts, log) }); err != nil {
			return err
		}
		defer p.Close()
		port = p.port + 1
		proxies = append(proxies, p)
	}
	web, raw := proxies[0], proxies[1]
	web.CatchDemoSignals()
	web.Start()
	raw.Start()

	if uint(web.port) != f.port {
		fmt.Fprintf(stdout, "Port %d is in use, so the demo uses port %d.\n\n", f.port, web.port)
	}
	fmt.Fprintf(stdout, demoText, web.text, raw.port, web.port, demoBulk>>20, demoAway)

	figures := startFigures(proxies, stdout, web.Stop) // nobody sees the output any more
	if f.stop > 0 {
		over := time.AfterFunc(f.stop, web.Stop)
		defer over.Stop()
	}
	err = web.Run()
	raw.EndSessions()
	figures.stop()
	if err == nil {
		fmt.Fprintln(stdout, "Stopped.")
	}
	return err
}

// demoText takes the HTTP proxy's configuration, the TCP port, the HTTP port, the megabytes of the big download, and how long a host is
// away.
const demoText = `kroxy-ev serves this configuration:

%[1]s
and, on port %[2]d, the same with "stream" instead of "http", which proxies any TCP protocol.

In another terminal, run these a few times (the hosts take turns):

  curl http://127.0.0.1:%[3]d/
  curl http://127.0.0.1:%[2]d/
  printf 'GET / HTTP/1.0\r\n\r\n' | nc 127.0.0.1 %[2]d

download a large file:

  curl -o /dev/null http://127.0.0.1:%[2]d/%[4]dMB

and kill the host that answers, for %[5]v; clients do not notice:

  curl http://127.0.0.1:%[3]d/die

Ctrl-C stops it. Bytes are counted when their request or session ends. Each second:

`

// demoHosts are the hosts of the demo.
type demoHosts struct {
	stdout io.Writer
	list   []*demoHost
	closed chan struct{}
}

// demoHost is a small web server, which can die and come back.
type demoHost struct {
	letter rune
	addr   netip.AddrPort
	all    *demoHosts

	mu     sync.Mutex
	server *http.Server
	dying  bool
}

// startDemoHosts starts the hosts on ports of 127.0.0.1 that the kernel chooses.
func startDemoHosts(stdout io.Writer) (*demoHosts, error) {
	all := &demoHosts{stdout: stdout, closed: make(chan struct{})}
	for _, letter := range demoLetters {
		h := &demoHost{letter: letter, addr: netip.MustParseAddrPort("127.0.0.1:0"), all: all}
		if err := h.start(); err != nil {
			all.close()
			return nil, fmt.Errorf("kroxy-ev: while starting host %c of the demo: %w", letter, err)
		}
		all.list = append(all.list, h)
	}
	return all, nil
}

// close stops all hosts for good.
func (d *demoHosts) close() {
	close(d.closed)
	for _, h := range d.list {
		h.stop()
	}
}

func (h *demoHost) start() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	ln, err := net.Listen("tcp4", h.addr.String())
	if err != nil {
		return err
	}
	h.addr, h.dying = ln.Addr().(*net.TCPAddr).AddrPort(), false
	h.server = &http.Server{Handler: h.handler(), ReadHeaderTimeout: 10 * time.Second}
	go func(s *http.Server) { _ = s.Serve(ln) }(h.server)
	return nil
}

// stop closes the host's port and all its connections.
func (h *demoHost) stop() {
	h.mu.Lock()
	defer h.mu.Unlock()
	_ = h.server.Close()
}

// die stops the host for a while, unless the host is dying already.
func (h *demoHost) die() {
	h.mu.Lock()
	already := h.dying
	h.dying = true
	h.mu.Unlock()
	if already {
		return
	}
	h.stop()
	fmt.Fprintf(h.all.stdout, "          host %c has died\n", h.letter)
	select {
	case <-time.After(demoAway):
	case <-h.all.closed:
		return
	}
	if err := h.start(); err != nil {
		fmt.Fprintf(h.all.stdout, "          host %c does not come back: %v\n", h.letter, err)
		return
	}
	fmt.Fprintf(h.all.stdout, "          host %c is back\n", h.letter)
}

// handler serves the host's name at /, that many bytes at /100MB, and lets the host die at /die.
func (h *demoHost) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("/{$}", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintf(w, "hello from host %c\n", h.letter)
	})
	mux.HandleFunc("/die", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintf(w, "host %c dies now\n", h.letter)
		if err := http.NewResponseController(w).Flush(); err == nil {
			time.AfterFunc(demoLastWords, h.die)
		}
	})
	mux.HandleFunc(fmt.Sprintf("/%dMB", demoBulk>>20), func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/octet-stream")
		w.Header().Set("Content-Length", fmt.Sprint(demoBulk))
		piece := make([]byte, 256<<10)
		for sent := 0; sent < demoBulk; sent += len(piece) {
			if _, err := w.Write(piece); err != nil {
				return
			}
		}
	})
	return mux
}

// demoLastWords is how long a dying host waits so that its response gets out.
const demoLastWords = 100 * time.Millisecond

// onFreePort calls listen with the first free port from want to last. If that fails because another program has taken the port meanwhile, onFreePort goes
// on to the next free port.
func onFreePort(want, last uint16, listen func(port uint16) error) error {
	for {
		port := freePort(want, last)
		err := listen(port)
		if err == nil || freePort(port, last) == port {
			return err
		}
		want = port
	}
}

// freePort returns the first free port from want to last, or want if none near it is free: then listening fails with a good error.
func freePort(want, last uint16) uint16 {
	for port := int(want); port <= min(int(want)+demoPorts, int(last)); port++ {
		if (engine.Endpoint{Addr: netip.AddrPortFrom(netip.IPv4Unspecified(), uint16(port))}).CheckFree() == nil {
			return uint16(port)
		}
	}
	return want
}

// demoConfig returns a configuration that the user can copy.
func demoConfig(mode string, port uint16, hosts *demoHosts) string {
	list := make([]string, len(hosts.list))
	for i, h := range hosts.list {
		list[i] = fmt.Sprintf(`          { "host": "127.0.0.1", "port": %d }`, h.addr.Port())
	}
	return fmt.Sprintf(`{
  %q: {
    "port": %d,
    "proxy_to": "demo",
    "shutdown_timeout": 1000,
    "servers": {
      "demo": {
        "balancing_algo": "round_robin",
        "hosts": [
%s
        ]
      }
    }
  }
}
`, mode, port, strings.Join(list, ",\n"))
}
