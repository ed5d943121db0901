package http2_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	xhttp2 "golang.org/x/net/http2"

	"kroxy-ev/httpcodec/http2"
)

// settings is an empty SETTINGS, with which each side's frames begin.
var settings = http2.Header{Type: http2.Settings}.Append(nil)

// readAll reads frames from b, which arrives in pieces of the given size, and describes them, with the pieces of DATA joined.
// It stops at the first connection error.
func readAll(b []byte, piece int) (frames []string, failed *http2.Error) {
	var r http2.Reader
	var held, data []byte
	cost := 0
	for {
		f, n, err := r.Next(held)
		if err != nil && !err.Stream {
			return frames, err
		}
		if n == 0 {
			if len(b) == 0 {
				return frames, nil
			}
			next := min(piece, len(b))
			held, b = append(held, b[:next]...), b[next:]
			continue
		}
		held = held[n:]
		if f.Type == http2.Data {
			data, cost = append(data, f.Payload...), cost+f.Cost
			if f.Last {
				frames = append(frames, fmt.Sprintf("%v %d %d %q costs %d", f.Type, f.Stream, f.Flags, data, cost))
				data, cost = nil, 0
			}
			continue
		}
		what := fmt.Sprintf("%v %d %d %q", f.Type, f.Stream, f.Flags, f.Payload)
		if err != nil {
			what += " " + err.Reason
		}
		frames = append(frames, what)
	}
}

// Single frames and their errors, however their bytes are split.
func TestReader(t *testing.T) {
	t.Parallel()
	frame := func(of http2.Type, flags http2.Flags, stream uint32, payload string) string {
		return string(http2.Header{Length: len(payload), Type: of, Flags: flags, Stream: stream}.Append(nil)) + payload
	}
	const s, h = http2.Settings, http2.Headers
	tests := []struct {
		name, in string
		frames   string // one per line
		failed   string
	}{
		{"data", frame(http2.Data, 1, 1, "hello"), `DATA 1 1 "hello" costs 5`, ""},
		{"empty data", frame(http2.Data, 0, 1, ""), `DATA 1 0 "" costs 0`, ""},
		{"padded data", frame(http2.Data, 8, 1, "\x03hellopad"), `DATA 1 8 "hello" costs 9`, ""},
		{"only padding", frame(http2.Data, 8, 1, "\x03pad"), `DATA 1 8 "" costs 4`, ""},
		{"no padding", frame(http2.Data, 8, 1, "\x00hi"), `DATA 1 8 "hi" costs 3`, ""},
		{"padding too long", frame(http2.Data, 8, 1, "\x04pad"), "", "padding is longer than the frame"},
		{"padding without a length", frame(http2.Data, 8, 1, ""), "", "a frame of a wrong length"},
		{"data of the connection", frame(http2.Data, 0, 0, "x"), "", "a frame that needs a stream has none"},
		{"headers", frame(h, 4, 1, "block"), `HEADERS 1 4 "block"`, ""},
		{"headers with priority", frame(h, 0x24, 3, "\x00\x00\x00\x01\x10block"), `HEADERS 3 36 "block"`, ""},
		{"padded headers with priority", frame(h, 0x2c, 3, "\x02\x00\x00\x00\x01\x10blockpp"), `HEADERS 3 44 "block"`, ""},
		{"headers that depend on themselves", frame(h, 0x24, 3, "\x80\x00\x00\x03\x10block"), `HEADERS 3 36 "block" a stream that depends on itself`, ""},
		{"headers too short", frame(h, 0x24, 3, "\x00\x00"), "", "a frame of a wrong length"},
		{"headers and padding too long", frame(h, 12, 3, "\x06block"), "", "padding is longer than the frame"},
		{"headers of the connection", frame(h, 4, 0, "block"), "", "a frame that needs a stream has none"},
		{"continuation", frame(h, 0, 1, "a") + frame(http2.Continuation, 4, 1, "b"), "HEADERS 1 0 \"a\"\nCONTINUATION 1 4 \"b\"", ""},
		{"continuation of nothing", frame(http2.Continuation, 4, 1, "b"), "", "a continuation without a header block"},
		{"continuation of another", frame(h, 0, 1, "a") + frame(http2.Continuation, 4, 3, "b"), `HEADERS 1 0 "a"`, "a frame inside a header block"},
		{"data inside a block", frame(h, 0, 1, "a") + frame(http2.Data, 4, 1, "b"), `HEADERS 1 0 "a"`, "a frame inside a header block"},
		{"an unknown frame inside a block", frame(h, 0, 1, "a") + frame(0x55, 4, 1, "b"), `HEADERS 1 0 "a"`, "a frame inside a header block"},
		{"priority", frame(http2.Priority, 0, 5, "\x00\x00\x00\x01\x10"), `PRIORITY 5 0 "\x00\x00\x00\x01\x10"`, ""},
		{"priority of a wrong length", frame(http2.Priority, 0, 5, "\x00"), `PRIORITY 5 0 "\x00" a priority frame of a wrong length`, ""},
		{"reset", frame(http2.RSTStream, 0, 5, "\x00\x00\x00\x08"), `RST_STREAM 5 0 "\x00\x00\x00\b"`, ""},
		{"reset of a wrong length", frame(http2.RSTStream, 0, 5, "\x00"), "", "a frame of a wrong length"},
		{"reset of the connection", frame(http2.RSTStream, 0, 0, "\x00\x00\x00\x08"), "", "a frame that needs a stream has none"},
		{"settings of a stream", frame(s, 0, 1, ""), "", "a frame of the connection has a stream"},
		{"settings of a wrong length", frame(s, 0, 0, "12345"), "", "a frame of a wrong length"},
		{"an answer with a payload", frame(s, 1, 0, "123456"), "", "a settings acknowledgement with a payload"},
		{"ping", frame(http2.Ping, 1, 0, "12345678"), `PING 0 1 "12345678"`, ""},
		{"ping of a wrong length", frame(http2.Ping, 0, 0, "1234567"), "", "a frame of a wrong length"},
		{"ping of a stream", frame(http2.Ping, 0, 1, "12345678"), "", "a frame of the connection has a stream"},
		{"goaway", frame(http2.GoAway, 0, 0, "12345678why"), `GOAWAY 0 0 "12345678why"`, ""},
		{"goaway too short", frame(http2.GoAway, 0, 0, "1234567"), "", "a frame of a wrong length"},
		{"window", frame(http2.WindowUpdate, 0, 0, "\x80\x00\x00\x01"), `WINDOW_UPDATE 0 0 "\x80\x00\x00\x01"`, ""},
		{"window of nothing", frame(http2.WindowUpdate, 0, 0, "\x80\x00\x00\x00"), "", "a window update of zero for the connection"},
		{"window of nothing for a stream", frame(http2.WindowUpdate, 0, 1, "\x00\x00\x00\x00"), `WINDOW_UPDATE 1 0 "\x00\x00\x00\x00" a window update of zero`, ""},
		{"a push", frame(http2.PushPromise, 4, 1, "\x00\x00\x00\x02block"), "", "a push promise"},
		{"unknown", frame(0x55, 0xff, 7, "x"), `type 0x55 7 255 "x"`, ""},
		{"a reserved bit", frame(http2.Data, 0, 1<<31|1, "x"), `DATA 1 0 "x" costs 1`, ""},
		{"too long", string(http2.Header{Length: 16385, Type: http2.Data, Stream: 1}.Append(nil)), "", "a frame is longer than 16384 bytes"},
		{"nine continuations", frame(h, 0, 1, "") + strings.Repeat(frame(http2.Continuation, 0, 1, ""), 9), "HEADERS 1 0 \"\"\n" + strings.TrimSuffix(strings.Repeat("CONTINUATION 1 0 \"\"\n", 8), "\n"),
			"more than 8 continuations of a header block"},
	}
	for _, tt := range tests {
		for _, piece := range []int{1, 7, 1 << 20} {
			frames, failed := readAll(append(settings[:len(settings):len(settings)], tt.in...), piece)
			got := strings.TrimPrefix(strings.TrimPrefix(strings.Join(frames, "\n"), `SETTINGS 0 0 ""`), "\n")
			reason := ""
			if failed != nil {
				reason = failed.Reason
			}
			if got != tt.frames || reason != tt.failed {
				t.Errorf("%s, in pieces of %d:\n got %s, %q\nwant %s, %q", tt.name, piece, got, reason, tt.frames, tt.failed)
			}
		}
	}
}

// SETTINGS must come first.
func TestReaderFirstFrame(t *testing.T) {
	t.Parallel()
	for _, first := range [][]byte{http2.AppendPing(nil, false, [8]byte{}), http2.AppendSettingsAck(nil)} {
		if frames, err := readAll(append(first, settings...), 100); err == nil || len(frames) > 0 {
			t.Errorf("%q: %v, %v", first, frames, err)
		}
	}
}

func TestSkipPreface(t *testing.T) {
	t.Parallel()
	for i := range len(http2.Preface) {
		if n, err := http2.SkipPreface([]byte(http2.Preface[:i])); n != 0 || err != nil {
			t.Errorf("of %d bytes: %d, %v", i, n, err)
		}
	}
	if n, err := http2.SkipPreface([]byte(http2.Preface + "more")); n != len(http2.Preface) || err != nil {
		t.Errorf("%d, %v", n, err)
	}
	for _, other := range []string{"GET / HTTP/1.1", "PRI * HTTP/2.0\r\n\r\nSM\r\n\rX"} {
		if _, err := http2.SkipPreface([]byte(other)); err == nil {
			t.Errorf("%q: no error", other)
		}
	}
}

// x/net's Framer reads what is appended.
func TestAppend(t *testing.T) {
	t.Parallel()
	var b []byte
	b = http2.OwnSettings{MaxStreams: 100, InitialWindow: 65536}.Append(b)
	b = http2.AppendSettingsAck(b)
	b = http2.AppendHead(b, 1, bytes.Repeat([]byte{0x82}, 40000), true, http2.MaxFrame)
	b = http2.AppendRST(b, 3, http2.Cancel)
	b = http2.AppendWindowUpdate(b, 0, 1000)
	b = http2.AppendPing(b, true, [8]byte{1, 2})
	b = http2.AppendGoAway(b, 7, http2.EnhanceYourCalm, "why")
	want := []string{"SETTINGS 0 0", "SETTINGS 0 1", "HEADERS 1 1", "CONTINUATION 1 0", "CONTINUATION 1 4", "RST_STREAM 3 0", "WINDOW_UPDATE 0 0", "PING 0 1", "GOAWAY 0 0"}
	f := xhttp2.NewFramer(io.Discard, bytes.NewReader(b))
	for i, w := range want {
		got, err := f.ReadFrame()
		if err != nil {
			t.Fatalf("frame %d: %v", i, err)
		}
		h := got.Header()
		if s := fmt.Sprintf("%v %d %d", h.Type, h.StreamID, h.Flags); s != w {
			t.Errorf("frame %d is %s, want %s", i, s, w)
		}
	}
	if _, err := f.ReadFrame(); !errors.Is(err, io.EOF) {
		t.Errorf("there is more: %v", err)
	}
}

// FuzzReader compares with x/net's Framer: both read the same frames up to the first that one of them refuses, and it does not
// matter how the bytes are split. There is no panic.
func FuzzReader(f *testing.F) {
	f.Add([]byte{}, 1)
	f.Add(http2.AppendHead(nil, 1, []byte{0x82, 0x86, 0x84}, true, 2), 3)
	f.Add(http2.Header{Length: 5, Type: http2.Data, Flags: http2.Padded, Stream: 1}.Append(nil), 9)
	f.Add(http2.AppendWindowUpdate(http2.AppendRST(nil, 1, 8), 1, 0), 5)
	f.Fuzz(func(t *testing.T, b []byte, piece int) {
		in := append(settings[:len(settings):len(settings)], b...)
		whole, err := readAll(in, len(in))
		pieces, pieceErr := readAll(in, min(max(piece, 1), len(in)))
		if fmt.Sprint(whole, err) != fmt.Sprint(pieces, pieceErr) {
			t.Fatalf("whole: %v %v\nin pieces: %v %v", whole, err, pieces, pieceErr)
		}
		framer := xhttp2.NewFramer(io.Discard, bytes.NewReader(in))
		framer.SetMaxReadFrameSize(http2.MaxFrame)
		for i, frame := range whole {
			got, ferr := framer.ReadFrame()
			var ofStream xhttp2.StreamError
			switch {
			case errors.As(ferr, &ofStream):
				if !strings.Contains(frame, "a window update of zero") && !strings.Contains(frame, "HEADERS") {
					t.Fatalf("frame %d is %s, and x/net says %v", i, frame, ferr)
				}
			case ferr != nil:
				// x/net treats a wrong length of PRIORITY as a connection error; RFC 9113 section 6.3 does not.
				// x/net also knows PRIORITY_UPDATE (RFC 9218), which is ignored here.
				if strings.Contains(frame, "a priority frame of a wrong length") || strings.HasPrefix(frame, "type 0x10 ") {
					return
				}
				t.Fatalf("frame %d is %s, and x/net says %v", i, frame, ferr)
			default:
				h := got.Header()
				if want := fmt.Sprintf("%d %d ", h.StreamID, h.Flags); !strings.Contains(frame, " "+want) {
					t.Fatalf("frame %d is %s, and x/net has %v", i, frame, h)
				}
				if d, ok := got.(*xhttp2.DataFrame); ok && !strings.Contains(frame, fmt.Sprintf("%q costs %d", d.Data(), h.Length)) {
					t.Fatalf("frame %d is %s, and x/net has %q of %d", i, frame, d.Data(), h.Length)
				}
				if d, ok := got.(*xhttp2.HeadersFrame); ok && !strings.Contains(frame, fmt.Sprintf("%q", d.HeaderBlockFragment())) {
					t.Fatalf("frame %d is %s, and x/net has %q", i, frame, d.HeaderBlockFragment())
				}
			}
		}
	})
}
