//go:build !race

package streamcodec

import (
	"io"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"kroxy-ev/balance"
	"kroxy-ev/config"
	"kroxy-ev/engine/accesslog"
	"kroxy-ev/engine/proxyproto"
	"kroxy-ev/engine/upstream"
	"kroxy-ev/logformat"
)

// The tests below fail if serving allocates in steady state. AllocsPerRun counts the whole process, including the loop; the
// peers' own calls allocate nothing.

func gate(t *testing.T, what string, f func()) {
	t.Helper()
	for range 200 { // until pools are filled and flows have settled on copying or splicing
		f()
	}
	if n := testing.AllocsPerRun(300, f); n != 0 {
		t.Errorf("%s: %v allocations, want none", what, n)
	}
}

func TestCopiedChunkDoesNotAllocate(t *testing.T) {
	hosts := listen(t)
	proxy, server := startProxy(t, hosts.Addr(), 16, config.Route{ReadTimeout: 60e9, ProxyReadTimeout: 60e9})
	client, host := pair(t, proxy, hosts)
	buf := make([]byte, 1000)
	gate(t, "a round trip of 1,000 bytes", func() {
		mustWrite(t, client, buf)
		mustRead(t, host, buf)
		mustWrite(t, host, buf)
		mustRead(t, client, buf)
	})
	client.Close()
	host.Close()
	awaitIdle(t, server)
	if server.Stats().Spliced.Load() != 0 {
		t.Error("small talk was spliced")
	}
}

func TestSplicedChunkDoesNotAllocate(t *testing.T) {
	hosts := listen(t)
	proxy, server := startProxy(t, hosts.Addr(), 16, config.Route{ReadTimeout: 60e9, ProxyReadTimeout: 60e9})
	client, host := pair(t, proxy, hosts)
	buf := make([]byte, 1<<20)
	go func() {
		for {
			if _, err := host.Write(buf); err != nil {
				return
			}
		}
	}()
	into := make([]byte, 1<<20)
	gate(t, "a spliced MiB", func() { mustRead(t, client, into) })
	client.Close()
	awaitIdle(t, server)
	if s, d := server.Stats().Spliced.Load(), server.Stats().BytesDown.Load(); s < d/2 {
		t.Errorf("%d of %d bytes were spliced, want most", s, d)
	}
}

// A slow sink makes the proxy hold bytes, in pipes and, without pipes, in buffers.
func TestBackpressureDoesNotAllocate(t *testing.T) {
	for _, pipes := range []int{0, 16} {
		hosts := listen(t)
		proxy, _ := startProxy(t, hosts.Addr(), pipes, config.Route{SendTimeout: 60e9, ProxyReadTimeout: 60e9})
		client, host := pair(t, proxy, hosts)
		buf := make([]byte, 8<<20)
		go func() {
			for {
				if _, err := host.Write(buf); err != nil {
					return
				}
			}
		}()
		into := make([]byte, 300_000)
		gate(t, "a read of a slow reader", func() { mustRead(t, client, into) })
	}
}

func TestSessionDoesNotAllocate(t *testing.T) {
	plain := func(*upstream.Group) {}
	for name, format := range map[string]string{"not logged": "", "logged": logformat.WordJSON} {
		t.Run(name, func(t *testing.T) { sessionDoesNotAllocate(t, format, plain) })
	}
	for _, version := range []proxyproto.Version{proxyproto.V1, proxyproto.V2} {
		t.Run("told to the host by "+version.String(), func(t *testing.T) {
			sessionDoesNotAllocate(t, "", func(g *upstream.Group) { g.ProxyProtocol = version })
		})
	}
	for _, algorithm := range balance.Algorithms() {
		t.Run(algorithm.Name, func(t *testing.T) {
			counted, err := balance.NewGroupOf([]int{0}, balance.Options{Algorithm: algorithm.Name, Hosts: []balance.Spec{{Name: balance.AnyName, Weight: 1}}}, balance.NewCounters(1, 1))
			if err != nil {
				t.Fatal(err)
			}
			key, err := logformat.CompileTemplate("$client_addr by $protocol to $server, and what makes it longer than what is kept of a key: $tls_sni", logformat.OnSession)
			if err != nil {
				t.Fatal(err)
			}
			sessionDoesNotAllocate(t, "", func(g *upstream.Group) { g.Balance, g.HashKey = counted, key })
		})
	}
}

func sessionDoesNotAllocate(t *testing.T, format string, change func(*upstream.Group)) {
	hosts := listen(t)
	proxy, server, entry := startEntry(t, hosts.Addr(), 16, config.Route{ReadTimeout: 60e9, ProxyReadTimeout: 60e9})
	if format != "" {
		f, err := logformat.Compile(format, logformat.Stream)
		if err != nil {
			t.Fatal(err)
		}
		log := accesslog.New("test", io.Discard, accesslog.Options{BufferSize: 16 << 10})
		t.Cleanup(func() { _ = log.Close(time.Second) })
		server.loop.Post(func() {
			o := entry.EntryOptions
			o.Access = log.NewBuffer(f)
			entry.Swap(o)
		})
	}
	server.loop.Post(func() { change(entry.Settings.Routes[0].Targets[0].Group) })
	accept, err := hosts.File()
	if err != nil {
		t.Fatal(err)
	}
	defer accept.Close()
	to := &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}, Port: portOf(proxy)}
	hostFD := int(accept.Fd()) // blocking from now on
	buf := make([]byte, 100)
	buf[len(buf)-1] = '.'
	into := make([]byte, 300)
	check := func(err error) {
		if err != nil {
			t.Fatal(err)
		}
	}
	// unix.Accept allocates twice for a Sockaddr.
	const peers = 2
	session := func() {
		c, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM, 0)
		check(err)
		check(unix.Connect(c, to))
		h, _, err := unix.Accept(hostFD)
		check(err)
		_, err = unix.Write(c, buf)
		check(err)
		for n, last := 0, byte(0); n < len(buf) || last != '.'; { // a shorter header may precede them
			k, err := unix.Read(h, into)
			check(err)
			n, last = n+k, into[max(k, 1)-1]
		}
		check(unix.Close(h))
		if n, err := unix.Read(c, buf); n != 0 || err != nil {
			t.Fatalf("read %d, %v; want the end of the stream", n, err)
		}
		check(unix.Close(c))
	}
	for range 200 {
		session()
	}
	if n := testing.AllocsPerRun(300, session); n > peers {
		t.Errorf("a session: %v allocations, want none", n-peers)
	}
	awaitIdle(t, server)
}
