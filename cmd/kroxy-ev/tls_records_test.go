package main_test

import (
	"bufio"
	"crypto/tls"
	"encoding/binary"
	"fmt"
	"io"
	"net/http"
	"sync"
	"testing"
	"time"
)

// spy is a connection below TLS that records the lengths of the records that are read.
type spy struct {
	*watched
	mu      sync.Mutex
	head    []byte // of the record that is being read
	left    int    // bytes of the record after its head
	records []int
}

// recordHead is the length of a record's header (RFC 8446 section 5.1).
const recordHead = 5

func (s *spy) Read(p []byte) (int, error) {
	n, err := s.watched.Read(p)
	s.mu.Lock()
	defer s.mu.Unlock()
	for b := p[:n]; len(b) > 0; {
		if s.left > 0 {
			k := min(s.left, len(b))
			s.left -= k
			b = b[k:]
			continue
		}
		k := min(recordHead-len(s.head), len(b))
		s.head = append(s.head, b[:k]...)
		b = b[k:]
		if len(s.head) == recordHead {
			s.left = int(binary.BigEndian.Uint16(s.head[3:]))
			s.records = append(s.records, s.left)
			s.head = s.head[:0]
		}
	}
	return n, err
}

// take returns the lengths since its last call.
func (s *spy) take() []int {
	s.mu.Lock()
	defer s.mu.Unlock()
	records := s.records
	s.records = nil
	return records
}

// spied connects to the proxy by TLS through a spy.
func (p *proxy) spied(config *tls.Config) (*tls.Conn, *spy) {
	p.t.Helper()
	s := &spy{watched: &watched{TCPConn: p.dial()}}
	c := tls.Client(s, config)
	if err := c.Handshake(); err != nil {
		p.t.Fatal(err)
	}
	return c, s
}

// The first data, and the first after a pause, is sent in records that fit into a segment, so that the reader need not wait for more than one. Bulk data is
// sent in full records, which cost least.
func TestTLSRecordSizes(t *testing.T) {
	t.Parallel()
	const (
		segment   = 1400 // fits into a segment almost everywhere
		first     = 14_000
		whole     = 16 << 10
		most      = 4 << 20
		smallSize = 5000
	)
	a := newAuthority(t)
	id := a.issue("127.0.0.1")
	h := serve(t, "127.0.0.1", func(w http.ResponseWriter, r *http.Request) {
		n := most
		if r.URL.Path == "/small" {
			n = smallSize
		}
		w.Header().Set("Content-Length", fmt.Sprint(n))
		_, _ = io.WriteString(w, bulk[:n])
	})
	for _, mode := range []string{"http", "stream"} {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			eachVersion(t, func(t *testing.T, version uint16) {
				p := start(t, setup{mode: mode, hosts: endpoints(h), settings: id.serverSettings(nil)})
				c, s := p.spied(only(version, a.clientConfig("127.0.0.1")))
				in := bufio.NewReader(c)
				get := func(path string) []int {
					send(t, c, "GET "+path+" HTTP/1.1\r\nHost: a\r\n\r\n")
					reply(t, in, http.MethodGet)
					return s.take()
				}
				begins := func(what string, records []int) {
					t.Helper()
					sent := 0
					for i, n := range records {
						if sent < first && n > segment {
							t.Errorf("%s: record %d, %d bytes from the beginning, has %d bytes", what, i, sent, n)
							return
						}
						sent += n
					}
				}
				inWhole := func(records []int) (full int) {
					for _, n := range records {
						if n >= whole {
							full += n
						}
					}
					return full
				}
				s.take() // those of the handshake
				records := get("/bulk")
				begins("a new connection", records)
				full := inWhole(records)
				for try := 0; full < most/2 && try < 10; try++ { // on a busy machine the host's bytes may arrive in small pieces or late
					full = max(full, inWhole(get("/bulk")))
				}
				if full < most/2 {
					t.Errorf("%d of %d bytes arrived in full records", full, most)
				}
				fewest := smallSize
				for range 10 { // a machine may be slow for a while, which looks like a pause
					fewest = min(fewest, len(get("/small")))
				}
				if fewest > 3 {
					t.Errorf("%d bytes right after others arrived in %d records", smallSize, fewest)
				}
				// No event shows that a pause was long enough. The proxy's limit is a second.
				time.Sleep(1100 * time.Millisecond)
				begins("after a pause", get("/bulk"))
			})
		})
	}
}
