package http1

// Chunks removes the chunked coding from a body that this proxy itself has framed, for a protocol with its own framing. The
// zero value must be Reset before use.
type Chunks struct{ r chunkReader }

// Reset prepares c for a new body and keeps its memory.
func (c *Chunks) Reset() { c.r.reset(FromHost) }

// Next takes n bytes of p: framing, optionally followed by data, which is a part of p and has at most most bytes. Of framing it
// takes at least one byte. Once the body is done it takes nothing.
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
			rest = rest[:1] // so that the data after it is not taken along
		}
		k, _, err := c.r.next(rest)
		if err != nil {
			return n, nil, err
		}
		n += k
	}
	return n, nil, nil
}

// InData reports whether data comes next.
func (c *Chunks) InData() bool { return c.r.state == chunkData }

// Done reports whether the whole body was taken.
func (c *Chunks) Done() bool { return c.r.done() }

// Trailers returns the trailer section of a complete body, including the empty line at its end; empty if there are no trailers.
// It is valid until Reset.
func (c *Chunks) Trailers() []byte {
	if len(c.r.fields.fields) == 0 {
		return nil
	}
	return c.r.trail
}
