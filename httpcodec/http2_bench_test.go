package httpcodec

import (
	"encoding/binary"
	"io"
	"net"
	"slices"
	"testing"

	"kroxy-ev/engine/enginetest"
)

// Measures a small request by the version of HTTP that its client speaks, including all peers: sixteen at once on one
// connection, or on sixteen connections.
func BenchmarkVersions(b *testing.B) {
	const atOnce = 16
	host := enginetest.Accepting(b, enginetest.Loopback, func(c *net.TCPConn) {
		buf, reply := make([]byte, len(getRoot)), []byte(hi)
		for {
			if _, err := io.ReadFull(c, buf); err != nil {
				return
			}
			if _, err := c.Write(reply); err != nil {
				return
			}
		}
	})
	b.Run("1.1", func(b *testing.B) {
		p := startProxy(b, nil, host)
		var conns []net.Conn
		for range atOnce {
			conns = append(conns, p.dial())
		}
		in, out := []byte(getRoot), make([]byte, len(hi))
		b.ReportAllocs()
		for b.Loop() {
			for _, c := range conns {
				if _, err := c.Write(in); err != nil {
					b.Fatal(err)
				}
			}
			for _, c := range conns {
				if _, err := io.ReadFull(c, out); err != nil {
					b.Fatal(err)
				}
			}
		}
		b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*atOnce), "ns/request")
	})
	b.Run("2", func(b *testing.B) {
		p := startH2C(b, nil, host)
		w := p.wire()
		w.check(w.framer.WriteWindowUpdate(0, 1<<30))
		for id := uint32(1); id <= 3; id += 2 {
			w.ask(id, true, "GET", "/")
			w.get(id)
		}
		one := newRequest(w.block.Bytes(), "")
		in, id, buf := slices.Repeat(one.frames, atOnce), uint32(5), make([]byte, 64<<10)
		b.ReportAllocs()
		for b.Loop() {
			for i := range atOnce {
				binary.BigEndian.PutUint32(in[i*len(one.frames)+one.ids[0]:], id)
				id += 2
			}
			if _, err := w.conn.Write(in); err != nil {
				b.Fatal(err)
			}
			for ended, n := 0, 0; ended < atOnce; {
				k, err := w.conn.Read(buf[n:])
				if err != nil {
					b.Fatal(err)
				}
				var some int
				some, n = ends(buf[:n+k])
				ended += some
			}
		}
		b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*atOnce), "ns/request")
	})
}

// ends counts the streams that end in b, which has frames and the beginning of one, and moves that beginning to the front.
func ends(b []byte) (ended, left int) {
	all := b
	for len(b) >= 9 {
		n := 9 + int(binary.BigEndian.Uint32(b)>>8)
		if n > len(b) {
			break
		}
		if b[3] <= 1 && b[4]&1 != 0 {
			ended++
		}
		b = b[n:]
	}
	return ended, copy(all, b)
}
