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
	"time"

	"golang.org/x/sys/unix"

	"kroxy-ev/config"
	"kroxy-ev/engine"
)

// This file is "kroxy-ev demo": hosts, the proxy in front of them, and live figures, in one process.

const demoUsage = `kroxy-ev demo starts three small web servers and the proxy in front of them, and shows what passes through.

Usage:
  kroxy-ev demo [-port N] [-for DURATION]

Options:
  -port N        listen on port N, or on the next free one (default 8080)
  -for DURATION  stop after that time, such as 30s (default: at Ctrl-C)
  -h, --help     print this
`

const (
	demoHosts = "ABC"     // a host a letter
	demoBulk  = 100 << 20 // bytes of the big download
	demoPorts = 100       // how many ports are tried
)

// demoFlags is demo's command line.
type demoFlags struct {
	port uint
	stop time.Duration // 0 is never
}

// demo runs the demonstration until a signal, or the time of -for, ends it. It returns the exit status.
func demo(args []string, stdout, stderr io.Writer) int {
	f, err := parseDemoFlags(args)
	switch {
	case errors.Is(err, flag.ErrHelp):
		fmt.Fprint(stdout, demoUsage)
		return exitOK
	case err != nil:
		fmt.Fprintf(stderr, "kroxy-ev: demo: %v\nTry \"kroxy-ev demo --help\".\n", err)
		return exitError
	}
	if err := runDemo(f, stdout, stderr); err != nil {
		fmt.Fprintf(stderr, "%v\n", err)
		return exitError
	}
	return exitOK
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
	case f.port < 1 || f.port > 65535:
		return f, fmt.Errorf("-port is %d; ports are 1 to 65535", f.port)
	case f.stop < 0:
		return f, fmt.Errorf("-for is %v; it cannot be negative", f.stop)
	}
	return f, nil
}

func runDemo(f demoFlags, stdout, stderr io.Writer) error {
	ports, closeHosts, err := startDemoHosts()
	if err != nil {
		return err
	}
	defer closeHosts()

	port := freePort(uint16(f.port))
	text := demoConfig(port, ports)
	cfg, _, err := config.Parse("demo.json", []byte(text))
	if err != nil {
		return err
	}
	log := slog.New(slog.NewTextHandler(stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
	s, _, err := newSingleProxy(cfg, log)
	if err != nil {
		return err
	}
	defer s.close()
	s.signals = catchDemoSignals()
	s.start()

	if uint(port) != f.port {
		fmt.Fprintf(stdout, "Port %d is in use, so this is on port %d.\n\n", f.port, port)
	}
	fmt.Fprintf(stdout, demoText, text, port, demoBulk>>20)

	end := func() {
		select {
		case s.signals.stop <- unix.SIGTERM:
		default: // it is ending
		}
	}
	figures := startFigures(s.proxy, stdout, end) // a demo that nobody can see is over
	if f.stop > 0 {
		over := time.AfterFunc(f.stop, end)
		defer over.Stop()
	}
	err = s.run()
	figures.stop()
	if err == nil {
		fmt.Fprintln(stdout, "Stopped.")
	}
	return err
}

// demoText takes the configuration, the port, and the megabytes of the big download.
const demoText = `kroxy-ev serves this configuration:

%[1]s
Try, in another terminal, a few times (curl makes a new connection each time, so the hosts take turns):

  curl http://127.0.0.1:%[2]d/
  printf 'GET / HTTP/1.0\r\n\r\n' | nc 127.0.0.1 %[2]d

and in bulk:

  curl -o /dev/null http://127.0.0.1:%[2]d/%[3]dMB

Ctrl-C stops it. Bytes are counted when their session ends. A line each second:

`

// startDemoHosts starts the hosts, on ports of 127.0.0.1 that the kernel chooses.
func startDemoHosts() (ports []uint16, closeAll func(), err error) {
	var servers []*http.Server
	closeAll = func() {
		for _, s := range servers {
			_ = s.Close()
		}
	}
	for _, letter := range demoHosts {
		ln, err := net.Listen("tcp4", "127.0.0.1:0")
		if err != nil {
			closeAll()
			return nil, nil, fmt.Errorf("kroxy-ev: while starting host %c of the demo: %w", letter, err)
		}
		s := &http.Server{Handler: demoHost(letter), ReadHeaderTimeout: 10 * time.Second}
		servers = append(servers, s)
		ports = append(ports, ln.Addr().(*net.TCPAddr).AddrPort().Port())
		go func() { _ = s.Serve(ln) }()
	}
	return ports, closeAll, nil
}

// demoHost answers its name, and /100MB with that many bytes.
func demoHost(letter rune) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("/{$}", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintf(w, "hello from host %c\n", letter)
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

// freePort is the first port from want up that nobody listens on, or want if there is none nearby: then listening says
// what is wrong.
func freePort(want uint16) uint16 {
	for port := int(want); port <= min(int(want)+demoPorts, 65535); port++ {
		if engine.CheckFree(netip.AddrPortFrom(netip.IPv4Unspecified(), uint16(port))) == nil {
			return uint16(port)
		}
	}
	return want
}

// demoConfig is a configuration that people can copy.
func demoConfig(port uint16, hosts []uint16) string {
	list := make([]string, len(hosts))
	for i, h := range hosts {
		list[i] = fmt.Sprintf(`          { "host": "127.0.0.1", "port": %d }`, h)
	}
	return fmt.Sprintf(`{
  "stream": {
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
`, port, strings.Join(list, ",\n"))
}
