package check

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"kroxy-ev/config"
)

const (
	// maxAnswer bounds all that a host sends over HTTP/2 for one check: two heads, the content that is searched, and the overhead of the
	// protocol.
	maxAnswer = 2*maxHead + 2*config.MaxCheckBody
	// window is the flow-control window for content; it is never enlarged.
	window = 2 * config.MaxCheckBody
	// ownStream is the ID of the only stream on a check's connection.
	ownStream = 1
	// alpn is the name of HTTP/2 over TLS (RFC 9113 section 3.2).
	alpn = "h2"
)

// stream is one request and response over HTTP/2 on a connection of its own. It is an io.Reader of the response's content.
type stream struct {
	conn   net.Conn
	left   io.LimitedReader
	in     *bufio.Reader
	framer *http2.Framer

	head        []hpack.HeaderField // of the final response (not 1xx); nil until it has come
	trailer     []hpack.HeaderField
	content     []byte // the rest of the last DATA frame
	gotSettings bool   // the host has sent a frame
	ended       bool   // the response is complete
}

// openStream sends a request with these fields and this content over conn, and returns the stream of the response. ctx's deadline
// bounds all later reads and writes.
func openStream(ctx context.Context, conn net.Conn, fields []hpack.HeaderField, content []byte) (*stream, error) {
	s := &stream{conn: conn, left: io.LimitedReader{R: conn, N: maxAnswer}}
	s.in = bufio.NewReader(&s.left)
	var out, block bytes.Buffer
	encoder := hpack.NewEncoder(&block)
	for _, f := range fields {
		_ = encoder.WriteField(f) // a buffer never fails
	}
	out.WriteString(http2.ClientPreface)
	s.framer = http2.NewFramer(&out, s.in)
	s.framer.SetMaxReadFrameSize(16 << 10) // the default, so the host must respect it
	s.framer.ReadMetaHeaders = hpack.NewDecoder(4<<10, nil)
	s.framer.MaxHeaderListSize = maxHead
	// The host's limits are not known yet; the initial values are enough (RFC 9113 section 6.5.2).
	err := errors.Join(
		s.framer.WriteSettings(http2.Setting{ID: http2.SettingEnablePush}, http2.Setting{ID: http2.SettingInitialWindowSize, Val: window},
			http2.Setting{ID: http2.SettingMaxHeaderListSize, Val: maxHead}),
		s.framer.WriteWindowUpdate(0, window),
		s.framer.WriteHeaders(http2.HeadersFrameParam{StreamID: ownStream, BlockFragment: block.Bytes(), EndHeaders: true, EndStream: content == nil}),
	)
	if content != nil {
		err = errors.Join(err, s.framer.WriteData(ownStream, true, content))
	}
	if err != nil {
		return nil, err
	}
	deadline, _ := ctx.Deadline()
	if err := conn.SetDeadline(deadline); err != nil {
		return nil, err
	}
	if _, err := conn.Write(out.Bytes()); err != nil {
		return nil, fmt.Errorf("while sending a request: %w", err)
	}
	return s, nil
}

// begin waits for the head of the response, and returns the status.
func (s *stream) begin() (status int, err error) {
	for s.head == nil {
		if err := s.step(); err != nil {
			return 0, err
		}
	}
	status, err = strconv.Atoi(field(s.head, ":status"))
	if err != nil || status < 200 || status > 999 {
		return 0, failed("the response has no status")
	}
	return status, nil
}

// Read reads content. It returns io.EOF when the response is complete.
func (s *stream) Read(p []byte) (int, error) {
	for len(s.content) == 0 {
		if s.ended {
			return 0, io.EOF
		}
		if err := s.step(); err != nil {
			return 0, err
		}
	}
	n := copy(p, s.content)
	s.content = s.content[n:]
	return n, nil
}

// close sends GOAWAY. The caller must close the connection.
func (s *stream) close() {
	var out bytes.Buffer
	if http2.NewFramer(&out, nil).WriteGoAway(0, http2.ErrCodeNo, nil) == nil {
		_, _ = s.conn.Write(out.Bytes())
	}
}

// step reads a frame, and replies to it if it requires a reply.
func (s *stream) step() error {
	if !s.gotSettings {
		if err := s.recognize(); err != nil {
			return err
		}
	}
	frame, err := s.framer.ReadFrame()
	if err != nil {
		return s.failed(err)
	}
	if _, is := frame.(*http2.SettingsFrame); !s.gotSettings && !is {
		return failed("the host's answer does not begin like HTTP/2: the port may serve another protocol")
	}
	s.gotSettings = true
	switch f := frame.(type) {
	case *http2.SettingsFrame:
		if f.IsAck() {
			return nil
		}
		return s.write(func(w *http2.Framer) error { return w.WriteSettingsAck() })
	case *http2.PingFrame:
		if f.IsAck() {
			return nil
		}
		return s.write(func(w *http2.Framer) error { return w.WritePing(true, f.Data) })
	case *http2.GoAwayFrame:
		if f.LastStreamID < ownStream {
			return failed("the host refused all requests on a new connection (GOAWAY, %v)", f.ErrCode)
		}
	case *http2.RSTStreamFrame:
		if f.StreamID == ownStream {
			return failed("the host reset the request (RST_STREAM, %v)", f.ErrCode)
		}
	case *http2.MetaHeadersFrame:
		return s.take(f)
	case *http2.DataFrame:
		if s.head == nil || f.StreamID != ownStream {
			return failed("the host's response has content before its head")
		}
		s.content, s.ended = f.Data(), f.StreamEnded()
	}
	return nil
}

// take handles a head or trailers.
func (s *stream) take(f *http2.MetaHeadersFrame) error {
	switch {
	case f.StreamID != ownStream:
		return failed("the host answered a request that was not sent")
	case f.Truncated:
		return failed("the head of the response is longer than %d bytes", maxHead)
	case s.head != nil:
		s.trailer, s.ended = f.Fields, true
	case len(f.PseudoValue("status")) == 3 && f.PseudoValue("status")[0] == '1' && !f.StreamEnded(): // interim
	default:
		s.head, s.ended = f.Fields, f.StreamEnded()
	}
	return nil
}

// write writes a frame.
func (s *stream) write(frame func(*http2.Framer) error) error {
	var out bytes.Buffer
	if err := frame(http2.NewFramer(&out, nil)); err != nil {
		return err
	}
	if _, err := s.conn.Write(out.Bytes()); err != nil {
		return fmt.Errorf("while waiting for a response: %w", err)
	}
	return nil
}

// recognize checks whether the host's first bytes belong to a protocol that is easily confused with HTTP/2.
func (s *stream) recognize() error {
	begin, err := s.in.Peek(len("HTTP/"))
	switch {
	case string(begin) == "HTTP/":
		return failed(`the host answers in HTTP/1: it does not speak HTTP/2 on this port, or it expects TLS ("proxy_tls_enabled")`)
	case len(begin) > 1 && begin[0] == 21 && begin[1] == 3: // an alert (RFC 8446 section 5.1)
		return failed(`the host answers in TLS: write "proxy_tls_enabled": true`)
	case errors.Is(err, io.EOF):
		return fmt.Errorf("the host ended the connection without an answer: it may not speak HTTP/2 on this port, or it may expect TLS: %w", io.ErrUnexpectedEOF)
	case err != nil:
		return fmt.Errorf("while waiting for a response: %w", err)
	}
	return nil
}

// failed explains why no further frame could be read.
func (s *stream) failed(err error) error {
	var conn http2.ConnectionError
	var stream http2.StreamError
	switch {
	case s.left.N <= 0:
		return failed("the host has sent more than %d bytes without a complete response", maxAnswer)
	case errors.As(err, &conn), errors.As(err, &stream), errors.Is(err, http2.ErrFrameTooLarge):
		return failed("the host's answer is malformed: %v", err)
	}
	return fmt.Errorf("while waiting for a response: %w", err)
}

// field returns the value of the first field of that name; "" if there is none.
func field(list []hpack.HeaderField, name string) string {
	for _, f := range list {
		if f.Name == name {
			return f.Value
		}
	}
	return ""
}
