package httpcodec

import (
	"bufio"
	"errors"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"

	"kroxy-ev/httpcodec/http1/http1test"
)

// verdict has what is known about one run.
type verdict struct {
	t        *testing.T
	in, got  string // of the client
	ending   string
	conns    []*tapped
	log      []exchanged
	failures []string
}

func (v *verdict) fail(format string, args ...any) {
	v.t.Helper()
	v.t.Errorf(format, args...)
	v.t.Logf("client sent %q\ngot %q, %s\nlog %+v\nfailures %q", v.in, v.got, v.ending, v.log, v.failures)
	for _, c := range v.conns {
		v.t.Logf("host got %q, ended with %v; part %v, closed %v, lost %v, tail %q, bad: %v; requests %+v", c.raw.String(), c.end, c.part, c.closed, c.lost, c.tail, c.bad, c.requests)
	}
}

// checkHost compares what the host saw with the log: each exchange that sent something sent exactly one complete request, or a
// part of one followed by a reset.
func (v *verdict) checkHost() {
	var sent, seen, hidden, repeats int
	var sentBytes, seenBytes int64
	for _, e := range v.log {
		if e.up > 0 {
			sent++
			sentBytes += e.up
		}
	}
	for _, c := range v.conns {
		how := endingOf(c.end)
		if c.bad != nil {
			v.fail("no request: %v", c.bad)
		}
		if c.part {
			seen++
			if !c.closed && how != "reset" {
				v.fail("a request was cut off, and the connection ended with %s", how)
			}
		}
		if c.part && c.closed {
			repeats++
		}
		if c.lost || how == "reset" {
			hidden++ // a reset destroys what is on its way
		}
		for _, r := range c.requests {
			seen++
			if r.used && (r.reply == "" || r.reply == closes || strings.HasSuffix(r.reply, resets)) {
				repeats++
			}
			if f := r.header["X-Forwarded-For"]; !slices.Equal(f, []string{"127.0.0.1"}) {
				v.fail("X-Forwarded-For is %q", f)
			}
			for name := range r.header {
				if http1test.Protected(name) && name != "X-Forwarded-For" && name != "X-Forwarded-Proto" && name != "X-Forwarded-Host" {
					v.fail("the host is told %s by a stranger", name)
				}
			}
		}
		seenBytes += int64(c.raw.Len())
	}
	if seen < sent-hidden || seen > sent+repeats {
		v.fail("%d exchanges have sent a request, the host saw %d; %d may have been lost and %d repeated", sent, seen, hidden, repeats)
	}
	if seenBytes > sentBytes || seenBytes < sentBytes && hidden == 0 {
		v.fail("the proxy counts %d bytes to the host, and that counts %d", sentBytes, seenBytes)
	}
}

// whole lists what the host saw, by exchange, if that is certain.
func (v *verdict) whole() map[int]seenRequest {
	var all []seenRequest
	for _, c := range v.conns {
		if c.part || c.lost {
			return nil
		}
		all = append(all, c.requests...)
	}
	slices.SortFunc(all, func(a, b seenRequest) int { return a.order - b.order })
	m := map[int]seenRequest{}
	for i, e := range v.log {
		if e.up > 0 && len(m) < len(all) {
			m[i] = all[len(m)]
		} else if e.up > 0 {
			return nil
		}
	}
	if len(m) < len(all) {
		return nil
	}
	return m
}

// checkClient compares what the client received with the log, and both with what passed through the host.
func (v *verdict) checkClient() {
	asked := strings.NewReader(v.in)
	requests := bufio.NewReader(asked)
	got := bufio.NewReader(strings.NewReader(v.got))
	whole, readable, ordered, closing := v.whole(), true, true, false
	var down int64
	for i, e := range v.log {
		down += e.down
		// The request as net/http parses it. net/http may refuse what the proxy accepts, but must not parse it differently.
		var body []byte
		if readable {
			req, err := http.ReadRequest(requests)
			if err == nil {
				body, err = io.ReadAll(req.Body)
			}
			readable = err == nil
			if errors.Is(err, io.EOF) && e.up > 0 {
				v.fail("exchange %d was sent, and the client asked for nothing more", i)
			}
			if readable && req.Method != e.method && e.method != "-" {
				v.fail("exchange %d is %s, the client asked for %s", i, e.method, req.Method)
			}
		}
		host, certain := whole[i]
		if certain && (host.method != e.method || readable && host.body != string(body)) {
			v.fail("exchange %d: the host got %s with %q, the client sent %s with %q", i, host.method, host.body, e.method, body)
		}
		last := i == len(v.log)-1
		if e.status == 0 || e.status == statusClientAbort { // nothing would show that the response is incomplete
			if inHead := e.status != 0 && e.up+e.down == 0; !last || v.ending != "reset" && !inHead {
				v.fail("exchange %d failed without a response, and the client's connection ended with %s", i, v.ending)
			}
			return
		}
		res, content, err := readFinal(got, e.method)
		switch {
		case err != nil && (!last || v.ending != "reset" && len(v.failures) == 0):
			v.fail("response %d: %v, and the connection ended with %s", i, err, v.ending)
			return
		case err != nil:
			return
		case res.StatusCode != e.status:
			v.fail("response %d: %d, logged %d", i, res.StatusCode, e.status)
		}
		closing = res.Close
		if closing && !last {
			v.fail("response %d says close, and is not the last", i)
		}
		if ordered && certain && e.status < 400 && v.ending == "eof" {
			reply := strings.TrimSuffix(strings.TrimSuffix(strings.TrimPrefix(host.reply, early), closes), resets)
			said, want, err := readFinal(bufio.NewReader(strings.NewReader(reply)), e.method)
			if err != nil && (http1test.Repeats.MatchString(reply) || http1test.Spaced.MatchString(reply)) {
				ordered = false // net/http refuses some valid responses of hosts, so the end is unknown
			} else if err != nil || said.StatusCode != e.status || want != content {
				v.fail("response %d: the client got %d with %q of %q (%v)", i, e.status, content, reply, err)
			}
		}
		// Bytes that arrive late after a response are taken for the next one: nothing distinguishes them.
		ordered = ordered && !host.excess
		if e.status == 101 {
			v.checkTunnel(last, readable, v.in[len(v.in)-asked.Len()-requests.Buffered():])
			return
		}
	}
	if rest, _ := io.ReadAll(got); len(rest) > 0 {
		v.fail("the client got %q behind the last response", rest)
	}
	v.checkTunnel(true, true, "")
	if n := int64(len(v.got)); n > down || n < down && v.ending == "eof" {
		v.fail("the proxy counts %d bytes to the client, and that counts %d", down, n)
	}
	if v.ending == "reset" && len(v.failures) == 0 && !closing {
		v.fail("a reset without a reason")
	}
}

// checkTunnel checks what passed through the tunnel, of which there is at most one.
func (v *verdict) checkTunnel(last, readable bool, rest string) {
	if !last {
		v.fail("an exchange behind a tunnel")
	}
	for _, c := range v.conns {
		if endingOf(c.end) == "reset" || c.lost {
			readable = false
		}
		if !strings.HasPrefix(rest, c.tail) && (readable || !strings.HasSuffix(v.in, c.tail)) || readable && c.switched && c.tail != rest && rest != "" {
			v.fail("the host got %q by the tunnel, of %q", c.tail, rest)
		}
	}
}

// readFinal reads a response to method, skipping 1xx responses.
func readFinal(in *bufio.Reader, method string) (*http.Response, string, error) {
	for {
		res, err := http.ReadResponse(in, &http.Request{Method: method})
		if err != nil {
			return nil, "", err
		}
		if res.StatusCode < 200 && res.StatusCode != 101 {
			continue
		}
		body, err := io.ReadAll(res.Body)
		return res, string(body), err
	}
}
