package bench

import (
	"cmp"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"time"
)

// options are set by the command line. If rounds is 0, the run is as thorough as time allows.
type options struct {
	thoroughness
	chosen   []*workload // workloads to measure
	count    int         // times that each is measured
	until    time.Time   // when the run must have ended; zero: no limit
	only     []string    // contestants to measure; empty: all
	sendfile bool        // see hostOptions
	build    []string    // flags of "go build" for the subject
	variants variants
}

// subject is the name of the program that the others are compared with.
const subject = "kroxy-ev"

// harness is what all measurements share. The caller must call close.
type harness struct {
	options
	dir        string // all files are written below it
	cores      cores
	files      int // limit on open files of this process and its children
	guard      *guard
	collector  *collector
	peers      []peer            // contestants of all modes, in the order of measurement
	nginx, wrk string            // paths, or ""
	h2load     string            // path, or ""
	ecdsa, rsa certificate       // of the contestants that use TLS
	hellos     map[string][]byte // the ClientHello of each load program, by name, once it is known
	// For the report: what is missing, and so is left out or replaced; the installed programs; the configurations that they were run with.
	lacks, programs []string
	configurations  []configuration
}

// newHarness finds the programs, builds kroxy-ev and starts the guard. It reports on note what is missing and therefore left out.
func newHarness(o options, note io.Writer) (_ *harness, err error) {
	h := &harness{options: o, nginx: find("nginx"), wrk: find("wrk"), h2load: find("h2load")}
	if h.cores, err = splitCores(); err != nil {
		return nil, err
	}
	if err = adoptOrphans(); err != nil {
		return nil, err
	}
	if h.files, err = raiseFileLimit(); err != nil {
		return nil, err
	}
	if h.dir, err = os.MkdirTemp("", "kroxy-bench-"); err != nil {
		return nil, fmt.Errorf("bench: making a directory: %w", err)
	}
	if err = os.Chmod(h.dir, 0o755); err != nil { // see peer.start
		_ = os.RemoveAll(h.dir)
		return nil, fmt.Errorf("bench: opening a directory: %w", err)
	}
	if h.guard, err = startGuard(h.dir, h.cores.rest); err != nil {
		_ = os.RemoveAll(h.dir)
		return nil, err
	}
	defer func() {
		if err != nil {
			h.close()
		}
	}()
	if h.collector, err = startCollector(); err != nil {
		return nil, err
	}
	if h.ecdsa, h.rsa, err = makeCertificates(h.dir); err != nil {
		return nil, err
	}
	lack := func(what string) {
		h.lacks = append(h.lacks, what)
		fmt.Fprintf(note, "bench: %s\n", what)
	}
	missing := func(what string, m mode) {
		lack(fmt.Sprintf("%s for %s mode not installed, skipping (bench/setup.sh installs it)", what, m))
	}
	haproxy := find("haproxy")
	kroxy := filepath.Join(h.dir, subject)
	all := allPeers(h.nginx, haproxy, kroxy)
	for _, name := range o.only {
		if !slices.ContainsFunc(all, func(p peer) bool { return p.name == name }) {
			return nil, fmt.Errorf("bench: no contestant %q", name)
		}
	}
	for _, p := range all {
		if len(o.only) > 0 && !slices.Contains(o.only, p.name) {
			continue
		}
		switch p.name {
		case "nginx", "nginx-tuned":
			if h.nginx == "" || p.mode == modeStream && !nginxHasStream(h.nginx) {
				if !p.bulk {
					missing(p.name, p.mode)
				}
				continue
			}
		case "haproxy", "haproxy-splice", "haproxy-tuned":
			if haproxy == "" {
				if !p.bulk {
					missing(p.name, p.mode)
				}
				continue
			}
		}
		h.peers = append(h.peers, p)
	}
	if slices.ContainsFunc(h.peers, func(p peer) bool { return p.name == subject }) {
		if err := buildKroxy(kroxy, "", o.build); err != nil {
			return nil, err
		}
		if err := h.addVariants(o.variants); err != nil {
			return nil, err
		}
	}
	if h.rounds == 0 {
		h.thoroughness = fitting(h.chosen, h.peers, h.count, h.left())
	}
	if h.wrk == "" {
		lack("wrk not installed, a Go client drives the load (bench/setup.sh installs wrk)")
	}
	if h.nginx == "" {
		lack("nginx not installed, Go hosts answer the small requests")
	}
	if !h.cores.pinned {
		lack("one CPU only: proxies, hosts and load share it")
	}
	fmt.Fprintf(note, "bench: rounds: %d, load in each: %v\n", h.rounds, h.load)
	h.programs = programs(h.nginx, haproxy, h.wrk, h.h2load)
	for _, v := range h.programs {
		fmt.Fprintf(note, "bench: with %s\n", v)
	}
	return h, nil
}

// close ends everything that was started, and removes all files.
func (h *harness) close() {
	if h.collector != nil {
		h.collector.close()
	}
	h.guard.stop()
}

// buildKroxy builds a program under test from a module's directory; "" is the module of this package. Flags are for "go build".
func buildKroxy(to, tree string, flags []string) error {
	cmd := exec.Command("go", slices.Concat([]string{"build"}, flags, []string{"-o", to, "./cmd/kroxy-ev"})...)
	cmd.Dir = cmp.Or(tree, "..") // go test runs in the package's directory
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("bench: building kroxy-ev: %w\n%s", err, out)
	}
	return nil
}

// contestants returns those of all that take part in w.
func contestants(all []peer, w *workload) []peer {
	var list []peer
	for _, p := range all {
		if p.mode == w.mode && (w.bulk || !p.bulk) && (p.ours || w.deploy == deployment{}) {
			list = append(list, p)
		}
	}
	return list
}

// hostsFor starts the hosts for a workload. The caller must stop their proc.
func (h *harness) hostsFor(w *workload) (*hosts, error) {
	switch {
	case w.hosts == hostsPing:
		return startPingHosts(h)
	case w.hosts == hostsGRPC:
		return startHostRole(h, roleHost, hostOptions{GRPC: true})
	case w.hosts == hostsSmall && h.nginx != "":
		return startNginxHosts(h)
	}
	return startGoHosts(h)
}

// target is a running contestant.
type target struct {
	name        string
	proc        *proc
	hosts       *hosts // behind it
	port        int
	addr        string      // address for clients; another loopback address each round
	certificate certificate // presented to clients; zero: no TLS
	http2       bool        // speaks HTTP/2 to clients
	watched     bool        // see features
}

func (t *target) tls() bool { return t.certificate != certificate{} }

// startTarget starts a contestant of w in front of hs.
func (h *harness) startTarget(w *workload, p peer, hs *hosts) (*target, error) {
	port, err := freePort()
	if err != nil {
		return nil, err
	}
	var c certificate
	switch {
	case !w.mode.tls():
	case w.rsa:
		c = h.rsa
	default:
		c = h.ecdsa
	}
	s := settings{Port: port, HostA: hs.ports.A, HostB: hs.ports.B, certificate: c, Loose: w.loose, deployment: w.deploy}
	pr, err := p.start(h, s, h.cores.proxy, !w.noLog)
	if err != nil {
		return nil, err
	}
	return &target{name: p.name, proc: pr, hosts: hs, port: port, certificate: c, http2: w.mode.http2(), watched: p.Watched}, nil
}

// setRound sets t's address for a round, so that sockets of earlier rounds in TIME_WAIT use up no ports.
func (t *target) setRound(round int) {
	t.addr = fmt.Sprintf("127.0.0.%d:%d", 1+round%250, t.port)
}

// cpuDuring measures the CPU time that t uses while f runs.
func (t *target) cpuDuring(f func() (result, error)) (time.Duration, result, error) {
	before, err := usageOf(t.proc.pid)
	if err != nil {
		return 0, result{}, err
	}
	r, err := f()
	if err != nil {
		return 0, r, err
	}
	after, err := usageOf(t.proc.pid)
	if err != nil {
		return 0, r, err
	}
	cpu, err := after.since(before)
	return cpu, r, err
}
