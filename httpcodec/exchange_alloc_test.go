package httpcodec

import (
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"kroxy-ev/config"
	"kroxy-ev/engine/accesslog"
	"kroxy-ev/engine/enginetest"
	"kroxy-ev/engine/trace"
	"kroxy-ev/httpcodec/http1/http1test"
	"kroxy-ev/logformat"
)

// AllocsPerRun counts the whole process, including the loop; the peers' own calls allocate nothing.
func TestKeptAliveExchangeDoesNotAllocate(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	getWithID := getRoot[:len(getRoot)-2] + "X-Id: " + strings.Repeat("0", 32) + "\r\n\r\n"
	for _, tc := range []struct{ name, in, up, reply, out string }{
		{"get", getRoot, getRoot, hi, hi},
		{"routed", getRoot, getRoot, hi, hi},   // by conditions that need parsing
		{"hashed", getRoot, getRoot, hi, hi},   // by a key longer than what is kept of a key
		{"logged", getRoot, getWithID, hi, hi}, // with every variable; the ID also goes to the host
		{"post", postRoot + "Content-Length: 3\r\n\r\nabc", postRoot + "Content-Length: 3\r\n\r\nabc", hi, hi},
		{"chunked both ways", postRoot + te + "\r\n3\r\nabc\r\n0\r\n\r\n", postRoot + te + "\r\n3\r\nabc\r\n0\r\n\r\n",
			okHead + te + "\r\n3\r\nabc\r\n0\r\n\r\n", okHead + te + "\r\n3\r\nabc\r\n0\r\n\r\n"},
		{"16 KiB", postRoot + "Content-Length: 16384\r\n\r\n" + strings.Repeat("a", 16384), postRoot + "Content-Length: 16384\r\n\r\n" + strings.Repeat("a", 16384), hi, hi},
		{"pipelined", getRoot + getRoot, getRoot, hi, hi + hi},
		{"own reply", ping, "", "", pingBack},
		{"traced", getRoot, getRoot[:len(getRoot)-2] + "traceparent: " + strings.Repeat("0", 55) + "\r\n\r\n", hi, hi},
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
			r := rig{table: newTable(t)}
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
				s.ProxyReadTimeout, s.Server.KeepaliveTimeout, s.Server.ClientHeaderTimeout, s.Server.ForwardedHeaders = 60e9, 60e9, 60e9, false
				if r.access != nil {
					s.Policies.Request = http1test.Headers(t, "X-Id", "$request_id")
				}
				if tc.name == "hashed" {
					s.Group = hashed(t, s.Group, "hash", "$client_addr $host $request_uri $http_a $cookie_a "+strings.Repeat("long", 20))
				}
				if tc.name == "routed" {
					no := false
					absent := []config.FieldMatch{{Name: "a", Present: &no}}
					s.Table = tableOf(t, config.Match{PathPrefix: []string{"/"}, Header: absent, Query: absent, Cookie: absent})
				}
			}, host)
			if tc.name == "traced" {
				recorder := pooled(t)
				p.loop.Post(func() { p.server.Trace(recorder) })
			}
			c := p.dial()
			in, out := []byte(tc.in), make([]byte, len(tc.out))
			exchange := func() {
				if _, err := c.Write(in); err != nil {
					t.Fatal(err)
				}
				if _, err := io.ReadFull(c, out); err != nil {
					t.Fatal(err)
				}
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

// pooled returns a recorder with a pool of 512 requests, whose exporter discards everything.
func pooled(t *testing.T) *trace.Recorder {
	t.Helper()
	failed := make(chan error, 10)
	e := trace.NewExporter(trace.Options{
		Settings: trace.Settings{URL: "http://127.0.0.1:1"}, Every: time.Hour, Backoff: time.Hour, Report: func(err error) { failed <- err },
	})
	t.Cleanup(func() { e.Close(enginetest.Patience) })
	r := e.NewRecorder()
	r.Sample(1)
	var list []*trace.Request
	for range 512 {
		list = append(list, r.Begin(trace.Context{}, false, 1))
	}
	for _, q := range list {
		q.Texts(make([]byte, 10), make([]byte, 100), nil, nil)
		q.End(2)
	}
	e.Hurry()
	<-failed // all requests are back in the pool, and the exporter waits for its next attempt
	return r
}
