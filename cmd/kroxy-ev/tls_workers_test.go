package main_test

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

// privateCertFiles are certificate files that only root may read.
func privateCertFiles(t *testing.T, id *identity) *certFiles {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "private")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	w := &certFiles{t, filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")}
	w.replace(id)
	return w
}

// Workers get keys from their master, so they need not be allowed to read the files: at the start, later, and as a successor of a killed worker.
func TestTLSKeysThatWorkersMayNotRead(t *testing.T) {
	t.Parallel()
	needRoot(t)
	a := newAuthority(t)
	first := a.issue("site.test")
	place := privateCertFiles(t, first)
	h := listen(t, "127.0.0.1", echo)
	p := start(t, setup{hosts: endpoints(h), multi: true, settings: place.serverSettings(settings{"user": "nobody", "workers_num": 2})})
	for _, pid := range p.workers() {
		if uid := statusOf(t, pid, "Uid"); uid[0] == '0' {
			t.Fatalf("a worker has Uid %s", uid)
		}
	}
	p.expectCert(first)
	c := lasting(p.dialTLS(a.clientConfig("site.test")))
	expectEcho(t, c, "before")

	second := a.issue("site.test")
	place.replace(second)
	p.mustOrder("reload")
	p.expectCert(second)
	third := a.issue("site.test")
	place.replace(third)
	eventually(t, "the new certificate is shown", func() bool { return p.shownCert("site.test").Equal(third.Leaf) })
	expectEcho(t, c, "after")

	serving := owner(t, underlyingTCP(c), p.workers())
	for _, pid := range p.workers() {
		if pid == serving {
			continue
		}
		if err := unix.Kill(pid, unix.SIGKILL); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, "there are two workers again", func() bool { return len(p.workers()) == 2 })
	// Connections that the killed worker was about to accept are lost.
	eventually(t, "the new worker serves", func() bool {
		c, err := p.tryDialTLS(a.clientConfig("site.test"))
		if err != nil {
			return false
		}
		defer c.Close()
		return owner(t, underlyingTCP(c), p.workers()) != serving
	})
	p.expectCert(third)
	expectEcho(t, c, "at the end")
}

// Nor does a worker's successor need the files, which may be bad by now.
func TestTLSWorkerDiesBesideBadFiles(t *testing.T) {
	t.Parallel()
	a := newAuthority(t)
	id := a.issue("site.test")
	place := newCertFiles(t)
	place.replace(id)
	p := start(t, setup{hosts: endpoints(listen(t, "127.0.0.1", echo)), multi: true, settings: place.serverSettings(settings{"workers_num": 2})})
	if err := errors.Join(os.Remove(place.cert), os.Remove(place.key)); err != nil {
		t.Fatal(err)
	}
	p.awaitLog(`the old ones stay in service`)
	for range 2 {
		before := p.workers()
		if err := unix.Kill(before[0], unix.SIGKILL); err != nil {
			t.Fatal(err)
		}
		eventually(t, "there is another worker", func() bool {
			now := p.workers()
			return len(now) == 2 && now[0] != before[0] && now[1] != before[0]
		})
		eventually(t, "all workers serve", func() bool {
			for range 8 {
				c, err := p.tryDialTLS(a.clientConfig("site.test"))
				if err != nil {
					return false
				}
				_ = c.Close()
			}
			return true
		})
	}
	p.expectCert(id)
}

// A new master reads the files anew, and connections of the old workers go on.
func TestTLSUpgrade(t *testing.T) {
	t.Parallel()
	a := newAuthority(t)
	first, second := a.issue("site.test"), a.issue("site.test")
	place := newCertFiles(t)
	place.replace(first)
	h := listen(t, "127.0.0.1", echo)
	p, binary := startUpgradable(t, setup{hosts: endpoints(h), settings: place.serverSettings(settings{"workers_num": 2})})
	p.expectCert(first)
	c := lasting(p.dialTLS(a.clientConfig("site.test")))
	expectEcho(t, c, "before")
	place.replace(second)
	install(t, program, binary)
	p.mustOrder("upgrade")
	pid := p.awaitSuccessor(1)
	// The old workers may accept until they leave.
	eventually(t, "the new workers serve alone", func() bool { return p.showsCert(second) })
	expectEcho(t, c, "after")
	_ = c.CloseWrite()
	expectWhole(t, c, "")
	_ = c.Close()
	if status := p.wait(); status != 0 {
		t.Errorf("exit status %d of the old master", status)
	}
	third := a.issue("site.test")
	place.replace(third)
	eventually(t, "the new master watches its files", func() bool { return p.shownCert("site.test").Equal(third.Leaf) })
	p.stopSuccessor(pid)
}

// Bad files end the new master, not the old one.
func TestTLSUpgradeToBadFiles(t *testing.T) {
	t.Parallel()
	a := newAuthority(t)
	id := a.issue("site.test")
	place := newCertFiles(t)
	place.replace(id)
	p, _ := startUpgradable(t, setup{hosts: endpoints(listen(t, "127.0.0.1", echo)), settings: place.serverSettings(settings{"workers_num": 2})})
	if err := os.Truncate(place.key, 0); err != nil {
		t.Fatal(err)
	}
	p.refuses("upgrade", `stream\.tls_key_path: .*is empty`)
	p.expectCert(id)
	p.stopSuccessor(p.pid())
}
