package config

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"io"
	"os"
	"strings"
)

// maxPEMSize bounds a certificate or key file, in bytes.
const maxPEMSize = 1 << 20

// keyPair decodes the paths of a PEM certificate chain and its private key. If
// they are used, and both are given, it also reads them, and reports the file
// at fault if they do not make a pair.
func (o object) keyPair(certName, keyName string, used bool) (certPath, keyPath string) {
	certPath, keyPath = o.text(certName), o.text(keyName)
	if !used {
		return certPath, keyPath
	}
	cert, key := o.pem(certName, certPath), o.pem(keyName, keyPath)
	if cert != nil {
		if what, remedy := checkChain(cert); what != "" {
			n, path := o.child(certName)
			o.fail(n, path, quote(certPath)+" "+what, remedy)
			cert = nil
		}
	}
	if key == nil {
		return certPath, keyPath
	}
	n, path := o.child(keyName)
	if what, remedy := checkKey(key); what != "" {
		o.fail(n, path, quote(keyPath)+" "+what, remedy)
		return certPath, keyPath
	}
	if cert == nil {
		return certPath, keyPath
	}
	if _, err := tls.X509KeyPair(cert, key); err != nil {
		what, remedy := " cannot be used with "+quote(certPath)+": "+strings.TrimPrefix(err.Error(), "tls: "), "give a usable PEM private key"
		if strings.Contains(err.Error(), "does not match") {
			what = " is not the key of the first certificate in " + quote(certPath)
			remedy = "give the key that the certificate was made for, and put that certificate first in its file"
		}
		o.fail(n, path, quote(keyPath)+what, remedy)
	}
	return certPath, keyPath
}

// pem reads the file that key names; nil if there is none or it is unreadable.
func (o object) pem(key, file string) []byte {
	if file == "" {
		return nil
	}
	n, path := o.child(key)
	bad := func(why, remedy string) []byte {
		o.fail(n, path, quote(file)+" "+why, remedy)
		return nil
	}
	// Not a pipe: it could be read only once, and opening it may block.
	info, err := os.Stat(file)
	if err == nil && !info.Mode().IsRegular() {
		return bad("is not a regular file", "give the path of a PEM file")
	}
	f, err := os.Open(file)
	if err != nil {
		return bad("cannot be opened: "+reason(err), "give a readable PEM file; a relative path begins at the working directory")
	}
	defer func() { _ = f.Close() }() // only read from: nothing can be lost
	data, err := io.ReadAll(io.LimitReader(f, maxPEMSize+1))
	switch {
	case err != nil:
		return bad("cannot be read: "+reason(err), "give a readable PEM file")
	case len(data) > maxPEMSize:
		return bad("is larger than 1 MiB", "give a PEM file")
	case len(data) == 0:
		return bad("is empty", "give a PEM file")
	}
	return data
}

// blocks returns the types of the PEM blocks in data, and its certificates.
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

func checkChain(data []byte) (what, remedy string) {
	types, certs := blocks(data)
	if len(certs) == 0 {
		if len(types) > 0 {
			return "has no certificate, but " + quote(types[0]), "give the file of the certificate chain here"
		}
		return "has no PEM certificate in it", `give a file with "-----BEGIN CERTIFICATE-----" in it`
	}
	for _, der := range certs {
		if _, err := x509.ParseCertificate(der); err != nil {
			return "has a broken certificate in it: " + strings.TrimPrefix(err.Error(), "x509: "), "make the file again"
		}
	}
	return "", ""
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
