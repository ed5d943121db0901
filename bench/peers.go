package bench

import (
	"bytes"
	"embed"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"text/template"

	"golang.org/x/sys/unix"
)

//go:embed peers
var peerFiles embed.FS

// settings fills in a configuration in peers/.
type settings struct {
	Port         int    // of the proxy
	HostA, HostB int    // ports of the group's two hosts on 127.0.0.1
	Log          string // path of the access log; "": none
	certificate         // for modes with TLS
	HTTP2        bool   // with clients
	GRPC         bool   // the hosts speak HTTP/2 only
	Dir          string // for other files that the program writes
	Files        int    // limit on open files
	MaxConn      int    // sessions that fit under it, at most 9000
	Loose        bool   // as many workers, threads or reactors as CPUs, and kroxy-ev's defaults: see workload.loose
	Bulk         bool   // for the bulk-only contestant, if one file serves both
	deployment          // of kroxy-ev
	features            // of kroxy-ev
	StreamModule string // nginx's stream module if it is a loadable one, or ""
}

// mode is how a program proxies.
type mode string

const (
	modeStream   mode = "stream" // TCP, whatever the content
	modeHTTP     mode = "http"
	modeHTTPS    mode = "https"    // TLS with clients, plain HTTP with the hosts
	modeHTTP2    mode = "http2"    // as https, and HTTP/2 with clients
	modeH2C      mode = "h2c"      // as http, and HTTP/2 with clients
	modeGRPC     mode = "grpc"     // as http2, and HTTP/2 with the hosts
	modeFeatures mode = "features" // as http, with kroxy-ev only: see featured
)

func (m mode) tls() bool   { return m == modeHTTPS || m == modeHTTP2 || m == modeGRPC }
func (m mode) http2() bool { return m == modeHTTP2 || m == modeH2C || m == modeGRPC }

// peer is a program under test.
type peer struct {
	name     string
	mode     mode
	file     string                          // in peers/
	argv     func(conf, dir string) []string // how to run it
	bulk     bool                            // takes part in the bulk rows only
	ours     bool                            // kroxy-ev or a variant of it
	env      []string                        // added to this process's environment
	ssl      string                          // OpenSSL's configuration in peers/; "": the system's
	features                                 // of kroxy-ev
}

// allPeers returns all contestants, in the order of measurement, with the programs at these paths.
func allPeers(nginx, haproxy, kroxy string) []peer {
	list := []peer{
		{name: "nginx", mode: modeStream, file: "nginx-stream.conf", argv: nginxArgv(nginx)},
		{name: "haproxy", mode: modeStream, file: "haproxy-tcp.cfg", argv: haproxyArgv(haproxy)},
		{name: "haproxy-splice", mode: modeStream, file: "haproxy-splice.cfg", argv: haproxyArgv(haproxy), bulk: true},
		{name: subject, mode: modeStream, file: "kroxy-ev-stream.json", argv: kroxyArgv(kroxy), ours: true},
		{name: "nginx", mode: modeHTTP, file: "nginx-http.conf", argv: nginxArgv(nginx)},
		{name: "nginx-tuned", mode: modeHTTP, file: "nginx-http.conf", argv: nginxArgv(nginx), bulk: true},
		{name: "haproxy", mode: modeHTTP, file: "haproxy-http.cfg", argv: haproxyArgv(haproxy)},
		{name: "haproxy-tuned", mode: modeHTTP, file: "haproxy-http.cfg", argv: haproxyArgv(haproxy), bulk: true},
		{name: subject, mode: modeHTTP, file: "kroxy-ev-http.json", argv: kroxyArgv(kroxy), ours: true},
		{name: "nginx", mode: modeHTTPS, file: "nginx-https.conf", argv: nginxArgv(nginx)},
		{name: "nginx-tuned", mode: modeHTTPS, file: "nginx-https.conf", argv: nginxArgv(nginx), bulk: true},
		{name: "haproxy", mode: modeHTTPS, file: "haproxy-https.cfg", argv: haproxyArgv(haproxy), ssl: "haproxy-openssl.cnf"},
		{name: "haproxy-tuned", mode: modeHTTPS, file: "haproxy-https.cfg", argv: haproxyArgv(haproxy), bulk: true, ssl: "haproxy-openssl.cnf"},
		{name: subject, mode: modeHTTPS, file: "kroxy-ev-https.json", argv: kroxyArgv(kroxy), ours: true},
	}
	for _, p := range list { // the same contestants take part with HTTP/2; bulk ones only in modes with a bulk row
		switch {
		case p.mode == modeHTTPS:
			p.mode = modeHTTP2
			list = append(list, p)
			if !p.bulk {
				p.mode = modeGRPC
				list = append(list, p)
			}
		case p.mode == modeHTTP && !p.bulk:
			p.mode = modeH2C
			list = append(list, p)
		}
	}
	return append(list, featured(kroxy)...)
}

// render returns the peer's configuration.
func (p peer) render(s settings) ([]byte, error) {
	t, err := template.New(p.file).Option("missingkey=error").ParseFS(peerFiles, "peers/"+p.file)
	if err != nil {
		return nil, fmt.Errorf("bench: configuration of %s: %w", p.name, err)
	}
	var b bytes.Buffer
	if err := t.Execute(&b, s); err != nil {
		return nil, fmt.Errorf("bench: configuration of %s: %w", p.name, err)
	}
	return b.Bytes(), nil
}

// start runs the peer in its own new directory, with or without an access log, and waits until it answers. The settings s have everything that does
// not depend on the directory and the machine.
func (p peer) start(h *harness, s settings, cpus unix.CPUSet, log bool) (*proc, error) {
	dir, err := os.MkdirTemp(h.dir, p.name+"-")
	if err != nil {
		return nil, fmt.Errorf("bench: starting %s: %w", p.name, err)
	}
	s.HTTP2, s.GRPC, s.features = p.mode.http2(), p.mode == modeGRPC, p.features
	if s.Traced {
		s.Spans = h.collector.listener.Addr().String()
	}
	s.Dir, s.Bulk, s.Files, s.MaxConn, s.StreamModule = dir, p.bulk, h.files, min(9000, (h.files-200)/2), streamModule()
	if log {
		s.Log = filepath.Join(dir, "access.log")
	}
	if err := os.Chmod(dir, 0o755); err != nil { // if root starts nginx, its worker is another user
		return nil, fmt.Errorf("bench: starting %s: %w", p.name, err)
	}
	b, err := p.render(s)
	if err != nil {
		return nil, err
	}
	conf := filepath.Join(dir, p.file)
	if err := os.WriteFile(conf, b, 0o644); err != nil {
		return nil, fmt.Errorf("bench: starting %s: %w", p.name, err)
	}
	cmd := command{name: p.name, argv: p.argv(conf, dir), env: p.env, dir: dir, cpus: cpus}
	if s.Workers > 0 {
		cmd.argv = append(cmd.argv, "--multiprocess")
	}
	if p.ssl != "" {
		b, err := peerFiles.ReadFile("peers/" + p.ssl)
		path := filepath.Join(dir, p.ssl)
		if err := errors.Join(err, os.WriteFile(path, b, 0o644)); err != nil {
			return nil, fmt.Errorf("bench: starting %s: %w", p.name, err)
		}
		cmd.env = append(cmd.env, "OPENSSL_CONF="+path)
		h.keepConfiguration(p, p.ssl, cmd, b)
	}
	h.keepConfiguration(p, p.file, cmd, b)
	pr, err := start(cmd, h.guard)
	if err != nil {
		return nil, err
	}
	err = pr.answers(fmt.Sprintf("127.0.0.1:%d", s.Port))
	if err == nil && s.Workers > 0 {
		err = pr.complete(1 + s.Workers)
	}
	if err != nil {
		pr.stop()
		return nil, err
	}
	return pr, nil
}

func nginxArgv(program string) func(conf, dir string) []string {
	return func(conf, dir string) []string {
		return []string{program, "-p", dir, "-e", filepath.Join(dir, "error.log"), "-c", conf}
	}
}

func haproxyArgv(program string) func(conf, dir string) []string {
	return func(conf, _ string) []string { return []string{program, "-db", "-f", conf} }
}

func kroxyArgv(program string) func(conf, dir string) []string {
	return func(conf, _ string) []string { return []string{program, "--config", conf} }
}

// find looks for a program where the environment says (NGINX=, HAPROXY=, WRK=), in PATH, and where Debian installs servers. It returns the path, or
// "" if it is not found.
func find(program string) string {
	for _, name := range []string{os.Getenv(strings.ToUpper(program)), program, "/usr/sbin/" + program} {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	return ""
}

// streamModule returns the path of nginx's loadable stream module, or "".
func streamModule() string {
	for _, dir := range []string{"/usr/lib/nginx/modules", "/usr/lib64/nginx/modules", "/usr/local/lib/nginx/modules"} {
		path := filepath.Join(dir, "ngx_stream_module.so")
		if _, err := os.Stat(path); err == nil {
			return path
		}
	}
	return ""
}

// nginxHasStream reports whether nginx can be a TCP proxy, by a loadable or a built-in module.
func nginxHasStream(program string) bool {
	if streamModule() != "" {
		return true
	}
	out, err := exec.Command(program, "-V").CombinedOutput()
	return err == nil && bytes.Contains(out, []byte("--with-stream "))
}
