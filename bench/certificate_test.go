package bench

import (
	"crypto/ecdsa"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"os"
	"testing"
)

func TestMakeCertificates(t *testing.T) {
	t.Parallel()
	ec, rs, err := makeCertificates(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []certificate{ec, rs} {
		pair, err := tls.LoadX509KeyPair(c.Cert, c.Key)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := pair.Leaf.Verify(x509.VerifyOptions{DNSName: serverName, Roots: c.roots}); err != nil {
			t.Errorf("%s: %v", c.Cert, err)
		}
		if info, err := os.Stat(c.Key); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v", c.Key, info, err)
		}
		switch key := pair.PrivateKey.(type) {
		case *ecdsa.PrivateKey:
			if c.Cert != ec.Cert || key.Params().BitSize != 256 {
				t.Errorf("%s has %d bits on a curve", c.Cert, key.Params().BitSize)
			}
		case *rsa.PrivateKey:
			if c.Cert != rs.Cert || key.N.BitLen() != 2048 {
				t.Errorf("%s has %d bits of RSA", c.Cert, key.N.BitLen())
			}
		}
	}
	if _, _, err := makeCertificates("/nowhere"); err == nil {
		t.Error("no error for a directory that is not there")
	}
}
