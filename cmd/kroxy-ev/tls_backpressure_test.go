package main_test

import (
	"errors"
	"io"
	"testing"
	"time"
)

// A TLS peer that reads nothing times out, and the truncated stream does not look complete.
func TestTLSSendTimeouts(t *testing.T) {
	t.Parallel()
	a := newAuthority(t)
	id := a.issue("127.0.0.1")
	for spoken, w := range ways {
		for name, test := range map[string]struct {
			setting  string
			fromHost bool
		}{
			"client reads nothing": {"send_timeout", true},
			"host reads nothing":   {"proxy_send_timeout", false},
		} {
			t.Run(spoken+", "+name, func(t *testing.T) {
				t.Parallel()
				h := listen(t, "127.0.0.1", nil)
				p := start(t, w.setup(endpoints(h), id, a, settings{test.setting: short}))
				open := p.sockets()
				source, sink := w.connect(p, h, id, a)
				if test.fromHost {
					source, sink = sink, source
				}
				begin := time.Now()
				writeUntilCut(source)
				notBefore(t, begin, short*time.Millisecond)
				if n, err := io.Copy(io.Discard, sink); err == nil && !truncated(sink) {
					t.Errorf("the sink read %d bytes and a regular end of a truncated stream", n)
				}
				p.awaitSockets(t, "the session's sockets are closed", func(n int) bool { return n <= open })
			})
		}
	}
}

// If one side does not read, the proxy does not read from the other. The data waits in the kernel, and nothing is lost in the end.
func TestTLSBackpressure(t *testing.T) {
	skipUnderRace(t, "it is about memory, of which the race detector has its own")
	a := newAuthority(t)
	id := a.issue("127.0.0.1")
	for spoken, w := range ways {
		for _, from := range []string{"client", "host"} {
			t.Run(spoken+", from the "+from, func(t *testing.T) {
				h := listen(t, "127.0.0.1", nil)
				p := start(t, w.setup(endpoints(h), id, a, settings{"reactors_num": 1}))
				const n = 8
				var sources, sinks [n]halfCloser
				for i := range n {
					client, server := w.connect(p, h, id, a)
					// Some data has passed in both directions.
					send(t, client, "hello")
					expect(t, server, "hello")
					send(t, server, "hello")
					expect(t, client, "hello")
					sources[i], sinks[i] = client, server
					if from == "host" {
						sources[i], sinks[i] = server, client
					}
				}
				memory := p.status("VmRSS")
				failed := make(chan error, n)
				for i, c := range sources {
					go func() {
						failed <- transferMode{pieces: 64 << 10}.writeStream(c, uint64(i), newStream(int64(i), 16<<20))
					}()
				}
				eventually(t, "nothing moves any more", func() bool {
					used := p.cpu()
					time.Sleep(200 * time.Millisecond)
					return p.cpu() == used
				})
				if grown := p.status("VmRSS") - memory; grown > n*1024 {
					t.Errorf("%d KiB of memory for %d blocked connections", grown, n)
				}
				p.expectIdle(100 * time.Millisecond)
				var errs []error
				for i, c := range sinks {
					errs = append(errs, transferMode{pieces: 256 << 10}.readStream(c, int64(i), 16<<20))
				}
				for range n {
					errs = append(errs, <-failed)
				}
				if err := errors.Join(errs...); err != nil {
					t.Error(err)
				}
			})
		}
	}
}
