package httpcodec

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"io"
	"testing"

	xhttp2 "golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"kroxy-ev/engine/enginetest"
)

// An exchange between an HTTP/2 client and an HTTP/2 host allocates nothing once the connections exist.
func TestHTTP2BothWaysDoesNotAllocate(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	host := enginetest.Accepting(t, enginetest.Loopback, hiHost)
	p := startH2C(t, overHTTP2(func(s *flat) { s.ProxyReadTimeout, s.Server.KeepaliveTimeout = 60e9, 60e9 }), host)
	c := p.dial()
	send(c, xhttp2.ClientPreface, nil)
	var block, request bytes.Buffer
	e := hpack.NewEncoder(&block)
	e.SetMaxDynamicTableSize(0)
	for _, f := range []hpack.HeaderField{{Name: ":method", Value: "POST"}, {Name: ":scheme", Value: "http"}, {Name: ":path", Value: "/"}, {Name: ":authority", Value: "p"}} {
		_ = e.WriteField(f)
	}
	fr := xhttp2.NewFramer(&request, nil)
	_ = fr.WriteSettings()
	send(c, request.String(), nil)
	request.Reset()
	_ = fr.WriteHeaders(xhttp2.HeadersFrameParam{StreamID: 1, BlockFragment: block.Bytes(), EndHeaders: true})
	data := request.Len()
	_ = fr.WriteData(1, true, []byte("abc"))
	out, in, head := request.Bytes(), bufio.NewReader(c), make([]byte, 9)
	id := uint32(1)
	exchange := func() {
		binary.BigEndian.PutUint32(out[5:], id)
		binary.BigEndian.PutUint32(out[data+5:], id)
		if _, err := c.Write(out); err != nil {
			t.Fatal(err)
		}
		for done := false; !done; {
			if _, err := io.ReadFull(in, head); err != nil {
				t.Fatal(err)
			}
			if _, err := in.Discard(int(head[0])<<16 | int(head[1])<<8 | int(head[2])); err != nil {
				t.Fatal(err)
			}
			kind, flags := head[3], head[4]
			if kind == 3 || kind == 7 {
				t.Fatalf("a frame of type %d", kind)
			}
			done = kind == 0 && flags&1 != 0 && binary.BigEndian.Uint32(head[5:]) == id
		}
		id += 2
	}
	for range 500 {
		exchange()
	}
	if n := testing.AllocsPerRun(300, exchange); n != 0 {
		t.Errorf("%v allocations an exchange", n)
	}
}
