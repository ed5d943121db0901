package check

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"time"

	"github.com/valyala/fasthttp"
	"golang.org/x/net/http2/hpack"

	"kroxy-ev/config"
)

const (
	// maxHead bounds the head of a response, like the heads of clients' requests.
	maxHead = 32 << 10
	// agent is the User-Agent of a check.
	agent = "kroxy-ev (health check)"
)

// client makes HTTP checks, one at a time. It keeps no connection alive, because each check must show that the host accepts one.
type client struct {
	http fasthttp.HostClient
	conn net.Conn // the connection of the current check
	body []byte   // config.MaxCheckBody bytes, allocated when first needed
}

func newClient() *client {
	c := new(client)
	c.http = fasthttp.HostClient{
		Addr:                          "host", // required by HostClient, but not used
		DialTimeout:                   func(string, time.Duration) (net.Conn, error) { return c.conn, nil },
		Name:                          agent,
		MaxConns:                      1,
		MaxIdemponentCallAttempts:     1,
		ReadBufferSize:                maxHead,
		StreamResponseBody:            true, // otherwise the whole body would be read
		DisablePathNormalizing:        true,
		DisableHeaderNamesNormalizing: true,
		SecureErrorLogMessage:         true, // errors do not repeat what a host sends
	}
	return c
}

// check requests t's path over conn, and closes conn. A redirect counts by its status, like any other response.
func (c *client) check(ctx context.Context, conn net.Conn, t *Target) error {
	c.conn = conn
	defer func() { c.conn = nil }()
	req, resp := fasthttp.AcquireRequest(), fasthttp.AcquireResponse()
	defer fasthttp.ReleaseRequest(req)
	defer fasthttp.ReleaseResponse(resp)
	req.Header.SetMethod(t.Check.Method)
	req.SetRequestURI("http://host" + t.Check.Path) // with an authority, so that a path that begins with // is not taken for one
	req.Header.SetHost(cmp.Or(t.Check.Host, t.Authority))
	req.UseHostHeader = true
	req.SetConnectionClose()

	deadline, _ := ctx.Deadline()
	if err := c.http.DoDeadline(req, resp, deadline); err != nil {
		return fmt.Errorf("while waiting for a response: %w", err)
	}
	// This closes the connection, even if part of the body is unread.
	defer func() { _ = resp.CloseBodyStream() }()
	if err := t.expects(resp.StatusCode()); err != nil {
		return err
	}
	if t.Check.Body == "" {
		return nil
	}
	stream := resp.BodyStream()
	if stream == nil { // there is no body
		stream = bytes.NewReader(nil)
	}
	return c.find(stream, []byte(t.Check.Body))
}

// checkHTTP2 is like check, over HTTP/2. It does not close conn.
func (c *client) checkHTTP2(ctx context.Context, conn net.Conn, t *Target) error {
	s, err := openStream(ctx, conn, []hpack.HeaderField{
		{Name: ":method", Value: t.Check.Method}, {Name: ":scheme", Value: t.scheme()}, {Name: ":path", Value: t.Check.Path},
		{Name: ":authority", Value: cmp.Or(t.Check.Host, t.Authority)}, {Name: "user-agent", Value: agent},
	}, nil)
	if err != nil {
		return err
	}
	defer s.close()
	status, err := s.begin()
	if err != nil {
		return err
	}
	if err := t.expects(status); err != nil || t.Check.Body == "" {
		return err
	}
	return c.find(s, []byte(t.Check.Body))
}

// expects returns an error if the status is not one that the check expects.
func (t *Target) expects(status int) error {
	if t.Check.Status.Has(status) {
		return nil
	}
	return &failure{fmt.Sprintf("status %d, expected %s", status, ranges(t.Check.Status)), status}
}

// failed returns an error for an answer of the host.
func failed(format string, args ...any) error { return &failure{what: fmt.Sprintf(format, args...)} }

// failure describes what was wrong with a host's answer. It matches errFailed.
type failure struct {
	what   string
	status int // the status, if that was wrong; otherwise 0
}

func (f *failure) Error() string { return f.what }

// Is makes errors.Is match errFailed.
func (f *failure) Is(target error) bool { return target == errFailed }

// Answered reports whether a check failed because of the host's answer, and returns the status if that was the reason, otherwise 0.
func Answered(err error) (status int, ok bool) {
	var f *failure
	if !errors.As(err, &f) {
		return 0, false
	}
	return f.status, true
}

// find looks for want in the first config.MaxCheckBody bytes of a body. It reads no more than necessary.
func (c *client) find(body io.Reader, want []byte) error {
	if c.body == nil {
		c.body = make([]byte, config.MaxCheckBody)
	}
	for n := 0; ; {
		k, err := body.Read(c.body[n:])
		from := max(0, n-len(want)+1)
		n += k
		switch {
		case bytes.Contains(c.body[from:n], want):
			return nil
		case errors.Is(err, io.EOF):
			return failed("the body does not contain %.100q", want)
		case err != nil:
			return fmt.Errorf("while reading the body: %w", err)
		case n == len(c.body):
			return failed("the first %d bytes of the body do not contain %.100q", n, want)
		}
	}
}
