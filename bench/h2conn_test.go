package bench

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"time"
)

// h2Host serves HTTP/2 by answer, with or without TLS.
func h2Host(t *testing.T, secure bool, answer http.HandlerFunc) (addr string) {
	t.Helper()
	s := httptest.NewUnstartedServer(answer)
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.Config.Protocols = new(http.Protocols)
	s.Config.Protocols.SetHTTP2(true)
	s.Config.Protocols.SetUnencryptedHTTP2(true)
	if secure {
		c, _, err := makeCertificates(t.TempDir())
		if err != nil {
			t.Fatal(err)
		}
		pair, err := tls.LoadX509KeyPair(c.Cert, c.Key)
		if err != nil {
			t.Fatal(err)
		}
		s.TLS = &tls.Config{Certificates: []tls.Certificate{pair}, NextProtos: []string{"h2"}}
		s.EnableHTTP2 = true
		s.StartTLS()
	} else {
		s.Start()
	}
	t.Cleanup(s.Close)
	return s.Listener.Addr().String()
}

// answerH2 answers what the hosts of the rows answer, including gRPC.
func answerH2(w http.ResponseWriter, q *http.Request) {
	n, _ := io.Copy(io.Discard, q.Body)
	size, sized := strings.CutPrefix(q.URL.Path, "/bytes/")
	switch {
	case q.Header.Get("Te") == "trailers":
		w.Header().Set("Trailer", "Grpc-Status")
		_, _ = w.Write(grpcMessage(grpcSize))
		w.Header().Set("Grpc-Status", "0")
	case q.Method == http.MethodPost && size == strconv.FormatInt(n, 10):
		_, _ = io.WriteString(w, httpBody)
	case sized && q.Method == http.MethodGet:
		k, _ := strconv.Atoi(size)
		w.Header().Set("Content-Length", size)
		for piece := make([]byte, chunkSize); k > 0; k -= len(piece) {
			_, _ = w.Write(piece[:min(k, len(piece))])
		}
	default:
		_, _ = io.WriteString(w, httpBody)
	}
}

// Which responses an exchange accepts, and which it must reject.
func TestH2Exchange(t *testing.T) {
	t.Parallel()
	for _, secure := range []bool{false, true} {
		j := job{TLS: secure, Addr: h2Host(t, secure, answerH2)}
		for name, tc := range map[string]struct {
			e   h2Exchange
			bad string // part of the error message
		}{
			"small": {h2Small, ""},
			"unary": {h2Unary, ""},
			"post":  {h2Exchange{Path: "/bytes/5", Body: []byte("hello"), Size: 12}, ""},
			"size":  {h2Exchange{Path: "/", Size: 13}, "12 bytes, want 13"},
			"rpc":   {h2Exchange{Path: "/", Size: 12, GRPC: true}, `grpc-status ""`},
			"large": {h2Exchange{Path: "/bytes/100000000", Size: h2Window + 1}, ""}, // small sends h2Small instead
		} {
			j.H2 = tc.e
			if err := j.once(); (err != nil) != (tc.bad != "") || err != nil && !strings.Contains(err.Error(), tc.bad) {
				t.Errorf("%s, TLS %v: %v, want %q", name, secure, err, tc.bad)
			}
		}
	}
	for bad, answer := range map[string]http.HandlerFunc{
		"status 503": func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusServiceUnavailable) },
		"was reset":  func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
	} {
		if err := (job{H2: h2Small, Addr: h2Host(t, false, answer)}).once(); err == nil || !strings.Contains(err.Error(), bad) {
			t.Errorf("%v, want %q", err, bad)
		}
	}
	// It is an error if HTTP/2 is not negotiated.
	addr, _ := tlsHost(t, nil)
	if err := (job{TLS: true, H2: h2Small, Addr: addr}).once(); err == nil || !strings.Contains(err.Error(), "protocol") {
		t.Errorf("a host without HTTP/2: %v", err)
	}
}

// Runs each kind of load that is written in Go over HTTP/2, directly against a host.
func TestLoadsOverHTTP2(t *testing.T) {
	t.Parallel()
	const size = 3*chunkSize + 17
	for _, secure := range []bool{false, true} {
		j := job{TLS: secure, Addr: h2Host(t, secure, answerH2), Conns: 2, Size: size, H2: h2Exchange{Path: fmt.Sprintf("/bytes/%d", size), Size: size}}
		for _, j.Upload = range []bool{false, true} {
			if r, err := atLeast(2, lasting(j, bulk)); err != nil || r.Errors > 0 || r.Ops < 2 || r.Bytes != r.Ops*size {
				t.Errorf("bulk, TLS %v, upload %v: %+v, %v", secure, j.Upload, r, err)
			}
		}
		small := j
		small.H2 = h2Small
		goesOn := func() *bufio.Reader { return bufio.NewReader(strings.NewReader("\n")) }
		if r, err := idle(small, goesOn(), json.NewEncoder(io.Discard)); err != nil || r.Ops != 2 || r.Errors != 0 {
			t.Errorf("idle, TLS %v: %+v, %v", secure, r, err)
		}
		j.Streams, j.H2 = 3, h2Large
		var out bytes.Buffer
		if r, err := slowStreams(j, goesOn(), json.NewEncoder(&out)); err != nil || r.Ops != 6 || r.Errors != 0 {
			t.Errorf("slow streams, TLS %v: %+v, %v", secure, r, err)
		}
		var first result
		if err := json.Unmarshal(out.Bytes(), &first); err != nil || first.Ops != 6 {
			t.Errorf("before the silence: %q, %v", &out, err)
		}
	}
	// A host that breaks connections causes errors, and nothing counts as work.
	addr := h2Host(t, false, func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) })
	j := job{Addr: addr, Conns: 2, Size: size, H2: h2Large}
	if r, err := atLeast(1, lasting(j, bulk)); err != nil || r.Ops != 0 || r.Errors == 0 || r.Failure == "" {
		t.Errorf("bulk from a host that resets: %+v, %v", r, err)
	}
}

// The gRPC host answers calls, several at a time on one connection, with more bytes in total than a flow-control window.
func TestGRPCHost(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go acceptGRPC(l)
	j := job{Addr: l.Addr().String(), H2: h2Unary}
	if err := j.once(); err != nil {
		t.Error(err)
	}
	d, err := j.dialer()
	if err != nil {
		t.Fatal(err)
	}
	n, err := d.dial()
	if err != nil {
		t.Fatal(err)
	}
	defer n.Close()
	c := n.(*h2Conn)
	_ = c.SetDeadline(time.Now().Add(exchangeTimeout))
	large := h2Unary
	large.Body = grpcMessage(10_000)
	const calls = 200 // of 10,000 bytes: twice the host's window
	open, done := 0, 0
	for done < calls {
		for ; open < calls && open < done+6; open++ { // the window of a new connection has room for 6
			if _, err := c.open(large); err != nil {
				t.Fatal(err)
			}
		}
		ev, err := c.next()
		if err != nil {
			t.Fatal(err)
		}
		if ev.end {
			done++
		}
	}
	// A connection that ends is reported as such.
	client, server := net.Pipe()
	_ = client.Close()
	if err := grpcHost(server); !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrClosedPipe) {
		t.Errorf("of a client that says nothing: %v", err)
	}
}
