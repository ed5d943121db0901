package service

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
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

// certificateFor writes a certificate for a name and its key, and returns their paths.
func certificateFor(t *testing.T, name string, begin, end time.Time) map[string]string {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: []string{name}, NotBefore: begin, NotAfter: end}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	cert, private := filepath.Join(t.TempDir(), "cert.pem"), filepath.Join(t.TempDir(), "key.pem")
	if err := errors.Join(
		os.WriteFile(cert, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600),
		os.WriteFile(private, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER}), 0o600)); err != nil {
		t.Fatal(err)
	}
	return map[string]string{"cert_path": cert, "key_path": private}
}

// Each certificate is reported separately: when it is about to expire, when it has expired, and each day from then on.
func TestExpiry(t *testing.T) {
	t.Parallel()
	begin := time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)
	day := func(n int) time.Time { return begin.AddDate(0, 0, n) }
	type object = map[string]any
	text, err := json.Marshal(object{"stream": object{
		"proxy_to": "a", "servers": object{"a": object{"hosts": []object{{"host": "h", "port": 1}}}}, "tls_enabled": true,
		"certificates": []any{
			certificateFor(t, "a.test", begin, day(90)), certificateFor(t, "b.test", begin, day(40)), certificateFor(t, "c.test", begin, day(900)),
		},
	}})
	if err != nil {
		t.Fatal(err)
	}
	cfg, _, err := config.Parse("f", text)
	if err != nil {
		t.Fatal(err)
	}
	said := map[int]string{} // by day
	e := newExpiry(cfg, begin.Add(time.Hour))
	for now := begin.Add(time.Hour); now.Before(day(93)); now = now.Add(time.Hour) {
		for _, p := range e.warnings(now) {
			names := strings.Split(p.What, `"`)
			said[int(now.Sub(begin).Hours()/24)] += names[3][:1]
		}
	}
	want := map[int]string{33: "b", 39: "b", 60: "a", 83: "a", 89: "a", 90: "a", 91: "a", 92: "a"}
	for d := 40; d < 93; d++ {
		want[d] += "b"
	}
	for d := range 93 {
		got, want := []byte(said[d]), []byte(want[d])
		slices.Sort(got)
		slices.Sort(want)
		if string(got) != string(want) {
			t.Errorf("day %d: of %q, want %q", d, got, want)
		}
	}
}
