package config_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"math/big"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"kroxy-ev/config"
)

func TestTLSErrors(t *testing.T) {
	t.Parallel()
	checkOutcomes(t, []outcomeCase{
		{group(`"hosts":[{"host":"h","port":1}],"proxy_tls_verify":true,"proxy_tls_cert_path":"/nope","proxy_tls_key_path":5`),
			`W f:1:75: stream.servers.b.proxy_tls_verify: it is ignored without proxy_tls_enabled; add "proxy_tls_enabled": true, or remove it
W f:1:99: stream.servers.b.proxy_tls_cert_path: it is ignored without proxy_tls_enabled; add "proxy_tls_enabled": true, or remove it
W f:1:129: stream.servers.b.proxy_tls_key_path: it is ignored without proxy_tls_enabled; add "proxy_tls_enabled": true, or remove it
f:1:150: stream.servers.b.proxy_tls_key_path: must be a string, not the number 5; put it in double quotes: "5"`},
		{group(`"hosts":[{"host":"h","port":1}],"proxy_tls_enabled":true,"proxy_tls_cert_path":"/nope"`),
			`f:1:42: stream.servers.b.proxy_tls_key_path: it is missing, and there is a proxy_tls_cert_path; add "proxy_tls_key_path": the path of a PEM file with the private key of the certificate
f:1:122: stream.servers.b.proxy_tls_cert_path: "/nope" cannot be opened: no such file or directory; give a readable PEM file; a relative path begins at the working directory`},
		{group(`"hosts":[{"host":"h","port":1}],"proxy_tls_enabled":1,"proxy_tls_key_path":"/nope"`),
			`W f:1:97: stream.servers.b.proxy_tls_key_path: it is ignored without proxy_tls_enabled; add "proxy_tls_enabled": true, or remove it
f:1:95: stream.servers.b.proxy_tls_enabled: must be true or false, not the number 1; write true, without quotes`},
		{group(`"hosts":[{"host":"h","port":1}],"proxy_tls_enabled":true,"proxy_tls_key_path":"/nope"`),
			`f:1:42: stream.servers.b.proxy_tls_cert_path: it is missing, and there is a proxy_tls_key_path; add "proxy_tls_cert_path": the path of a PEM file with the certificate of the key
f:1:121: stream.servers.b.proxy_tls_key_path: "/nope" cannot be opened: no such file or directory; give a readable PEM file; a relative path begins at the working directory`},
		{stream(`"tls_enabled":true`),
			`f:1:11: stream.tls_cert_path: it is missing, and tls_enabled is true; add "tls_cert_path": the path of a PEM file with the certificate chain
f:1:11: stream.tls_key_path: it is missing, and tls_enabled is true; add "tls_key_path": the path of a PEM file with the private key`},
		{stream(`"tls_enabled":true,"tls_cert_path":"","tls_key_path":null`),
			`f:1:112: stream.tls_cert_path: it is empty, and tls_enabled is true; write the path of a PEM file with the certificate chain
f:1:130: stream.tls_key_path: must be a string, not null; write a string in double quotes`},
		{stream(`"tls_enabled":true,"tls_cert_path":"/nope","tls_key_path":"/"`),
			`f:1:112: stream.tls_cert_path: "/nope" cannot be opened: no such file or directory; give a readable PEM file; a relative path begins at the working directory
f:1:135: stream.tls_key_path: "/" is not a regular file; give the path of a PEM file`},
		{stream(`"tls_enabled":"true","tls_verify_client":0`),
			`f:1:91: stream.tls_enabled: must be true or false, not the string "true"; write true, without quotes
f:1:118: stream.tls_verify_client: must be true or false, not the number 0; write false, without quotes`},
		{stream(`"tls_enabled":null`),
			`f:1:91: stream.tls_enabled: must be true or false, not null; remove the key, or write true or false`},
	})
}

// writePair writes a new certificate and its key, and returns the paths.
func writePair(t *testing.T) (cert, key string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)}
	certDER, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	cert, key = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	write(t, cert, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: certDER}))
	write(t, key, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER}))
	return cert, key
}

func write(t *testing.T, path string, data []byte) {
	t.Helper()
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
}

// TestKeyPairs says which of two files is at fault: C and K stand for their paths.
func TestKeyPairs(t *testing.T) {
	t.Parallel()
	cert, key := writePair(t)
	_, otherKey := writePair(t)
	file := func(content string) string {
		path := filepath.Join(t.TempDir(), "x.pem")
		write(t, path, []byte(content))
		return path
	}
	block := func(kind string) string {
		return file(string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: []byte{1, 2, 3}})))
	}
	for name, c := range map[string]struct {
		cert, key string
		want      []string // path: what
	}{
		"right":   {cert, key, nil},
		"swapped": {key, cert, []string{`tls_cert_path: "C" has no certificate, but "PRIVATE KEY"`, `tls_key_path: "K" has no private key, but "CERTIFICATE"`}},
		"foreign": {cert, otherKey, []string{`tls_key_path: "K" is not the key of the first certificate in "C"`}},
		"no PEM":  {file("x"), file("y"), []string{`tls_cert_path: "C" has no PEM certificate in it`, `tls_key_path: "K" has no PEM private key in it`}},
		"empty":   {file(""), key, []string{`tls_cert_path: "C" is empty`}},
		"broken":  {block("CERTIFICATE"), key, []string{`tls_cert_path: "C" has a broken certificate in it: malformed certificate`}},
		"bad key": {cert, block("PRIVATE KEY"), []string{`tls_key_path: "K" cannot be used with "C": failed to parse private key`}},
		"locked":  {cert, block("ENCRYPTED PRIVATE KEY"), []string{`tls_key_path: "K" is encrypted with a passphrase`}},
		"huge":    {file(strings.Repeat("x", 1<<20+1)), key, []string{`tls_cert_path: "C" is larger than 1 MiB`}},
		"device":  {"/dev/zero", key, []string{`tls_cert_path: "C" is not a regular file`}},
	} {
		for _, place := range []struct{ prefix, input string }{
			{"stream.", stream(`"tls_enabled":true,"tls_cert_path":"` + c.cert + `","tls_key_path":"` + c.key + `"`)},
			{"stream.servers.b.proxy_", group(`"hosts":[{"host":"h","port":1}],"proxy_tls_enabled":true,"proxy_tls_cert_path":"` +
				c.cert + `","proxy_tls_key_path":"` + c.key + `"`)},
		} {
			var got []string
			_, _, err := config.Parse("f", []byte(place.input))
			if e, isError := errors.AsType[*config.Error](err); isError {
				for _, p := range e.Problems {
					what := strings.NewReplacer(`"`+c.cert+`"`, `"C"`, `"`+c.key+`"`, `"K"`).Replace(p.What)
					got = append(got, strings.TrimPrefix(p.Path, place.prefix)+": "+what)
				}
			}
			if !slices.EqualFunc(got, c.want, strings.HasPrefix) {
				t.Errorf("%s: got %q, want %q", name, got, c.want)
			}
		}
	}
}
