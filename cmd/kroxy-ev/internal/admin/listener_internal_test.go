package admin

import (
	"io"
	"net"
	"testing"
	"time"
)

// A client whose request has arrived but was not read yet, because the process stood still, is not idle.
func TestArrivedRequestIsNoSilence(t *testing.T) {
	t.Parallel()
	socket, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := newLimitListener(socket, 1)
	defer l.shut()
	client, err := net.Dial("tcp", socket.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	accepted, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	c := accepted.(*clientConn)
	const request = "GET / HTTP/1.1\r\n"
	if _, err := io.WriteString(client, request); err != nil {
		t.Fatal(err)
	}
	c.reading.Store(true) // as if Read had been called, and the process had stood still before it could read
	eventually(t, "the request arrives", func() bool { return !c.isSilent() })
	if c.closeIfIdle(l.now()) {
		t.Error("a client whose request has arrived is taken for silent")
	}
	if _, err := io.ReadFull(c, make([]byte, len(request))); err != nil {
		t.Fatal(err)
	}
	if c.closeIfIdle(l.now()) {
		t.Error("a client is taken for silent whose request was read and not answered yet")
	}
	ended := make(chan error)
	go func() {
		_, err := c.Read(make([]byte, 1))
		ended <- err
	}()
	eventually(t, "a client that sends nothing more is taken for silent", func() bool { return c.closeIfIdle(l.now()) })
	if err := <-ended; err == nil {
		t.Error("something was read")
	}
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for late := time.Now().Add(20 * time.Second); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(late) {
			t.Fatalf("not after 20 s: %s", what)
		}
	}
}
