package bench

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// h2Exchange is an HTTP/2 request and the expected response: status 200 and a body of Size bytes.
type h2Exchange struct {
	Path   string
	Fields []string // of the head, "name: value", in addition to the common ones
	Body   []byte   // nil: GET, otherwise POST
	Size   int64    // of the response's body
	GRPC   bool     // the response must end with a trailer that reports success
}

var (
	h2Small = h2Exchange{Path: "/", Size: int64(len(httpBody))}
	h2Large = h2Exchange{Path: fmt.Sprintf("/bytes/%d", int64(transferSize)), Size: transferSize}
	h2Unary = h2Exchange{Path: "/bench.Bench/Unary", Fields: []string{"content-type: application/grpc", "te: trailers"}, Body: grpcMessage(grpcSize), Size: grpcPrefix + grpcSize, GRPC: true}
)

// empty reports whether there is nothing to do.
func (e h2Exchange) empty() bool { return e.Path == "" }

// h2Window is the initial flow control window of a stream.
const h2Window = 1<<16 - 1

// h2Conn is a client's HTTP/2 connection. HTTP/2 begins with the first exchange. It reads only while it waits for something.
type h2Conn struct {
	net.Conn
	secure bool
	framer *http2.Framer // nil before the preface
	block  bytes.Buffer
	heads  *hpack.Encoder
	last   uint32 // last stream
}

// h2Event is what arrived on a stream.
type h2Event struct {
	stream uint32
	fields []hpack.HeaderField // of a head or of trailers; nil for data
	data   int64               // number of bytes
	end    bool                // the stream has ended
}

// begin sends the preface. It makes the connection's window so large that it is no limit.
func (c *h2Conn) begin() error {
	if c.framer != nil {
		return nil
	}
	c.framer = http2.NewFramer(c.Conn, c.Conn)
	c.framer.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	c.heads = hpack.NewEncoder(&c.block)
	_, err := c.Write([]byte(http2.ClientPreface))
	if err = errors.Join(err, c.framer.WriteSettings(), c.framer.WriteWindowUpdate(0, 1<<30)); err != nil {
		return fmt.Errorf("beginning with HTTP/2: %w", err)
	}
	return nil
}

// open sends e's request on a new stream and returns the stream's id.
func (c *h2Conn) open(e h2Exchange) (uint32, error) {
	if err := c.begin(); err != nil {
		return 0, err
	}
	c.block.Reset()
	method, scheme := "GET", "http"
	if e.Body != nil {
		method = "POST"
	}
	if c.secure {
		scheme = "https"
	}
	fields := []string{":method: " + method, ":scheme: " + scheme, ":authority: bench", ":path: " + e.Path}
	for _, f := range append(fields, e.Fields...) {
		i := 1 + bytes.IndexByte([]byte(f[1:]), ':')
		if err := c.heads.WriteField(hpack.HeaderField{Name: f[:i], Value: f[i+2:]}); err != nil {
			return 0, err
		}
	}
	if c.last == 0 {
		c.last = 1
	} else {
		c.last += 2
	}
	err := c.framer.WriteHeaders(http2.HeadersFrameParam{StreamID: c.last, BlockFragment: c.block.Bytes(), EndStream: e.Body == nil, EndHeaders: true})
	if e.Body != nil {
		err = errors.Join(err, c.framer.WriteData(c.last, true, e.Body))
	}
	if err != nil {
		return 0, fmt.Errorf("sending a request: %w", err)
	}
	return c.last, nil
}

// next waits for an event on a stream, and answers frames that concern the connection.
func (c *h2Conn) next() (h2Event, error) {
	for {
		frame, err := c.framer.ReadFrame()
		if err != nil {
			return h2Event{}, fmt.Errorf("reading a frame: %w", err)
		}
		switch f := frame.(type) {
		case *http2.MetaHeadersFrame:
			return h2Event{stream: f.StreamID, fields: f.Fields, end: f.StreamEnded()}, nil
		case *http2.DataFrame:
			if f.Length > 0 {
				err = c.framer.WriteWindowUpdate(0, f.Length)
			}
			return h2Event{stream: f.StreamID, data: int64(len(f.Data())), end: f.StreamEnded()}, err
		case *http2.SettingsFrame:
			if !f.IsAck() {
				err = c.framer.WriteSettingsAck()
			}
		case *http2.PingFrame:
			if !f.IsAck() {
				err = c.framer.WritePing(true, f.Data)
			}
		case *http2.RSTStreamFrame:
			err = fmt.Errorf("stream %d was reset: %v", f.StreamID, f.ErrCode)
		case *http2.GoAwayFrame:
			err = fmt.Errorf("the proxy sent GOAWAY: %v", f.ErrCode)
		}
		if err != nil {
			return h2Event{}, err
		}
	}
}

// do does e while nothing else uses the connection.
func (c *h2Conn) do(e h2Exchange) error {
	_ = c.SetDeadline(time.Now().Add(exchangeTimeout))
	stream, err := c.open(e)
	if err != nil {
		return err
	}
	var got int64
	var head, trailers []hpack.HeaderField
	for end := false; !end; {
		ev, err := c.next()
		switch {
		case err != nil:
			return fmt.Errorf("waiting for a response after %d bytes: %w", got, err)
		case ev.stream != stream:
			return fmt.Errorf("a frame arrived on stream %d, not on %d", ev.stream, stream)
		case ev.fields != nil && head == nil:
			head = ev.fields
		case ev.fields != nil:
			trailers = ev.fields
		}
		got, end = got+ev.data, ev.end
	}
	if status := fieldOf(head, ":status"); status != "200" {
		return fmt.Errorf("the response has status %s", status)
	}
	if got != e.Size {
		return fmt.Errorf("the response has %d bytes, want %d", got, e.Size)
	}
	if status := fieldOf(trailers, "grpc-status"); e.GRPC && status != "0" {
		return fmt.Errorf("the response ends with grpc-status %q", status)
	}
	return nil
}

// fieldOf returns the value of a field, or "".
func fieldOf(fields []hpack.HeaderField, name string) string {
	for _, f := range fields {
		if f.Name == name {
			return f.Value
		}
	}
	return ""
}

// take reads until each of the first n streams has received exactly that many more bytes.
func (c *h2Conn) take(bytes int64, n int) error {
	got := map[uint32]int64{}
	for full := 0; full < n; {
		ev, err := c.next()
		switch {
		case err != nil:
			return fmt.Errorf("%d of %d streams have received their data: %w", full, n, err)
		case ev.fields != nil && fieldOf(ev.fields, ":status") != "200":
			return fmt.Errorf("the response has status %s", fieldOf(ev.fields, ":status"))
		case ev.end:
			return fmt.Errorf("stream %d has ended", ev.stream)
		}
		before := got[ev.stream]
		got[ev.stream] = before + ev.data
		switch now := got[ev.stream]; {
		case now > bytes:
			return fmt.Errorf("stream %d has got %d bytes, but its window was %d", ev.stream, now, bytes)
		case now == bytes && before < bytes:
			full++
		}
	}
	return nil
}

// grant allows the server to send that many more bytes on each of the first n streams.
func (c *h2Conn) grant(bytes uint32, n int) error {
	for i := range n {
		if err := c.framer.WriteWindowUpdate(uint32(1+2*i), bytes); err != nil {
			return fmt.Errorf("continuing a download: %w", err)
		}
	}
	return nil
}

// once does one small exchange of j on its own connection.
func (j job) once() error {
	d, err := j.dialer()
	if err != nil {
		return err
	}
	c, err := d.dial()
	if err != nil {
		return err
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(dialTimeout))
	return j.small(c)
}

// sessions returns the number of j's sessions: connections, or streams on all of them.
func (j job) sessions() int { return j.Conns * max(1, j.Streams) }
