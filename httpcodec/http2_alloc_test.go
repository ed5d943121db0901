package httpcodec

import (
	"encoding/binary"
	"io"
	"net"
	"strings"
	"testing"

	xhttp2 "golang.org/x/net/http2"

	"kroxy-ev/engine/accesslog"
	"kroxy-ev/engine/enginetest"
	"kroxy-ev/httpcodec/http1/http1test"
	"kroxy-ev/logformat"
)

// A stream whose heads are in the HPACK table allocates nothing. AllocsPerRun counts the whole process; the peers' own calls
// allocate nothing.
func TestHTTP2ExchangeDoesNotAllocate(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	const (
		getP   = "GET / HTTP/1.1\r\nhost: p\r\n\r\n"
		postP  = "POST / HTTP/1.1\r\nhost: p\r\n"
		chunks = te + "\r\n3\r\nabc\r\n0\r\n\r\n"
	)
	long := strings.Repeat("a", 16384)
	for _, tc := range []struct {
		name, method, path, body, up, reply string
		fields                              []string
	}{
		{"get", "GET", "/", "", getP, hi, nil},
		{"logged", "GET", "/", "", getP[:len(getP)-2] + "X-Id: " + strings.Repeat("0", 32) + "\r\n\r\n", hi, nil},
		{"chunked both ways", "POST", "/", "abc", postP + chunks, okHead + chunks, nil},
		{"16 KiB", "GET", "/", "", getP, okHead + "Content-Length: 16384\r\n\r\n" + long, nil},
		{"16 KiB up", "POST", "/", long, postP + te + "\r\n4000\r\n" + long + "\r\n0\r\n\r\n", hi, nil},
		{"own reply", "OPTIONS", "*", "", "", "", []string{"max-forwards: 0"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			host := enginetest.Accepting(t, enginetest.Loopback, func(c *net.TCPConn) {
				buf, reply := make([]byte, max(1, len(tc.up))), []byte(tc.reply)
				for {
					if _, err := io.ReadFull(c, buf); err != nil {
						return
					}
					if _, err := c.Write(reply); err != nil {
						return
					}
				}
			})
			r := rig{table: newTable(t), opts: EntryOptions{Protocols: H2C}}
			if tc.name == "logged" {
				format, err := logformat.Compile(logformat.WordJSON, logformat.HTTP)
				if err != nil {
					t.Fatal(err)
				}
				log := accesslog.New("test", io.Discard, accesslog.Options{BufferSize: 16 << 10})
				t.Cleanup(func() { _ = log.Close(enginetest.Patience) })
				r.access = log.NewBuffer(format)
			}
			p := r.start(t, func(s *flat) {
				s.ProxyReadTimeout, s.Server.KeepaliveTimeout, s.Server.ClientHeaderTimeout = 60e9, 60e9, 60e9
				if r.access != nil {
					s.Policies.Request = http1test.Headers(t, "X-Id", "$request_id")
				}
			}, host)
			w := p.wire()
			w.check(w.framer.WriteWindowUpdate(0, 1<<30))
			for id := uint32(1); id <= 3; id += 2 { // the second block has nothing new
				w.ask(id, tc.body == "", tc.method, tc.path, tc.fields...)
				if tc.body != "" {
					w.data(id, true, tc.body)
				}
				w.get(id)
			}
			request := newRequest(w.block.Bytes(), tc.body)
			id, buf := uint32(5), make([]byte, 32<<10)
			exchange := func() {
				request.send(t, w.conn, id)
				awaitEnd(t, w.conn, id, buf)
				id += 2
			}
			for range 200 {
				exchange()
			}
			if n := testing.AllocsPerRun(300, exchange); n != 0 {
				t.Errorf("%v allocations, want none", n)
			}
		})
	}
}

// request has the frames of a request on any stream.
type request struct {
	frames []byte
	ids    []int // where the stream's number is
}

func newRequest(block []byte, body string) *request {
	r := &request{}
	flags := xhttp2.FlagHeadersEndHeaders
	if body == "" {
		flags |= xhttp2.FlagHeadersEndStream
	}
	r.add(xhttp2.FrameHeaders, flags, string(block))
	if body != "" {
		r.add(xhttp2.FrameData, xhttp2.FlagDataEndStream, body)
	}
	return r
}

func (r *request) add(kind xhttp2.FrameType, flags xhttp2.Flags, payload string) {
	n := len(payload)
	r.frames = append(r.frames, byte(n>>16), byte(n>>8), byte(n), byte(kind), byte(flags))
	r.ids = append(r.ids, len(r.frames))
	r.frames = append(append(r.frames, 0, 0, 0, 0), payload...)
}

func (r *request) send(t *testing.T, c net.Conn, id uint32) {
	for _, at := range r.ids {
		binary.BigEndian.PutUint32(r.frames[at:], id)
	}
	if _, err := c.Write(r.frames); err != nil {
		t.Fatal(err)
	}
}

// awaitEnd reads frames until the stream ends.
func awaitEnd(t *testing.T, c net.Conn, id uint32, buf []byte) {
	for {
		head := buf[:9]
		if _, err := io.ReadFull(c, head); err != nil {
			t.Fatal(err)
		}
		kind, flags, stream := xhttp2.FrameType(head[3]), xhttp2.Flags(head[4]), binary.BigEndian.Uint32(head[5:])
		n := int(head[0])<<16 | int(head[1])<<8 | int(head[2])
		if _, err := io.ReadFull(c, buf[:n]); err != nil {
			t.Fatal(err)
		}
		if kind == xhttp2.FrameRSTStream || kind == xhttp2.FrameGoAway {
			t.Fatalf("got %v %q", kind, buf[:n])
		}
		if stream == id && (kind == xhttp2.FrameHeaders || kind == xhttp2.FrameData) && flags.Has(xhttp2.FlagDataEndStream) {
			return
		}
	}
}
