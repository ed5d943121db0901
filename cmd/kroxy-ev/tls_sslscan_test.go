package main_test

import (
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// A scanner finds no weak protocol and no weak cipher, with either kind of key.
func TestTLSScan(t *testing.T) {
	t.Parallel()
	skipUnderRace(t, "it is about what other programs understand")
	sslscan := need(t, "sslscan")
	a := newAuthority(t)
	id, old := a.issue("site.test"), a.issueRSA("site.test")
	p := startHTTP(t, setup{
		hosts:    []endpoint{refusing(t)},
		settings: id.serverSettings(settings{"certificates": []settings{{"cert_path": old.cert, "key_path": old.key}}}),
	})
	out, err := exec.CommandContext(t.Context(), sslscan, "--no-colour", "--sni-name=site.test", "127.0.0.1:"+strconv.Itoa(p.port)).CombinedOutput()
	if err != nil {
		t.Fatalf("sslscan: %v\n%s", err, out)
	}
	text := string(out)
	for _, want := range []string{
		`(?m)^SSLv2 +disabled`, `(?m)^SSLv3 +disabled`, `(?m)^TLSv1\.0 +disabled`, `(?m)^TLSv1\.1 +disabled`,
		`(?m)^TLSv1\.2 +enabled`, `(?m)^TLSv1\.3 +enabled`,
		`Session renegotiation not supported`, `TLSv1\.2 not vulnerable to heartbleed`,
		`ECDHE-ECDSA-`, `ECDHE-RSA-`,
	} {
		if !regexp.MustCompile(want).MatchString(text) {
			t.Errorf("sslscan's output has no match of %s", want)
		}
	}
	strong := regexp.MustCompile(`TLSv1\.3 .* TLS_(AES|CHACHA20)_|TLSv1\.2 .* ECDHE-(ECDSA|RSA)-(AES(128|256)-GCM-|CHACHA20-POLY1305)`)
	for line := range strings.Lines(text) {
		cipher := strings.HasPrefix(line, "Preferred") || strings.HasPrefix(line, "Accepted")
		if cipher && !strong.MatchString(line) {
			t.Errorf("weak: %s", line)
		}
	}
	if t.Failed() {
		t.Log(text)
	}
}
