package bench

import (
	"bytes"
	"embed"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"text/template"

	"golang.org/x/sys/unix"
)

//go:embed peers
var peerFiles embed.FS

// settings fills a configuration in peers/.
type settings struct {
	Port         int    // the proxy's
	HostA, HostB int    // ports of the group's two hosts on 127.0.0.1
	Log          string // access log
	Dir          string // for whatever else the program writes
	Files        int    // limit on open files
	MaxConn      int    // sessions that fit under it, at most 9000
	StreamModule string // nginx's stream module when it is a loadable one, or ""
}

// peer is a program under test.
type peer struct {
	name string
	file string                          // in peers/
	argv func(conf, dir string) []string // how to run it
	bulk bool                            // takes part in the bulk rows only
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

// start runs the peer on port in a new directory of its own, and waits until it answers.
func (p peer) start(h *harness, port int, to hostPorts, cpus unix.CPUSet) (*proc, error) {
	dir, err := os.MkdirTemp(h.dir, p.name+"-")
	if err != nil {
		return nil, fmt.Errorf("bench: starting %s: %w", p.name, err)
	}
	b, err := p.render(settings{
		Port: port, HostA: to.A, HostB: to.B,
		Log: filepath.Join(dir, "access.log"), Dir: dir,
		Files: h.files, MaxConn: min(9000, (h.files-200)/2), StreamModule: streamModule(),
	})
	if err != nil {
		return nil, err
	}
	conf := filepath.Join(dir, p.file)
	if err := os.WriteFile(conf, b, 0o644); err != nil {
		return nil, fmt.Errorf("bench: starting %s: %w", p.name, err)
	}
	pr, err := start(command{name: p.name, argv: p.argv(conf, dir), dir: dir, cpus: cpus}, h.guard)
	if err != nil {
		return nil, err
	}
	if err := pr.answers(fmt.Sprintf("127.0.0.1:%d", port)); err != nil {
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

// find looks for a program in PATH and where Debian keeps servers, and returns its path, or "" when it is not there.
func find(program string) string {
	for _, name := range []string{program, "/usr/sbin/" + program} {
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

// nginxHasStream tells whether nginx can be a TCP proxy: by a loadable module, or by one built in.
func nginxHasStream(program string) bool {
	if streamModule() != "" {
		return true
	}
	out, err := exec.Command(program, "-V").CombinedOutput()
	return err == nil && bytes.Contains(out, []byte("--with-stream "))
}
