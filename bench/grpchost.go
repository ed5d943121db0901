package bench

import (
	"bufio"
	"encoding/binary"
	"errors"
	"io"
	"net"

	"golang.org/x/net/http2"
)

const (
	grpcPrefix = 5  // bytes before a message: the compression flag and the length
	grpcSize   = 32 // of a message, in both directions
)

// grpcMessage returns a message of n bytes in gRPC framing.
func grpcMessage(n int) []byte {
	return append(binary.BigEndian.AppendUint32([]byte{0}, uint32(n)), make([]byte, n)...)
}

// The fields of a response, encoded without indexing (RFC 7541, section 6.2.2), so that the same bytes are valid on any connection.
var (
	grpcHead     = literals(":status", "200", "content-type", "application/grpc")
	grpcTrailers = literals("grpc-status", "0")
)

// literals encodes alternating names and values of less than 127 bytes.
func literals(fields ...string) (b []byte) {
	for i, s := range fields {
		if i%2 == 0 {
			b = append(b, 0)
		}
		b = append(append(b, byte(len(s))), s...)
	}
	return b
}

// acceptGRPC serves gRPC on l until it is closed.
func acceptGRPC(l net.Listener) {
	for {
		c, err := l.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err == nil {
			go func() {
				defer c.Close()
				_ = grpcHost(c) // the client will notice an error
			}()
		}
	}
}

// grpcHost answers every request on c with the same message. To save CPU it does not decode heads; the client checks the first exchange of a
// measurement.
func grpcHost(c net.Conn) error {
	out := bufio.NewWriterSize(c, 64<<10)
	in := bufio.NewReaderSize(flushBefore{c, out}, 64<<10)
	if _, err := io.CopyN(io.Discard, in, int64(len(http2.ClientPreface))); err != nil {
		return err
	}
	f := http2.NewFramer(out, in)
	f.SetReuseFrames()
	const window = 1 << 20
	err := errors.Join(f.WriteSettings(http2.Setting{ID: http2.SettingMaxConcurrentStreams, Val: 1000}), f.WriteWindowUpdate(0, window))
	message := grpcMessage(grpcSize)
	var taken uint32 // of the connection's window
	for err == nil {
		var frame http2.Frame
		if frame, err = f.ReadFrame(); err != nil {
			break
		}
		h := frame.Header()
		switch frame := frame.(type) {
		case *http2.SettingsFrame:
			if !frame.IsAck() {
				err = f.WriteSettingsAck()
			}
		case *http2.PingFrame:
			if !frame.IsAck() {
				err = f.WritePing(true, frame.Data)
			}
		case *http2.DataFrame:
			if taken += h.Length; taken >= window/2 {
				err = f.WriteWindowUpdate(0, taken)
				taken = 0
			}
		}
		if err == nil && (h.Type == http2.FrameHeaders || h.Type == http2.FrameData) && h.Flags.Has(http2.FlagDataEndStream) {
			err = errors.Join(
				f.WriteHeaders(http2.HeadersFrameParam{StreamID: h.StreamID, BlockFragment: grpcHead, EndHeaders: true}),
				f.WriteData(h.StreamID, false, message),
				f.WriteHeaders(http2.HeadersFrameParam{StreamID: h.StreamID, BlockFragment: grpcTrailers, EndHeaders: true, EndStream: true}))
		}
	}
	return err
}

// flushBefore is a reader that flushes out before it blocks.
type flushBefore struct {
	io.Reader
	out *bufio.Writer
}

// Read implements io.Reader.
func (r flushBefore) Read(b []byte) (int, error) {
	if err := r.out.Flush(); err != nil {
		return 0, err
	}
	return r.Reader.Read(b)
}
