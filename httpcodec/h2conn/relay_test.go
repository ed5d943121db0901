package h2conn

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"kroxy-ev/engine"
	"kroxy-ev/engine/enginetest"
	"kroxy-ev/httpcodec/http2"
)

// relay is the simplest user of both roles: what a client's stream receives is passed unchanged to a stream to the host, and back.
type relay struct {
	muxer  *Muxer
	host   netip.AddrPort
	limits Limits

	clients atomic.Int64 // open connections
	down    *Conn
	downEnd engine.Conn
}

// relayClient is a client's connection.
type relayClient struct {
	r      *relay
	socket engine.Conn
}

func (c *relayClient) Refused(*http2.Error) {}
func (c *relayClient) Changed()             {}
func (c *relayClient) Closed(error)         { c.r.clients.Add(-1) }

func (c *relayClient) Opened(s *Stream) {
	p := &relayed{stream: s}
	s.Attach(&p.client, p)
	if !c.r.down.Open(&p.host, p) {
		p.client.Reset()
	}
}

// relayed is a pair of streams.
type relayed struct {
	stream       *Stream
	client, host engine.Conn
	up, down     []byte // what the other side has not taken
}

func (p *relayed) Expired(*engine.Timer) {}

func (p *relayed) Ready(*engine.Conn) {
	if !p.client.Open() || !p.host.Open() {
		return
	}
	if !p.pump(&p.client, &p.host, &p.up) || !p.pump(&p.host, &p.client, &p.down) {
		p.client.Reset()
		p.host.Reset()
		return
	}
	if p.stream.framing == framingOver {
		p.client.Close()
		p.host.Close()
	}
}

func (p *relayed) pump(from, to *engine.Conn, held *[]byte) bool {
	for {
		if len(*held) > 0 {
			if !to.Writable() {
				return true
			}
			n, err := to.Write(*held)
			*held = (*held)[n:]
			if err != nil {
				return again(err) || errors.Is(err, errOver)
			}
		}
		if !from.Readable() {
			return true
		}
		b := make([]byte, 20000)
		n, err := from.Read(b)
		if err != nil {
			if errors.Is(err, io.EOF) {
				return to.CloseWrite() == nil
			}
			return again(err)
		}
		*held = b[:n]
	}
}

type relayHost struct{ greeted chan struct{} }

func (h relayHost) Opened(*Stream)       {}
func (h relayHost) Refused(*http2.Error) {}
func (h relayHost) Changed()             { close(h.greeted) }
func (h relayHost) Closed(error)         {}

// newRelay runs a relay to h, and returns a client of it.
func newRelay(t *testing.T, limits Limits, h http.Handler) (*relay, *http.Client, string) {
	t.Helper()
	l, err := net.Listen("tcp4", enginetest.Loopback)
	if err != nil {
		t.Fatal(err)
	}
	host := &http.Server{Handler: h, Protocols: new(http.Protocols)}
	host.Protocols.SetUnencryptedHTTP2(true)
	go func() { _ = host.Serve(l) }()
	t.Cleanup(func() { _ = host.Close() })

	loop, err := engine.NewLoop(engine.Options{})
	if err != nil {
		t.Fatal(err)
	}
	r := &relay{muxer: NewMuxer(loop), host: netip.MustParseAddrPort(l.Addr().String()), limits: limits}
	front := enginetest.Accepting(t, enginetest.Loopback, func(c *net.TCPConn) {
		f, err := c.File()
		if err != nil {
			return
		}
		gone := make(chan struct{})
		loop.Post(func() {
			defer close(gone)
			fd := dup(int(f.Fd()))
			rc := &relayClient{r: r}
			if err := loop.Attach(&rc.socket, fd, nopHandler{}); err != nil {
				t.Error(err)
				return
			}
			r.clients.Add(1)
			r.muxer.Serve(&rc.socket, rc, &r.limits, Timeouts{})
		})
		<-gone
		_ = f.Close()
	})
	up := make(chan struct{})
	loop.Post(func() {
		fd, err := dial(r.host)
		if err != nil {
			t.Error(err)
			return
		}
		if err := loop.Attach(&r.downEnd, fd, nopHandler{}); err != nil {
			t.Error(err)
		}
		to := r.limits
		to.MaxStreams = 100
		r.down = r.muxer.Dial(&r.downEnd, relayHost{up}, &to, Timeouts{})
	})
	done := make(chan struct{})
	go func() { defer close(done); _ = loop.Run() }()
	<-up
	t.Cleanup(func() {
		loop.Post(func() { r.down.Abort(ErrAborted) })
		loop.Stop()
		<-done
		loop.Close()
	})
	transport := &http.Transport{MaxConnsPerHost: 1, Protocols: host.Protocols}
	t.Cleanup(transport.CloseIdleConnections)
	return r, &http.Client{Transport: transport}, "http://" + front.String()
}

type nopHandler struct{}

func (nopHandler) Ready(*engine.Conn)    {}
func (nopHandler) Expired(*engine.Timer) {}

// Messages pass through both roles unchanged: heads, bodies of known and unknown length, trailers, many at once.
func TestRelay(t *testing.T) {
	t.Parallel()
	for _, limits := range []Limits{{100, 65535, 65535}, {7, 1 << 20, 1 << 20}} {
		_, c, url := newRelay(t, limits, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			body, err := io.ReadAll(r.Body)
			if err != nil {
				t.Errorf("the host reads %v", err)
			}
			w.Header().Set("X-Trailer", r.Trailer.Get("X-Up"))
			w.Header().Set("Trailer", "X-Down")
			if r.URL.Query().Has("length") {
				w.Header().Set("Content-Length", fmt.Sprint(len(body)))
			}
			_, _ = w.Write(body)
			w.Header().Set("X-Down", "there")
		}))
		if res, err := c.Get(url); err != nil { // so that the client knows how many streams it may open
			t.Fatal(err)
		} else {
			_ = res.Body.Close()
		}
		var all sync.WaitGroup
		turn := make(chan struct{}, limits.MaxStreams)
		for i := range 40 {
			all.Go(func() {
				turn <- struct{}{}
				defer func() { <-turn }()
				size := []int{0, 1, 100, 16384, 100_000, 1_000_000}[i%6]
				body := bytes.Repeat([]byte{byte(i)}, size)
				path := "/?length"
				var in io.Reader = bytes.NewReader(body)
				if i%2 == 1 {
					path, in = "/", io.MultiReader(in) // of unknown length
				}
				req, err := http.NewRequest("POST", url+path, in)
				if err != nil {
					t.Error(err)
					return
				}
				if i%2 == 1 {
					req.Trailer = http.Header{"X-Up": {"sent"}}
				}
				res, err := c.Do(req)
				if err != nil {
					t.Errorf("%d: %v", size, err)
					return
				}
				defer res.Body.Close()
				got, err := io.ReadAll(res.Body)
				if err != nil || !bytes.Equal(got, body) {
					t.Errorf("%s of %d: %d bytes, %v", path, size, len(got), err)
				}
				if i%2 == 1 && (res.Header.Get("X-Trailer") != "sent" || res.Trailer.Get("X-Down") != "there") {
					t.Errorf("trailers %v, %v", res.Header, res.Trailer)
				}
			})
		}
		all.Wait()
	}
}

// The head of a response to HEAD, or of one without content, ends the stream.
func TestRelayWithoutContent(t *testing.T) {
	t.Parallel()
	_, c, url := newRelay(t, Limits{100, 65535, 65535}, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, "/none") {
			w.WriteHeader(http.StatusNoContent)
			return
		}
		w.Header().Set("Content-Length", "7")
	}))
	for _, tt := range []struct {
		method, path string
		status       int
		length       int64
	}{{"HEAD", "/", 200, 7}, {"GET", "/none", 204, 0}, {"OPTIONS", "/none", 204, 0}} {
		req, err := http.NewRequest(tt.method, url+tt.path, nil)
		if err != nil {
			t.Fatal(err)
		}
		res, err := c.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		_ = res.Body.Close()
		if res.StatusCode != tt.status || res.ContentLength != tt.length {
			t.Errorf("%s %s: %d, %d", tt.method, tt.path, res.StatusCode, res.ContentLength)
		}
	}
}
