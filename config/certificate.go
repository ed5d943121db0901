package config

import (
	"bytes"
	"crypto/x509"
	"strconv"
	"strings"
	"time"
)

// Certificate is one use of a PEM file, and the validity of what is used: the first
// certificate, which is presented to peers; an intermediate
// certificate, which is presented with it; or the CA certificates that peers are
// verified by. Expired certificates are used nevertheless: the
// peer that verifies them decides.
type Certificate struct {
	place Problem // where the configuration names the file
	file  string
	use   certificateUse
	terms []validity // at least one
}

// certificateUse is what certificates are used for.
type certificateUse uint8

const (
	identity     certificateUse = iota // presented to peers, which verify it
	intermediate                       // presented with an identity, for peers that do not have it
	authorities                        // peers are verified by them
)

// validity is the validity period of a certificate, and its subject.
type validity struct {
	names      string
	all        []string // the individual names
	begin, end time.Time
}

// Shown returns the file, names and end of validity of the certificate that c presents to peers; ok is false if c is not such a certificate.
func (c *Certificate) Shown(now time.Time) (file string, names []string, notAfter time.Time, ok bool) {
	t := c.at(now)
	return c.file, t.all, t.end, c.use == identity
}

// notices are the times before its end at which a certificate is warned about, the
// longest first. A notice is skipped if the certificate's whole
// validity is less than twice as long: such a short validity may be intended.
var notices = []time.Duration{30 * day, 7 * day, day}

const day = 24 * time.Hour

// Warning returns what is wrong with c at the time now, or soon will be.
func (c *Certificate) Warning(now time.Time) (p Problem, warn bool) {
	t := c.at(now)
	p = c.place
	expired, early := now.After(t.end), now.Before(t.begin)
	switch c.use {
	case authorities:
		p.What = quote(c.file) + " has no CA certificate that is valid"
		p.Remedy = "give the file of CA certificates that are valid"
	case intermediate:
		p.What = quote(c.file) + " has an intermediate certificate for " + t.names + " that"
		p.Remedy = "use the CA's current chain"
	default:
		p.What = quote(c.file) + " has a certificate for " + t.names + " that"
		p.Remedy = "renew it"
	}
	const layout = "2006-01-02 15:04:05 UTC"
	begin, end := t.begin.UTC().Format(layout), t.end.UTC().Format(layout)
	switch {
	case expired && c.use == authorities:
		p.What += ": that of " + t.names + " expired on " + end + ", so nobody passes verification"
	case expired:
		p.What += " expired on " + end + ": peers that verify it refuse it"
	case early && c.use == authorities:
		p.What += ": that of " + t.names + " is not valid before " + begin + ", so nobody passes verification"
		p.Remedy += ", or check the clock"
	case early:
		p.What += " is not valid before " + begin + ": peers that verify it refuse it"
		if c.use == identity {
			p.Remedy = "give one that is valid now"
		}
		p.Remedy += ", or check the clock"
	case !t.endsSoon(now):
		return Problem{}, false
	case c.use == authorities:
		p.What += " for long: that of " + t.names + " expires on " + end
	default:
		p.What += " expires on " + end
	}
	return p, true
}

// NextWarning returns when Warning should be called again after a call at the time now.
func (c *Certificate) NextWarning(now time.Time) time.Time {
	now = now.Round(0) // use wall clock time, which advances while the machine sleeps
	t := c.at(now)
	if now.After(t.end) || now.Before(t.begin) {
		return now.Add(day)
	}
	for _, n := range notices {
		if at := t.end.Add(-n); t.longEnough(n) && at.After(now) {
			return at
		}
	}
	return t.end.Add(time.Second)
}

// at returns the validity that counts at a time: the one with the latest end among
// those that are valid, or else among the expired ones, or else among
// all.
func (c *Certificate) at(now time.Time) validity {
	rank := func(t validity) int {
		switch {
		case now.After(t.end):
			return 1
		case now.Before(t.begin):
			return 0
		default:
			return 2
		}
	}
	best := c.terms[0]
	for _, t := range c.terms[1:] {
		if d := rank(t) - rank(best); d > 0 || d == 0 && t.end.After(best.end) {
			best = t
		}
	}
	return best
}

// longEnough reports whether t is long enough for a notice that long before its end.
func (t validity) longEnough(notice time.Duration) bool { return t.end.Sub(t.begin) >= 2*notice }

// endsSoon reports whether t, which is valid, ends soon.
func (t validity) endsSoon(now time.Time) bool {
	for _, n := range notices {
		if t.longEnough(n) && !now.Before(t.end.Add(-n)) {
			return true
		}
	}
	return false
}

// note records the validity of certificates in the file that n names. There is at
// least one certificate, and one valid certificate is enough.
func (d *decoder) note(n *node, path, file string, use certificateUse, certs ...*x509.Certificate) {
	c := Certificate{place: Problem{File: d.input.name(n.pos), Line: n.pos.line, Column: n.pos.column, Path: path}, file: file, use: use}
	for _, cert := range certs {
		if use != authorities || isAuthority(cert) {
			c.terms = append(c.terms, validity{names: names(cert), all: subjects(cert), begin: cert.NotBefore, end: cert.NotAfter})
		}
	}
	d.certificates = append(d.certificates, c)
}

// noteChain is note for a chain that is presented. Self-signed certificates in it
// are skipped: a peer has its own copy of the root, or does not
// trust it.
func (d *decoder) noteChain(n *node, path, file string, chain []*x509.Certificate) {
	d.note(n, path, file, identity, chain[0])
	for _, cert := range chain[1:] {
		if !issuedByItself(cert) {
			d.note(n, path, file, intermediate, cert)
		}
	}
}

// isAuthority reports whether a certificate can sign others: it is a CA
// certificate, or self-issued.
func isAuthority(c *x509.Certificate) bool {
	return c.IsCA || issuedByItself(c)
}

func issuedByItself(c *x509.Certificate) bool { return bytes.Equal(c.RawIssuer, c.RawSubject) }

// names describes the subject of a certificate for messages.
func names(c *x509.Certificate) string {
	list := subjects(c)
	if len(list) == 0 {
		return "nobody (serial number " + shorten(c.SerialNumber.Text(16), 40) + ")"
	}
	const most = 4
	if n := len(list); n > most {
		return strings.Join(quoteAll(list[:most-1]), ", ") + " and " + strconv.Itoa(n-most+1) + " more"
	}
	return strings.Join(quoteAll(list), ", ")
}

// subjects returns the names in c; nil if there are none.
func subjects(c *x509.Certificate) []string {
	list := append([]string(nil), c.DNSNames...)
	for _, ip := range c.IPAddresses {
		list = append(list, ip.String())
	}
	for _, uri := range c.URIs {
		list = append(list, uri.String())
	}
	if len(list) == 0 {
		list = append(list, c.EmailAddresses...)
	}
	switch subject := c.Subject.String(); {
	case len(list) > 0:
	case c.Subject.CommonName != "":
		list = []string{c.Subject.CommonName}
	case subject != "":
		list = []string{subject}
	}
	return list
}
