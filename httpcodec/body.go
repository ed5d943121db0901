package httpcodec

import "kroxy-ev/httpcodec/policy"

// body is a message body on its way: how it is framed where it comes from, and how where it goes to.
type body struct {
	in, out Framing
	left    int64 // of a Length body, not yet read
	size    int64 // content so far
	chunks  chunkReader
	done    bool // nothing more belongs to it
	set     *policy.Headers
}

// begin prepares b for a body that is framed as in, n bytes long if that is Length, and is sent on framed as out. Set are
// fields that its trailers may not repeat.
func (b *body) begin(from side, in Framing, n int64, out Framing, set *policy.Headers) {
	b.in, b.out, b.left, b.size, b.set = in, out, n, 0, set
	b.done = in == NoBody || in == Length && n == 0
	if in == Chunked {
		b.chunks.reset(from)
	}
}

// append takes n bytes of p, all unless the body ends before, and writes them to dst as they are sent on.
func (b *body) append(dst, p []byte) (out []byte, n int, err *HeadError) {
	switch b.in {
	case NoBody:
		return dst, 0, nil
	case Length:
		n = int(min(b.left, int64(len(p))))
		b.took(int64(n))
		return append(dst, p[:n]...), n, nil
	case UntilClose:
		b.size += int64(len(p))
		return b.appendData(dst, p), len(p), nil
	}
	for n < len(p) && !b.done {
		k, data, err := b.chunks.next(p[n:])
		if err != nil {
			return dst, n, err
		}
		n += k
		b.size += int64(len(data))
		dst = b.appendData(dst, data)
		if b.done = b.chunks.done(); b.done && b.out == Chunked {
			dst = appendLastChunk(dst, &b.chunks, b.set)
		}
	}
	return dst, n, nil
}

// took accounts for n bytes of a Length body.
func (b *body) took(n int64) {
	b.left -= n
	b.size += n
	b.done = b.left == 0
}

// end ends a body that lasts until its connection is closed.
func (b *body) end(dst []byte) []byte {
	b.done = true
	if b.out == Chunked {
		dst = appendLastChunk(dst, nil, nil)
	}
	return dst
}

// appendData frames content.
func (b *body) appendData(dst, data []byte) []byte {
	if len(data) == 0 {
		return dst
	}
	if b.out != Chunked {
		return append(dst, data...)
	}
	dst = AppendChunkHeader(dst, len(data))
	dst = append(dst, data...)
	return append(dst, '\r', '\n')
}
