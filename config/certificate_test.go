package config_test

import (
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"net"
	"net/url"
	"strings"
	"testing"
	"time"

	"kroxy-ev/config"
)

// using returns files that use a certificate, by the path where they name it.
func using(p config.KeyPair) map[string]string {
	return map[string]string{
		"stream.tls_cert_path: ":             stream(`"tls_enabled":true,"tls_cert_path":"` + p.CertPath + `","tls_key_path":"` + p.KeyPath + `"`),
		"stream.certificates[0].cert_path: ": stream(`"tls_enabled":true,"certificates":[{"cert_path":"` + p.CertPath + `","key_path":"` + p.KeyPath + `"}]`),
		"stream.servers.b.proxy_tls_cert_path: ": group(`"hosts":[{"host":"h","port":1}],"proxy_tls_enabled":true,"proxy_tls_cert_path":"` + p.CertPath +
			`","proxy_tls_key_path":"` + p.KeyPath + `"`),
	}
}

// trusting returns files that use a file of CA certificates, by the path where they name it.
func trusting(server config.KeyPair, ca string) map[string]string {
	return map[string]string{
		"stream.tls_client_ca_path: ": stream(`"tls_enabled":true,"tls_cert_path":"` + server.CertPath + `","tls_key_path":"` + server.KeyPath +
			`","tls_verify_client":true,"tls_client_ca_path":"` + ca + `"`),
		"stream.servers.b.proxy_tls_ca_path: ": group(`"hosts":[{"host":"h","port":1}],"proxy_tls_enabled":true,"proxy_tls_verify":true,"proxy_tls_ca_path":"` + ca + `"`),
	}
}

// TestValidity has certificates that are not valid now: there is a warning wherever
// they are used, and none if the files are given.
func TestValidity(t *testing.T) {
	t.Parallel()
	early, late := time.Date(2001, 2, 3, 4, 5, 6, 0, time.FixedZone("x", 3600)), time.Date(2901, 2, 3, 4, 5, 6, 0, time.UTC)
	ca := issue(t, x509.Certificate{IsCA: true, BasicConstraintsValid: true, NotAfter: early}, nil)
	now := time.Now()
	const (
		expired = `"C" has a certificate for "a.test" that expired on 2001-02-03 03:05:06 UTC: peers that verify it refuse it; renew it`
		future  = `"C" has a certificate for "a.test" that is not valid before 2901-02-03 04:05:06 UTC: peers that verify it refuse it; give one that is valid now, or check the clock`
	)
	for name, c := range map[string]struct {
		template x509.Certificate
		want     string
	}{
		"valid":     {x509.Certificate{NotBefore: now.Add(-time.Minute), NotAfter: now.Add(time.Minute)}, ""},
		"expired":   {x509.Certificate{NotBefore: early.Add(-time.Hour), NotAfter: early}, expired},
		"not yet":   {x509.Certificate{NotBefore: late, NotAfter: late.Add(time.Hour)}, future},
		"never was": {x509.Certificate{NotBefore: late, NotAfter: early}, expired},
	} {
		c.template.DNSNames = []string{"a.test"}
		p := issue(t, c.template, ca)
		chain := string(p.Cert) + string(ca.Cert) // nobody checks a root that is presented
		p.Cert = []byte(chain)
		write(t, p.CertPath, p.Cert)
		for path, input := range using(p.KeyPair) {
			got := outcome(t, input)
			before, problem, found := strings.Cut(got, path)
			if found {
				got = strings.ReplaceAll(problem, `"`+p.CertPath+`"`, `"C"`)
			}
			if got != c.want || found != strings.HasPrefix(before, "W ") {
				t.Errorf("%s: got %s%s%s, want %s", name, before, path, got, c.want)
			}
			if _, warnings, err := (config.Source{Path: "f", Text: []byte(input)}).ParseWith(config.Files{p.CertPath: p.Cert, p.KeyPath: p.Key}); err != nil || len(warnings) > 0 {
				t.Errorf("%s, given the files: %v, %v", name, warnings, err)
			}
		}
	}
}

// TestIntermediateValidity has chains with intermediate certificates: there is a warning for each certificate other than a root.
func TestIntermediateValidity(t *testing.T) {
	t.Parallel()
	begin := time.Date(2001, 2, 3, 4, 5, 6, 0, time.UTC)
	authority := func(name string, parent *issued, begin, end time.Time) *issued {
		return issue(t, x509.Certificate{Subject: pkix.Name{CommonName: name}, IsCA: true, BasicConstraintsValid: true, NotBefore: begin, NotAfter: end}, parent)
	}
	late, end := begin.AddDate(900, 0, 0), begin.AddDate(1, 0, 0)
	root := authority("root", nil, begin, end)
	for name, c := range map[string]struct {
		begin, end time.Time
		want       string
	}{
		"good":    {begin, late, ""},
		"expired": {begin, end, ` that expired on 2002-02-03 04:05:06 UTC: peers that verify it refuse it; use the CA's current chain`},
		"not yet": {late, late.AddDate(1, 0, 0), ` that is not valid before 2901-02-03 04:05:06 UTC: peers that verify it refuse it; use the CA's current chain, or check the clock`},
	} {
		lower := authority("lower", root, c.begin, c.end)
		p := issue(t, x509.Certificate{Subject: pkix.Name{CommonName: "leaf"}, NotBefore: begin, NotAfter: late}, lower)
		write(t, p.CertPath, []byte(string(p.Cert)+string(lower.Cert)+string(root.Cert)))
		want := c.want
		if want != "" {
			want = `"` + p.CertPath + `" has an intermediate certificate for "lower"` + want
		}
		for path, input := range using(p.KeyPair) {
			_, got, _ := strings.Cut(outcome(t, input), path)
			if got != want {
				t.Errorf("%s: %s%s, want %s", name, path, got, want)
			}
		}
	}
}

// only returns the one certificate that a file uses.
func only(t *testing.T, input string) *config.Certificate {
	t.Helper()
	c, _ := parse(t, input)
	list := c.Certificates()
	if len(list) == 0 {
		t.Fatal("no certificates are known")
	}
	return &list[len(list)-1]
}

const day = 24 * time.Hour

// reminders lists the warnings about c between begin and last after end, and how long before its end each comes. It asks when c says that the next
// warning is due. The end itself counts as one second after.
func reminders(c *config.Certificate, begin, end time.Time, last time.Duration) (list []string) {
	for now := begin; !now.After(end.Add(last)); now = c.NextWarning(now) {
		if p, warn := c.Warning(now); warn {
			_, what, _ := strings.Cut(p.What, " that ")
			list = append(list, fmt.Sprintf("%v: %s", end.Sub(now), strings.Fields(what)[0]))
		}
	}
	return list
}

// TestReminders asks for warnings over the whole life of a certificate.
func TestReminders(t *testing.T) {
	t.Parallel()
	begin := time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC)
	for life, want := range map[time.Duration]string{
		400 * day:            "720h0m0s: expires, 168h0m0s: expires, 24h0m0s: expires, -1s: expired, -24h0m1s: expired, -48h0m1s: expired",
		60 * day:             "720h0m0s: expires, 168h0m0s: expires, 24h0m0s: expires, -1s: expired, -24h0m1s: expired, -48h0m1s: expired",
		60*day - time.Second: "168h0m0s: expires, 24h0m0s: expires, -1s: expired, -24h0m1s: expired, -48h0m1s: expired",
		8 * day:              "24h0m0s: expires, -1s: expired, -24h0m1s: expired, -48h0m1s: expired",
		day:                  "-1s: expired, -24h0m1s: expired, -48h0m1s: expired",
	} {
		end := begin.Add(life)
		p := issue(t, x509.Certificate{NotBefore: begin, NotAfter: end}, nil)
		for path, input := range using(p.KeyPair) {
			if got := strings.Join(reminders(only(t, input), begin, end, 3*day), ", "); got != want {
				t.Errorf("%v, %s got %s, want %s", life, path, got, want)
			}
		}
		server := writePair(t)
		for path, input := range trusting(server, p.CertPath) {
			// Warnings about CAs have other words.
			if got := reminders(only(t, input), begin, end, 3*day); len(got) != strings.Count(want, ",")+1 {
				t.Errorf("%v, %s got %q, want as in %s", life, path, got, want)
			}
		}
	}

	// A certificate that will be valid later is warned about each day until then.
	p := issue(t, x509.Certificate{NotBefore: begin, NotAfter: begin.Add(day)}, nil)
	c := only(t, using(p.KeyPair)["stream.tls_cert_path: "])
	const want = "72h0m0s: is, 48h0m0s: is, -1s: expired, -24h0m1s: expired"
	if got := strings.Join(reminders(c, begin.Add(-2*day), begin.Add(day), day+time.Second), ", "); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

// TestCertificateWarning checks the whole text of warnings, with the names of the certificates.
func TestCertificateWarning(t *testing.T) {
	t.Parallel()
	begin := time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC)
	end := begin.Add(100 * day)
	uri, err := url.Parse("spiffe://test/web")
	if err != nil {
		t.Fatal(err)
	}
	many := x509.Certificate{
		Subject: pkix.Name{CommonName: "unused"}, DNSNames: []string{"a.test", "*.b.test", "c.test"},
		IPAddresses: []net.IP{net.IPv4(10, 0, 0, 1)}, URIs: []*url.URL{uri},
	}
	for name, test := range map[string]struct {
		template x509.Certificate
		at       time.Time
		want     string
	}{
		"soon":            {x509.Certificate{DNSNames: []string{"a.test"}}, end.Add(-day), `"a.test" that expires on 2030-04-12 03:04:05 UTC; renew it`},
		"not so soon":     {x509.Certificate{DNSNames: []string{"a.test"}}, end.Add(-31 * day), ""},
		"several names":   {many, end.Add(-day), `"a.test", "*.b.test", "c.test" and 2 more that expires on 2030-04-12 03:04:05 UTC; renew it`},
		"addresses":       {x509.Certificate{IPAddresses: []net.IP{net.IPv4(10, 0, 0, 1), net.IPv6loopback}}, end.Add(-day), `"10.0.0.1", "::1" that expires on 2030-04-12 03:04:05 UTC; renew it`},
		"a person":        {x509.Certificate{EmailAddresses: []string{"a@b.test"}}, end.Add(-day), `"a@b.test" that expires on 2030-04-12 03:04:05 UTC; renew it`},
		"a common name":   {x509.Certificate{Subject: pkix.Name{CommonName: "a\nb"}}, end.Add(-day), `"a\nb" that expires on 2030-04-12 03:04:05 UTC; renew it`},
		"an organisation": {x509.Certificate{Subject: pkix.Name{Organization: []string{"x"}}}, end.Add(-day), `"O=x" that expires on 2030-04-12 03:04:05 UTC; renew it`},
		"nobody":          {x509.Certificate{}, end.Add(-day), `nobody (serial number 1) that expires on 2030-04-12 03:04:05 UTC; renew it`},
	} {
		test.template.NotBefore, test.template.NotAfter = begin, end
		p := issue(t, test.template, nil)
		c := only(t, using(p.KeyPair)["stream.tls_cert_path: "])
		got, warn := c.Warning(test.at)
		want := test.want
		if want != "" {
			want = `f:1:112: stream.tls_cert_path: "` + p.CertPath + `" has a certificate for ` + want
		}
		if got.String() != want && (warn || want != "") || warn != (want != "") {
			t.Errorf("%s: got %v, %v, want %s", name, warn, got, want)
		}
	}
}

// TestAuthoritiesValidity has files of several CAs: the last one that is valid counts.
func TestAuthoritiesValidity(t *testing.T) {
	t.Parallel()
	begin := time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC)
	ca := func(name string, from, days int) string {
		at := begin.AddDate(0, 0, from)
		return string(issue(t, x509.Certificate{
			Subject: pkix.Name{CommonName: name}, IsCA: true, BasicConstraintsValid: true, NotBefore: at, NotAfter: at.AddDate(0, 0, days),
		}, nil).Cert)
	}
	leaf := string(issue(t, x509.Certificate{NotBefore: begin, NotAfter: begin.AddDate(9, 0, 0)}, issue(t, x509.Certificate{Subject: pkix.Name{CommonName: "x"}}, nil)).Cert)
	old, late, short, long := ca("old", -200, 100), ca("late", 500, 100), ca("short", 0, 100), ca("long", 0, 200)
	const give = "; give the file of CA certificates that are valid"
	for name, test := range map[string]struct {
		content string
		day     int
		want    string
	}{
		"one is enough":         {old + short + late, 1, ""},
		"one ends":              {short + long + leaf, 99, ""},
		"the last ends":         {long + short + old, 199, `has no CA certificate that is valid for long: that of "long" expires on 2030-07-21 03:04:05 UTC` + give},
		"a leaf does not count": {short + leaf, 101, `has no CA certificate that is valid: that of "short" expired on 2030-04-12 03:04:05 UTC, so nobody passes verification` + give},
		"all are expired":       {old + short + long, 300, `has no CA certificate that is valid: that of "long" expired on 2030-07-21 03:04:05 UTC, so nobody passes verification` + give},
		"none yet":              {late, 1, `has no CA certificate that is valid: that of "late" is not valid before 2031-05-17 03:04:05 UTC, so nobody passes verification` + give + ", or check the clock"},
	} {
		file := writeFile(t, test.content)
		for path, input := range trusting(writePair(t), file) {
			p, warn := only(t, input).Warning(begin.AddDate(0, 0, test.day))
			_, got, _ := strings.Cut(p.String(), path+`"`+file+`" `)
			if warn != (test.want != "") || got != test.want {
				t.Errorf("%s: got %v, %s, want %s", name, warn, p, test.want)
			}
		}
	}
}
