package config

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"slices"
	"strings"
)

// KeyPair is a certificate chain and the matching key of its first certificate; it
// is zero if there is none.
type KeyPair struct {
	CertPath, KeyPath string
	Cert, Key         []byte // PEM as read
}

// keyPairPaths are the JSON paths of a pair. Several servers or groups may share a
// pair, which is checked once.
type keyPairPaths struct{ cert, key string }

// keyPair decodes the paths of a PEM certificate chain and its private key, and
// reports whether one is given. If the pair is used, both paths are
// required; keyPair then reads both files, and reports the file at fault if they do
// not match.
func (o object) keyPair(certName, keyName string, used bool) (p KeyPair, given bool) {
	p = KeyPair{CertPath: o.text(certName), KeyPath: o.text(keyName)}
	given = p.CertPath != "" || p.KeyPath != ""
	switch {
	case !used || !given:
		return p, given
	case p.KeyPath == "":
		o.require(keyName, "there is a "+certName, "the path of a PEM file with the private key of the certificate")
	case p.CertPath == "":
		o.require(certName, "there is a "+keyName, "the path of a PEM file with the certificate of the key")
	}
	var at keyPairPaths
	_, at.cert = o.child(certName)
	_, at.key = o.child(keyName)
	if known, ok := o.pairs[at]; ok {
		return known, given
	}
	p.Cert, p.Key = o.pem(certName, p.CertPath), o.pem(keyName, p.KeyPath)
	o.pairs[at] = p
	good := p.Cert != nil && p.Key != nil
	if p.Cert != nil {
		n, path := o.child(certName)
		certs, what, remedy := parseCertificates(p.Cert, "the certificate chain")
		if what != "" {
			o.fail(n, path, quote(p.CertPath)+" "+what, remedy)
			good = false
		} else {
			o.noteChain(n, path, p.CertPath, certs)
		}
	}
	if p.Key == nil {
		return p, given
	}
	n, path := o.child(keyName)
	if what, remedy := checkKey(p.Key); what != "" {
		o.fail(n, path, quote(p.KeyPath)+" "+what, remedy)
		good = false
	}
	if !good {
		return p, given
	}
	if _, err := tls.X509KeyPair(p.Cert, p.Key); err != nil {
		what, remedy := " cannot be used with "+quote(p.CertPath)+": "+strings.TrimPrefix(err.Error(), "tls: "), "give a usable PEM private key"
		if strings.Contains(err.Error(), "does not match") {
			what = " is not the key of the first certificate in " + quote(p.CertPath)
			remedy = "give the key that the certificate was made for, and put that certificate first in its file"
		}
		o.fail(n, path, quote(p.KeyPath)+what, remedy)
	}
	return p, given
}

// requirePair reports that both the certificate and the key are missing.
func (o object) requirePair(certName, keyName, why string) {
	o.require(certName, why, "the path of a PEM file with the certificate chain")
	o.require(keyName, why, "the path of a PEM file with the private key")
}

// authorities decodes the path of a PEM file with CA certificates. If the key is
// used and given, authorities also reads and checks the file;
// otherwise it returns nothing.
func (o object) authorities(key string, used bool) (file string, ca []byte) {
	if file = o.text(key); file == "" || !used {
		return "", nil
	}
	n, path := o.child(key)
	if known, ok := o.trusted[path]; ok {
		return file, known
	}
	ca = o.pem(key, file)
	o.trusted[path] = ca
	if ca == nil {
		return file, nil
	}
	certs, what, remedy := parseCertificates(ca, "CA certificates")
	if what == "" && !slices.ContainsFunc(certs, isAuthority) {
		what, remedy = "has no CA certificate in it", "give the file with the certificate of the CA that signed theirs"
	}
	if what != "" {
		o.fail(n, path, quote(file)+" "+what, remedy)
		return file, ca
	}
	o.note(n, path, file, authorities, certs...)
	return file, ca
}

// blocks returns the types of the PEM blocks in data, and the certificates.
func blocks(data []byte) (types []string, certs [][]byte) {
	for {
		var b *pem.Block
		if b, data = pem.Decode(data); b == nil {
			return types, certs
		}
		types = append(types, b.Type)
		if b.Type == "CERTIFICATE" {
			certs = append(certs, b.Bytes)
		}
	}
}

// parseCertificates returns the certificates in data, at least one, or what is
// wrong with a file that should have them.
func parseCertificates(data []byte, wanted string) (certs []*x509.Certificate, what, remedy string) {
	types, ders := blocks(data)
	if len(ders) == 0 {
		if len(types) > 0 {
			return nil, "has no certificate, but " + quote(types[0]), "give the file of " + wanted + " here"
		}
		return nil, "has no PEM certificate in it", `give a file with "-----BEGIN CERTIFICATE-----" in it`
	}
	for _, der := range ders {
		c, err := x509.ParseCertificate(der)
		if err != nil {
			return nil, "has a broken certificate in it: " + strings.TrimPrefix(err.Error(), "x509: "), "make the file again"
		}
		certs = append(certs, c)
	}
	return certs, "", ""
}

func checkKey(data []byte) (what, remedy string) {
	types, _ := blocks(data)
	for _, t := range types {
		if strings.HasSuffix(t, "PRIVATE KEY") {
			if t == "ENCRYPTED PRIVATE KEY" || bytes.Contains(data, []byte("Proc-Type: 4,ENCRYPTED")) {
				return "is encrypted with a passphrase", "decrypt it: openssl pkey -in encrypted.pem -out key.pem"
			}
			return "", ""
		}
	}
	if len(types) > 0 {
		return "has no private key, but " + quote(types[0]), "give the file of the private key here"
	}
	return "has no PEM private key in it", `give a file with "-----BEGIN PRIVATE KEY-----" in it`
}
