package bench

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"time"
)

// serverName is the name in the certificates, and in the SNI of Go clients.
const serverName = "bench"

// certificate is a self-signed certificate and its key in PEM files, which all contestants read. The zero value means none.
type certificate struct {
	Cert  string         // path; HAProxy finds the key by this name
	Key   string         // path: Cert plus ".key"
	roots *x509.CertPool // only the certificate
}

// makeCertificates writes the certificates of a run to dir. Their keys are of usual types and of roughly equal strength.
func makeCertificates(dir string) (ec, rs certificate, err error) {
	p256, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err == nil {
		ec, err = makeCertificate(filepath.Join(dir, "ecdsa.pem"), p256)
	}
	var rsa2048 *rsa.PrivateKey
	if err == nil {
		rsa2048, err = rsa.GenerateKey(rand.Reader, 2048)
	}
	if err == nil {
		rs, err = makeCertificate(filepath.Join(dir, "rsa.pem"), rsa2048)
	}
	if err != nil {
		return certificate{}, certificate{}, fmt.Errorf("bench: making certificates: %w", err)
	}
	return ec, rs, nil
}

// makeCertificate makes a self-signed certificate for key, and writes both.
func makeCertificate(path string, key crypto.Signer) (certificate, error) {
	t := &x509.Certificate{
		SerialNumber: big.NewInt(1),
		Subject:      pkix.Name{CommonName: serverName},
		DNSNames:     []string{serverName},
		NotBefore:    time.Now().Add(-time.Hour), // in case the clock is set back
		NotAfter:     time.Now().Add(7 * 24 * time.Hour),
		KeyUsage:     x509.KeyUsageDigitalSignature,
		ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, t, t, key.Public(), key)
	if err != nil {
		return certificate{}, err
	}
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return certificate{}, err
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		return certificate{}, err
	}
	c := certificate{Cert: path, Key: path + ".key", roots: x509.NewCertPool()}
	c.roots.AddCert(leaf)
	return c, errors.Join(
		os.WriteFile(c.Cert, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o644),
		os.WriteFile(c.Key, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret}), 0o600),
	)
}
