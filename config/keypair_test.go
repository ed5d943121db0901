package config_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
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

// issued is a certificate on disk and what is needed to issue another.
type issued struct {
	config.KeyPair
	cert    *x509.Certificate
	private *ecdsa.PrivateKey
}

// issue writes a new certificate, signed by parent or self-signed, and its key.
func issue(t *testing.T, template x509.Certificate, parent *issued) *issued {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template.SerialNumber = big.NewInt(1)
	if template.NotAfter.IsZero() {
		template.NotBefore, template.NotAfter = time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
	}
	signer := &issued{cert: &template, private: private}
	if parent != nil {
		signer = parent
	}
	certDER, err := x509.CreateCertificate(rand.Reader, &template, signer.cert, private.Public(), signer.private)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	p := &issued{cert: &template, private: private, KeyPair: config.KeyPair{
		CertPath: filepath.Join(dir, "cert.pem"), KeyPath: filepath.Join(dir, "key.pem"),
		Cert: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: certDER}),
		Key:  pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER}),
	}}
	write(t, p.CertPath, p.Cert)
	write(t, p.KeyPath, p.Key)
	return p
}

// writePair writes a new self-signed certificate and its key.
func writePair(t *testing.T) config.KeyPair {
	t.Helper()
	return issue(t, x509.Certificate{}, nil).KeyPair
}

func write(t *testing.T, path string, data []byte) {
	t.Helper()
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
}

// writeFile writes a new file and returns its path.
func writeFile(t *testing.T, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "x.pem")
	write(t, path, []byte(content))
	return path
}

// brokenBlock returns valid PEM with invalid content.
func brokenBlock(kind string) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: []byte{1, 2, 3}}))
}

// TestKeyPairs checks which of two files is reported: C and K stand for their paths.
func TestKeyPairs(t *testing.T) {
	t.Parallel()
	right := writePair(t)
	cert, key, otherKey := right.CertPath, right.KeyPath, writePair(t).KeyPath
	file := func(content string) string { return writeFile(t, content) }
	block := func(kind string) string { return file(brokenBlock(kind)) }
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
			{"http.certificates[0].", http(`"tls_enabled":true,"certificates":[{"cert_path":"` + c.cert + `","key_path":"` + c.key + `"}]`)},
			{"stream.", stream(`"tls_enabled":true,"tls_cert_path":"` + c.cert + `","tls_key_path":"` + c.key + `"`)},
			{"stream.servers.b.proxy_", group(`"hosts":[{"host":"h","port":1}],"proxy_tls_enabled":true,"proxy_tls_cert_path":"` +
				c.cert + `","proxy_tls_key_path":"` + c.key + `"`)},
		} {
			var got []string
			_, _, err := config.Parse("f", []byte(place.input))
			if e, isError := errors.AsType[*config.Error](err); isError {
				for _, p := range e.Problems {
					what := strings.NewReplacer(`"`+c.cert+`"`, `"C"`, `"`+c.key+`"`, `"K"`).Replace(p.What)
					path := strings.TrimPrefix(p.Path, place.prefix)
					got = append(got, "tls_"+strings.TrimPrefix(path, "tls_")+": "+what)
				}
			}
			if !slices.EqualFunc(got, c.want, strings.HasPrefix) {
				t.Errorf("%s: got %q, want %q", name, got, c.want)
			}
		}
	}
}

// TestAuthorities checks what is reported about a file of CA certificates: F stands for its path.
func TestAuthorities(t *testing.T) {
	t.Parallel()
	server := writePair(t)
	ca := issue(t, x509.Certificate{Subject: pkix.Name{CommonName: "ca"}, IsCA: true, BasicConstraintsValid: true}, nil)
	lower := issue(t, x509.Certificate{Subject: pkix.Name{CommonName: "lower"}, IsCA: true, BasicConstraintsValid: true}, ca)
	leaf := issue(t, x509.Certificate{Subject: pkix.Name{CommonName: "leaf"}}, ca)
	self := issue(t, x509.Certificate{Subject: pkix.Name{CommonName: "self"}}, nil)
	expired := issue(t, x509.Certificate{Subject: pkix.Name{CommonName: "old"}, IsCA: true, BasicConstraintsValid: true, NotAfter: time.Unix(1, 0)}, nil)
	const renew = "give the file of CA certificates here"
	for name, c := range map[string]struct{ file, want string }{
		"a CA":            {ca.CertPath, ""},
		"a lower CA":      {lower.CertPath, ""},
		"signs itself":    {self.CertPath, ""},
		"chain":           {writeFile(t, "words\n"+string(leaf.Cert)+string(ca.Cert)), ""},
		"expired":         {expired.CertPath, `"F" has no CA certificate that is valid: that of "old" expired on 1970-01-01 00:00:01 UTC, so nobody passes verification; give the file of CA certificates that are valid`},
		"some expired":    {writeFile(t, string(expired.Cert)+string(ca.Cert)+string(expired.Cert)), ""}, // as in a bundle of many
		"a leaf":          {leaf.CertPath, `"F" has no CA certificate in it; give the file with the certificate of the CA that signed theirs`},
		"a key":           {ca.KeyPath, `"F" has no certificate, but "PRIVATE KEY"; ` + renew},
		"no PEM":          {writeFile(t, "x"), `"F" has no PEM certificate in it; give a file with "-----BEGIN CERTIFICATE-----" in it`},
		"empty":           {writeFile(t, ""), `"F" is empty; give a PEM file`},
		"broken":          {writeFile(t, string(ca.Cert)+brokenBlock("CERTIFICATE")), `"F" has a broken certificate in it: malformed certificate; make the file again`},
		"not there":       {"/nope", `"F" cannot be opened: no such file or directory; give a readable PEM file; a relative path begins at the working directory`},
		"not a file":      {"/", `"F" is not a regular file; give the path of a PEM file`},
		"unreadable":      {"/proc/self/mem", `"F" cannot be read: input/output error; give a readable PEM file`},
		"of the system's": {"/etc/ssl/certs/ca-certificates.crt", ""},
	} {
		if _, err := os.Stat(c.file); name == "of the system's" && err != nil {
			continue
		}
		for _, place := range []struct{ path, input string }{
			{"stream.tls_client_ca_path: ", stream(`"tls_enabled":true,"tls_cert_path":"` + server.CertPath + `","tls_key_path":"` + server.KeyPath +
				`","tls_verify_client":true,"tls_client_ca_path":"` + c.file + `"`)},
			{"stream.servers.b.proxy_tls_ca_path: ", group(`"hosts":[{"host":"h","port":1}],"proxy_tls_enabled":true,"proxy_tls_verify":true,` +
				`"proxy_tls_ca_path":"` + c.file + `"`)},
		} {
			got := outcome(t, place.input)
			if _, problem, found := strings.Cut(got, place.path); found {
				got = strings.ReplaceAll(problem, `"`+c.file+`"`, `"F"`)
			}
			if got != c.want {
				t.Errorf("%s: got %s, want %s%s", name, got, place.path, c.want)
			}
		}
	}
}
