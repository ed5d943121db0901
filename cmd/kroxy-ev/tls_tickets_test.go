package main_test

import (
	"crypto/tls"
	"fmt"
	"io"
	"regexp"
	"sync"
	"testing"
	"time"
)

// frozenCache is a session cache that always returns the first session that it got.
type frozenCache struct {
	mu      sync.Mutex
	session *tls.ClientSessionState
}

func (f *frozenCache) Get(string) (*tls.ClientSessionState, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.session, f.session != nil
}

func (f *frozenCache) Put(_ string, s *tls.ClientSessionState) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.session == nil {
		f.session = s
	}
}

// reconnect connects to an echo host, and reports whether the session was resumed.
func (p *proxy) reconnect(config *tls.Config) (*tls.Conn, bool) {
	p.t.Helper()
	c := p.dialTLS(config)
	expectEcho(p.t, c, "hello")
	return c, c.ConnectionState().DidResume
}

// withSessionCache returns config with a cache for one session.
func withSessionCache(config *tls.Config) *tls.Config {
	config = config.Clone()
	config.ClientSessionCache = &frozenCache{}
	return config
}

// A session can be resumed in any worker, after any reload, and under a new master.
func TestTLSSessionsGoOn(t *testing.T) {
	t.Parallel()
	for kind, multi := range map[string]bool{"one process": false, "workers": true} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			a := newAuthority(t)
			id, other := a.issue("site.test"), a.issueRSA("other.test")
			s := setup{
				hosts: endpoints(listen(t, "127.0.0.1", echo)), multi: multi,
				settings: id.serverSettings(settings{"workers_num": 2, "certificates": []settings{{"cert_path": other.cert, "key_path": other.key}}}),
			}
			var p *proxy
			var binary string
			if multi {
				p, binary = startUpgradable(t, s)
			} else {
				p = start(t, s)
			}
			sessions := map[string]*tls.Config{}
			for name, version := range versions {
				for _, site := range []string{"site.test", "other.test"} {
					sessions[name+" "+site] = withSessionCache(only(version, a.clientConfig(site)))
				}
			}
			master := p.pid()
			check := func(when string, first bool) {
				t.Helper()
				for name, config := range sessions {
					seen := map[int]bool{}
					for i := 0; i < 10 || i < 100 && multi && len(seen) < 2; i++ {
						c, resumed := p.reconnect(config)
						if multi {
							seen[owner(t, underlyingTCP(c), children(t, master))] = true
						}
						if resumed == (first && i == 0) {
							t.Fatalf("TLS %s, %s, connection %d: resumed: %v", name, when, i, resumed)
						}
						_ = c.Close()
					}
					if multi && len(seen) < 2 {
						t.Errorf("TLS %s, %s: one worker got all connections", name, when)
					}
				}
			}
			check("at first", true)
			p.mustOrder("reload")
			check("after a reload", false)
			s.settings["workers_num"] = 3
			p.rewrite(s)
			p.mustOrder("reload")
			check("after a change", false)
			if !multi {
				return
			}
			for n := range 2 {
				install(t, program, binary)
				p.mustOrder("upgrade")
				master = p.awaitSuccessor(n + 1)
				check("after an upgrade", false)
			}
			p.stopSuccessor(master)
		})
	}
}

// A ticket is valid for two key rotations, and not for three.
func TestTLSTicketRotation(t *testing.T) {
	t.Parallel()
	modes(t, func(t *testing.T, multi bool) {
		a := newAuthority(t)
		const rotation = 1500 * time.Millisecond
		p := start(t, setup{
			hosts: endpoints(listen(t, "127.0.0.1", echo)), multi: multi,
			settings: a.issue("site.test").serverSettings(settings{"workers_num": 2, "tls_ticket_rotation": rotation.Milliseconds()}),
		})
		// rotations returns how many rotations were logged, and when the last one was. It was complete by then, and the next is not before its time.
		rotated := regexp.MustCompile(`(?m)^time=(\S+) level=INFO msg="kroxy-ev: new keys of session tickets are in service"`)
		rotations := func() (n int, last time.Time) {
			all := rotated.FindAllStringSubmatch(p.stderr.String(), -1)
			if len(all) > 0 {
				var err error
				if last, err = time.Parse(time.RFC3339, all[len(all)-1][1]); err != nil {
					t.Fatal(err)
				}
			}
			return len(all), last
		}
		// during waits for a rotation and calls f. It reports whether there was no other rotation until f returned.
		during := func(least int, f func()) (n int, alone bool) {
			t.Helper()
			var last time.Time
			eventually(t, fmt.Sprintf("%d rotations", least), func() bool { n, last = rotations(); return n >= least })
			f()
			return n, time.Since(last) < rotation/2
		}
		old := map[string]*tls.Config{}
		var began int
		eventually(t, "both sessions begin between the same rotations", func() bool {
			var alone bool
			began, alone = during(began+1, func() {
				for name, version := range versions {
					old[name] = withSessionCache(only(version, a.clientConfig("site.test")))
					if _, resumed := p.reconnect(old[name]); resumed {
						t.Fatal("the first connection resumed a session")
					}
				}
			})
			return alone
		})
		long := lasting(p.dialTLS(a.clientConfig("site.test")))
		for passed := range 4 {
			for name, config := range old {
				var resumed bool
				n, alone := during(began+passed, func() { _, resumed = p.reconnect(config) })
				switch now := n - began; {
				case now < 3 && alone && !resumed:
					t.Errorf("TLS %s: a ticket was refused after %d rotations", name, now)
				case now >= 3 && resumed: // further rotations only make the ticket older
					t.Errorf("TLS %s: a ticket was accepted after %d rotations", name, now)
				}
			}
		}
		expectEcho(t, long, "a connection from before")
	})
}

// A reload may change how long keys are used, and the change takes effect at once.
func TestTLSTicketRotationAfterReload(t *testing.T) {
	t.Parallel()
	modes(t, func(t *testing.T, multi bool) {
		a := newAuthority(t)
		s := setup{hosts: endpoints(listen(t, "127.0.0.1", echo)), multi: multi, settings: a.issue("site.test").serverSettings(nil)}
		p := start(t, s)
		s.settings["tls_ticket_rotation"] = 1000
		p.rewrite(s)
		p.mustOrder("reload")
		p.awaitLog(`level=INFO msg="kroxy-ev: new keys of session tickets are in service"`)
		_, _ = p.reconnect(a.clientConfig("site.test"))
	})
}

// A session is valid only with the certificate with which it began.
func TestTLSSessionsOfAnotherCertificate(t *testing.T) {
	t.Parallel()
	eachVersion(t, func(t *testing.T, version uint16) {
		a := newAuthority(t)
		x, y, z := a.issue("x.test"), a.issue("y.test"), a.issue("x.test")
		place := newCertFiles(t)
		place.replace(x)
		s := setup{hosts: endpoints(listen(t, "127.0.0.1", echo)), settings: place.serverSettings(settings{"certificates": []settings{{"cert_path": y.cert, "key_path": y.key}}})}
		p := start(t, s)
		config := withSessionCache(only(version, askingFor(&tls.Config{}, "x.test")))
		for i := range 3 {
			if _, resumed := p.reconnect(config); resumed != (i > 0) {
				t.Fatalf("connection %d: resumed: %v", i, resumed)
			}
		}
		elsewhere := config.Clone()
		elsewhere.ServerName = "y.test"
		if c, resumed := p.reconnect(elsewhere); resumed || !c.ConnectionState().PeerCertificates[0].Equal(y.Leaf) {
			t.Error("a session of one certificate was resumed under another")
		}
		place.replace(z)
		p.mustOrder("reload")
		if c, resumed := p.reconnect(config); resumed || !c.ConnectionState().PeerCertificates[0].Equal(z.Leaf) {
			t.Error("a session was resumed under the certificate's successor")
		}
	})
}

// Nor does a session spare a client a certificate that is required by now.
func TestTLSSessionsOfUnknownClients(t *testing.T) {
	t.Parallel()
	eachVersion(t, func(t *testing.T, version uint16) {
		a, b := newAuthority(t), newAuthority(t)
		id := a.issue("site.test")
		s := setup{hosts: endpoints(listen(t, "127.0.0.1", echo)), settings: id.serverSettings(nil)}
		p := start(t, s)
		refused := func(config *tls.Config) {
			t.Helper()
			c, err := p.tryDialTLS(config)
			if err == nil { // a client of TLS 1.3 learns it by reading
				_, _ = io.WriteString(c, "x")
				_, err = c.Read(make([]byte, 1))
			}
			expectMatch(t, fmt.Sprint(err), "remote error: tls: (certificate required|handshake failure|unknown certificate authority|bad certificate)")
		}
		nobody := withSessionCache(only(version, a.clientConfig("site.test")))
		p.reconnect(nobody)
		if _, resumed := p.reconnect(nobody); !resumed {
			t.Fatal("there is no session")
		}
		s.settings = id.serverSettings(settings{"tls_verify_client": true, "tls_client_ca_path": a.path})
		p.rewrite(s)
		p.mustOrder("reload")
		refused(nobody)
		known := withSessionCache(a.issue("client.test").withClientCert(only(version, a.clientConfig("site.test"))))
		p.reconnect(known)
		if _, resumed := p.reconnect(known); !resumed {
			t.Error("a client's session was not resumed")
		}
		s.settings = id.serverSettings(settings{"tls_verify_client": true, "tls_client_ca_path": b.path})
		p.rewrite(s)
		p.mustOrder("reload")
		refused(known)
	})
}
