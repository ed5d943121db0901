package http1

// Chunks takes the chunked coding off a body that this proxy has framed itself, for a protocol that frames in its own way. The zero value
// is of no use before Reset.
type Chunks struct{ r chunkReader }

// Reset prepares c for a new body and keeps its storage.
func (c *Chunks) Reset() { c.r.reset(FromHost) }

// Next takes n bytes of p: framing, and then maybe data, at most so many bytes and a part of p. It takes at least a byte of what is not
// data, of data as many as there may be, and nothing once the body is done.
func (c *Chunks) Next(p []byte, most int) (n int, data []byte, err *HeadError) {
	for n < len(p) && c.r.state != chunkDone {
		rest := p[n:]
		switch c.r.state {
		case chunkData:
			if most == 0 {
				return n, nil, nil
			}
			k, data, err := c.r.next(rest[:min(len(rest), most)])
			return n + k, data, err
		case chunkTrailer, chunkFields:
		default:
			rest = rest[:1] // the data behind it is not to be taken with it
		}
		k, _, err := c.r.next(rest)
		if err != nil {
			return n, nil, err
		}
		n += k
	}
	return n, nil, nil
}

// InData reports whether data is next.
func (c *Chunks) InData() bool { return c.r.state == chunkData }

// Done reports whether the whole body was taken.
func (c *Chunks) Done() bool { return c.r.done() }

// Trailers is the trailer section of a body that is done, with the empty line at its end; empty if there are no trailers. It is valid until
// Reset.
func (c *Chunks) Trailers() []byte {
	if len(c.r.fields.fields) == 0 {
		return nil
	}
	return c.r.trail
}
