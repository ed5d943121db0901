package http1

import (
	"math"
	"strconv"
)

const (
	maxChunkDigits    = 16
	maxChunkExtension = 256 // limit per chunk line, including white space before the extension
)

var (
	errChunkSize      = newFault(400, "malformed chunk size")
	errChunkExtension = newFault(400, "chunk extension over 256 bytes")
	errChunkLine      = newFault(400, "a control character in a chunk line")
	errChunkEnd       = newFault(400, "no crlf after chunk data")
)

type chunkState uint8

const (
	chunkSize    chunkState = iota // in the digits
	chunkBlank                     // in the white space after them
	chunkExt                       // after ';'
	chunkLineLF                    // the CR of the chunk line was read
	chunkData                      // reading data; left bytes remain
	chunkDataCR                    // the data was read
	chunkDataLF                    // the data and a CR were read
	chunkTrailer                   // the last chunk's line was read
	chunkLastLF                    // then a CR was read: no trailers
	chunkFields                    // in the trailer section
	chunkDone                      // the body is complete
)

// chunkReader removes the chunked coding from a body (RFC 9112 section 7.1). It holds no data; trailers are kept until reset.
type chunkReader struct {
	state  chunkState
	side   Side
	digits uint8
	ext    uint16 // bytes of extension in the current line
	left   int64  // the chunk size so far, then the bytes of data that remain
	trail  []byte // the trailer section as far as it has arrived
	fields headScanner
}

// reset prepares c for a new body and keeps its memory.
func (c *chunkReader) reset(from Side) {
	c.fields.reset(trailerSection, from)
	*c = chunkReader{side: from, trail: c.trail[:0], fields: c.fields}
}

// done reports whether the whole body was read.
func (c *chunkReader) done() bool { return c.state == chunkDone }

// next takes n bytes of b: framing, optionally followed by data, which is a part of b. The caller calls it with the rest of b
// until that is empty or the body is done. It takes at least one byte, unless the body is done.
func (c *chunkReader) next(b []byte) (n int, data []byte, err *HeadError) {
	for i := 0; i < len(b); i++ {
		switch x := b[i]; c.state {
		case chunkSize:
			if isHex[x] {
				if c.digits++; c.digits > maxChunkDigits || c.left > math.MaxInt64>>4 {
					return 0, nil, errChunkSize.by(c.side)
				}
				c.left = c.left<<4 | int64(unhex(x))
				continue
			}
			if c.digits == 0 {
				return 0, nil, errChunkSize.by(c.side)
			}
			switch {
			case x == '\r':
				c.state = chunkLineLF
			case x == ';':
				c.state = chunkExt
			case isOWS(x):
				c.state, c.ext = chunkBlank, 1
			default:
				return 0, nil, errChunkSize.by(c.side)
			}
		case chunkBlank: // must be removed before ';' (RFC 9112 section 7.1.1); old hosts pad sizes with it
			switch {
			case x == ';':
				c.state = chunkExt
			case x == '\r' && c.side == FromHost:
				c.state = chunkLineLF
			case !isOWS(x):
				return 0, nil, errChunkSize.by(c.side)
			default:
				if c.ext++; c.ext > maxChunkExtension {
					return 0, nil, errChunkExtension.by(c.side)
				}
			}
		case chunkExt:
			if x == '\r' {
				c.state = chunkLineLF
				continue
			}
			if !isValue[x] {
				return 0, nil, errChunkLine.by(c.side)
			}
			if c.ext++; c.ext > maxChunkExtension {
				return 0, nil, errChunkExtension.by(c.side)
			}
		case chunkLineLF:
			if x != '\n' {
				return 0, nil, errChunkLine.by(c.side)
			}
			c.state = chunkData
			if c.left == 0 {
				c.state = chunkTrailer
			}
			c.digits, c.ext = 0, 0
		case chunkData:
			n := int(min(c.left, int64(len(b)-i)))
			if c.left -= int64(n); c.left == 0 {
				c.state = chunkDataCR
			}
			return i + n, b[i : i+n : i+n], nil
		case chunkDataCR:
			if x != '\r' {
				return 0, nil, errChunkEnd.by(c.side)
			}
			c.state = chunkDataLF
		case chunkDataLF:
			if x != '\n' {
				return 0, nil, errChunkEnd.by(c.side)
			}
			c.state = chunkSize
		case chunkTrailer:
			if x != '\r' {
				c.state = chunkFields
				return c.nextTrailer(b, i)
			}
			c.state = chunkLastLF
		case chunkLastLF:
			if x != '\n' {
				return 0, nil, errBareCR.by(c.side)
			}
			c.state = chunkDone
			return i + 1, nil, nil
		case chunkFields:
			return c.nextTrailer(b, i)
		case chunkDone:
			return i, nil, nil
		}
	}
	return len(b), nil, nil
}

// nextTrailer collects the part of b[i:] that belongs to the trailer section. Its bytes may arrive in pieces but are scanned as
// a whole, so they are kept here.
func (c *chunkReader) nextTrailer(b []byte, i int) (int, []byte, *HeadError) {
	had := len(c.trail)
	c.trail = append(c.trail, b[i:min(len(b), i+MaxHead-had)]...)
	n, err := c.fields.scan(c.trail)
	if err != nil {
		return 0, nil, err
	}
	if n == 0 {
		return len(b), nil, nil
	}
	c.trail = c.trail[:n]
	c.state = chunkDone
	return i + n - had, nil, nil
}

func unhex(c byte) byte {
	switch {
	case c <= '9':
		return c - '0'
	case c <= 'F':
		return c - 'A' + 10
	}
	return c - 'a' + 10
}

// AppendChunkHeader appends the line that precedes n bytes of chunk data; n must be positive. The caller appends the data and CRLF.
func AppendChunkHeader(dst []byte, n int) []byte {
	return append(strconv.AppendInt(dst, int64(n), 16), "\r\n"...)
}
