package main_test

import (
	"bytes"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// curl runs curl with the name site.test, and returns its stdout, its stderr and its error. An argument that begins with "/" is a path at the proxy.
func (p *proxy) curl(args ...string) (out, trouble string, err error) {
	p.t.Helper()
	all := []string{"-q", "-sS", "--noproxy", "*", "--max-time", "30", "--resolve", fmt.Sprintf("site.test:%d:127.0.0.1", p.port)}
	for _, a := range args {
		if strings.HasPrefix(a, "/") && !strings.HasPrefix(a, os.TempDir()) {
			a = fmt.Sprintf("https://site.test:%d%s", p.port, a)
		}
		all = append(all, a)
	}
	cmd := exec.CommandContext(p.t.Context(), need(p.t, "curl"), all...)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err = cmd.Run()
	return stdout.String(), stderr.String(), err
}

func TestTLSCurl(t *testing.T) {
	t.Parallel()
	skipUnderRace(t, "it is about what other programs understand")
	need(t, "curl")
	a, other := newAuthority(t), newAuthority(t)
	h := serve(t, "127.0.0.1", mirror)
	client, unknown, once := a.issue("client.test"), other.issue("client.test"), a.expired("client.test")
	open := startHTTP(t, setup{hosts: endpoints(h), settings: a.issue("site.test").serverSettings(nil)})
	closed := startHTTP(t, setup{hosts: endpoints(h), settings: a.issueRSA("site.test").serverSettings(settings{"tls_verify_client": true, "tls_client_ca_path": a.path})})
	shown := func(id *identity) []string { return []string{"--cert", id.cert, "--key", id.key, "/"} }
	for name, test := range map[string]struct {
		p    *proxy
		args []string
		want string // in stdout
		fail string // in stderr
	}{
		"1.2":             {open, []string{"--tls-max", "1.2", "/"}, "hello", ""},
		"1.3":             {open, []string{"--tlsv1.3", "/"}, "hello", ""},
		"connection kept": {open, []string{"--http1.1", "-w", " %{num_connects} %{http_version}\n", "/", "/pieces", "/"}, "hello 1 1.1\npiece 0\npiece 1\npiece 2\npiece 3\npiece 4\n 0 1.1\nhello 0 1.1\n", ""},
		"HTTP/2":          {open, []string{"-w", " %{num_connects} %{http_version}\n", "/", "/pieces", "/"}, "hello 1 2\npiece 0\npiece 1\npiece 2\npiece 3\npiece 4\n 0 2\nhello 0 2\n", ""},
		"1.0":             {open, []string{"-0", "/pieces"}, "piece 0\npiece 1\npiece 2\npiece 3\npiece 4\n", ""},
		"post":            {open, []string{"-d", "a=b", "/echo"}, "a=b", ""},
		"1.1 only":        {open, []string{"--tls-max", "1.1", "--tlsv1.1", "--ciphers", "DEFAULT@SECLEVEL=0", "/"}, "", "alert protocol version"},

		"certificate, 1.2":       {closed, append(shown(client), "--tls-max", "1.2"), "hello", ""},
		"certificate, 1.3":       {closed, append(shown(client), "--tlsv1.3"), "hello", ""},
		"no certificate, 1.2":    {closed, []string{"--tls-max", "1.2", "/"}, "", "alert (bad certificate|handshake failure)"},
		"no certificate, 1.3":    {closed, []string{"--tlsv1.3", "/"}, "", "alert certificate required"},
		"wrong certificate, 1.2": {closed, append(shown(unknown), "--tls-max", "1.2"), "", "alert (unknown ca|bad certificate)"},
		"wrong certificate, 1.3": {closed, append(shown(unknown), "--tlsv1.3"), "", "alert (unknown ca|bad certificate)"},
		"expired, 1.2":           {closed, append(shown(once), "--tls-max", "1.2"), "", "alert bad certificate|certificate verification failed"}, // what curl says for an expired certificate
		"expired, 1.3":           {closed, append(shown(once), "--tlsv1.3"), "", "alert (certificate expired|bad certificate)"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			out, trouble, err := test.p.curl(append([]string{"--cacert", a.path}, test.args...)...)
			if out != test.want || (err != nil) != (test.fail != "") {
				t.Errorf("curl printed %.500q, %v: %s", out, err, trouble)
			}
			if test.fail != "" {
				expectMatch(t, trouble, test.fail)
			}
		})
	}
}

// Ten megabytes up and down over one connection.
func TestTLSCurlBulk(t *testing.T) {
	t.Parallel()
	skipUnderRace(t, "it is about what other programs understand")
	need(t, "curl")
	a := newAuthority(t)
	file := filepath.Join(t.TempDir(), "upload")
	content, err := io.ReadAll(newStream(3, bulkSize))
	if err == nil {
		err = os.WriteFile(file, content, 0o644)
	}
	if err != nil {
		t.Fatal(err)
	}
	want := fmt.Sprintf("%d %08x", bulkSize, crc32.Checksum(content, castagnoli))
	p := startHTTP(t, setup{hosts: endpoints(serve(t, "127.0.0.1", bulkHost)), settings: a.issue("site.test").serverSettings(nil)})
	for name, version := range map[string]string{"1.2": "1.2", "1.3": "1.3"} {
		for kind, header := range map[string]string{"length": "X: y", "chunked": "Transfer-Encoding: chunked"} {
			t.Run(name+", "+kind, func(t *testing.T) {
				t.Parallel()
				out, trouble, err := p.curl("--cacert", a.path, "--tls-max", version, "-w", " %{num_connects}\n",
					"-H", header, "--data-binary", "@"+file, "/", "/")
				if err != nil || out != want+" 1\n"+want+" 0\n" {
					t.Errorf("curl printed %.200q, want %q; %v: %s", out, want, err, trouble)
				}
				path := fmt.Sprintf("/?seed=3&size=%d", bulkSize)
				if kind == "length" {
					path += "&length"
				}
				out, trouble, err = p.curl("--cacert", a.path, "--tls-max", version, path)
				if err != nil || out != string(content) {
					t.Errorf("curl got %d bytes, error %v: %s", len(out), err, trouble)
				}
			})
		}
	}
}
