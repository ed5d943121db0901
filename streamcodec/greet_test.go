package streamcodec

import (
	"kroxy-ev/config"
	"net"
	"testing"
)

// If clients speak first the server waits for the next clients' first bytes. A client that waits for the host to speak is still
// connected, and ends the waiting.
func TestHostSpeaksFirst(t *testing.T) {
	t.Parallel()
	hosts := listen(t)
	proxy, server := startProxy(t, hosts.Addr(), 0, config.Route{})
	eager := func() (n int) {
		done := make(chan struct{})
		server.loop.Post(func() { n = server.spokeFirst; close(done) })
		<-done
		return n
	}
	buf := make([]byte, 5)
	for eager() < greetStreak {
		c, err := net.Dial("tcp", proxy)
		if err != nil {
			t.Fatal(err)
		}
		mustWrite(t, c, []byte("hello"))
		h, err := hosts.AcceptTCP()
		if err != nil {
			t.Fatal(err)
		}
		mustRead(t, h, buf)
		c.Close()
		h.Close()
	}
	for range 2 {
		client, host := pair(t, proxy, hosts) // waits for the connection to the host
		mustWrite(t, host, []byte("220 ."))
		mustRead(t, client, buf)
		if string(buf) != "220 ." {
			t.Errorf("read %q", buf)
		}
		if n := eager(); n != 0 {
			t.Errorf("%d clients in a row have spoken first, want 0", n)
		}
	}
}

// A client that is waited for may leave.
func TestClientLeavesWhileWaitedFor(t *testing.T) {
	t.Parallel()
	hosts := listen(t)
	proxy, server := startProxy(t, hosts.Addr(), 0, config.Route{})
	done := make(chan struct{})
	server.loop.Post(func() { server.spokeFirst = greetStreak; close(done) })
	<-done
	for _, reset := range []bool{false, true} {
		c, err := net.Dial("tcp", proxy)
		if err != nil {
			t.Fatal(err)
		}
		if reset {
			_ = c.(*net.TCPConn).SetLinger(0)
		}
		c.Close()
		if !reset { // the end of a stream is passed on like any other
			h, err := hosts.AcceptTCP()
			if err != nil {
				t.Fatal(err)
			}
			if n, err := h.Read(make([]byte, 1)); n != 0 || err == nil {
				t.Errorf("read %d, %v, want the end", n, err)
			}
			h.Close()
		}
	}
	awaitIdle(t, server)
}
