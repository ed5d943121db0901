package http1

import "kroxy-ev/httpcodec/policy"

// Body is a message body in transit: how the sender frames it, and how it is framed for the receiver.
type Body struct {
	In, Out Framing
	Left    int64 // bytes of a Length body not read yet
	Size    int64 // bytes of content so far
	Done    bool  // the body is complete
	chunks  chunkReader
	set     *policy.Headers
}

// Begin prepares b for a body that is framed as in (n bytes long if that is Length) and forwarded with framing out. Set has the
// configured edits; trailers must not repeat the fields in it.
func (b *Body) Begin(from Side, in Framing, n int64, out Framing, set *policy.Headers) {
	b.In, b.Out, b.Left, b.Size, b.set = in, out, n, 0, set
	b.Done = in == NoBody || in == Length && n == 0
	if in == Chunked {
		b.chunks.reset(from)
	}
}

// Append takes n bytes of p (all of them unless the body ends earlier) and appends them to dst, framed for the receiver.
func (b *Body) Append(dst, p []byte) (out []byte, n int, err *HeadError) {
	switch b.In {
	case NoBody:
		return dst, 0, nil
	case Length:
		n = int(min(b.Left, int64(len(p))))
		b.Advance(int64(n))
		return append(dst, p[:n]...), n, nil
	case UntilClose:
		b.Size += int64(len(p))
		return b.appendData(dst, p), len(p), nil
	}
	for n < len(p) && !b.Done {
		k, data, err := b.chunks.next(p[n:])
		if err != nil {
			return dst, n, err
		}
		n += k
		b.Size += int64(len(data))
		dst = b.appendData(dst, data)
		if b.Done = b.chunks.done(); b.Done && b.Out == Chunked {
			dst = appendLastChunk(dst, &b.chunks, b.set)
		}
	}
	return dst, n, nil
}

// Advance accounts for n bytes of a Length body that were forwarded without Append.
func (b *Body) Advance(n int64) {
	b.Left -= n
	b.Size += n
	b.Done = b.Left == 0
}

// End ends a body that lasts until the connection closes.
func (b *Body) End(dst []byte) []byte {
	b.Done = true
	if b.Out == Chunked {
		dst = appendLastChunk(dst, nil, nil)
	}
	return dst
}

// Trailer returns the first value of a trailer field of a chunked body that is Done; nil if there is none. Low is the field's
// name in lower case. The result is valid until Begin.
func (b *Body) Trailer(low string) []byte {
	if b.In != Chunked || !b.Done {
		return nil
	}
	return b.chunks.fields.field(b.chunks.trail, low)
}

// appendData appends content, framed for the receiver.
func (b *Body) appendData(dst, data []byte) []byte {
	if len(data) == 0 {
		return dst
	}
	if b.Out != Chunked {
		return append(dst, data...)
	}
	dst = AppendChunkHeader(dst, len(data))
	dst = append(dst, data...)
	return append(dst, '\r', '\n')
}
