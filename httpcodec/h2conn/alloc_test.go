//go:build !race

package h2conn

import (
	"encoding/binary"
	"io"
	"testing"

	"kroxy-ev/engine"
	"kroxy-ev/httpcodec/http2"
)

// steady is an owner that responds at once and allocates nothing.
type steady struct {
	script
	conns []*steadyStream
}

type steadyStream struct {
	v    *steady
	conn engine.Conn
	buf  [4096]byte
}

var steadyAnswer = []byte("HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 2\r\n\r\nok")

func (v *steady) Opened(s *Stream) {
	n := len(v.conns)
	p := v.conns[n-1]
	v.conns = v.conns[:n-1]
	s.Attach(&p.conn, p)
}

func (p *steadyStream) Expired(*engine.Timer) {}

func (p *steadyStream) Ready(*engine.Conn) {
	for p.conn.Readable() {
		if _, err := p.conn.Read(p.buf[:]); err != nil {
			break
		}
	}
	_, _ = p.conn.Write(steadyAnswer)
	p.conn.Close()
	p.v.conns = append(p.v.conns, p)
}

// A request whose fields are in the HPACK table allocates nothing.
func TestNoAllocation(t *testing.T) {
	v := &steady{}
	v.answer = small
	for range 4 {
		v.conns = append(v.conns, &steadyStream{v: v})
	}
	p := serveOwner(t, &v.script, v, usual, Timeouts{}).greet()
	p.head(1, true)
	p.expect("headers 1", "data 1 2 end")
	p.head(3, true) // its fields are in the table now
	p.expect("headers 3", "data 3 2 end")
	block := append([]byte(nil), p.block.Bytes()...)
	id := uint32(5)
	frame := append(http2.AppendHead(nil, id, block, true, http2.MaxFrame), http2.AppendWindowUpdate(nil, 0, 2)...)
	buf := make([]byte, 1<<10)
	once := func() {
		binary.BigEndian.PutUint32(frame[5:], id)
		id += 2
		if _, err := p.Write(frame); err != nil {
			t.Fatal(err)
		}
		for { // read frames until one ends the stream
			if _, err := io.ReadFull(p.Conn, buf[:http2.HeaderLen]); err != nil {
				t.Fatal(err)
			}
			n := int(buf[0])<<16 | int(buf[1])<<8 | int(buf[2])
			last := http2.Type(buf[3]) == http2.Data
			if _, err := io.ReadFull(p.Conn, buf[:n]); err != nil {
				t.Fatal(err)
			}
			if last {
				return
			}
		}
	}
	for range 2 * maxClosed {
		once()
	}
	if n := testing.AllocsPerRun(500, once); n > 0 {
		t.Errorf("%v allocations a request", n)
	}
}
