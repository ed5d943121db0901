package h2conn

import "slices"

// buckets is how many lists a connection's streams are in. Streams have odd numbers, one after the other, so the lists are of one length.
const buckets = 32

func bucket(id uint32) uint32 { return id / 2 % buckets }

// find returns the open stream of that number, or nil. A stream to a host that has no number yet has 0, as others may have.
func (c *Conn) find(id uint32) *Stream {
	for s := c.table[bucket(id)]; s != nil; s = s.chain {
		if s.id == id {
			return s
		}
	}
	return nil
}

// above returns the numbers of the open streams above last, in order: whoever has waited longest goes on first.
func (c *Conn) above(last uint32) (ids []uint32) {
	for _, s := range c.table {
		for ; s != nil; s = s.chain {
			if s.id > last {
				ids = append(ids, s.id)
			}
		}
	}
	slices.Sort(ids)
	return ids
}

// add puts s, which has its number, among the open streams.
func (c *Conn) add(s *Stream) {
	at := &c.table[bucket(s.id)]
	s.chain, *at = *at, s
}

// number gives s the next number of this side's.
func (c *Conn) number(s *Stream) {
	c.unlink(s)
	s.id = c.next
	c.next += 2
	c.add(s)
	c.flood.Begun()
}

// remove takes s out. Reset says that this side has reset it, so that the peer may not know yet.
func (c *Conn) remove(s *Stream, reset bool) {
	c.unlink(s)
	c.waiting.drop(s)
	if s.id != 0 {
		c.noteClosed(s.id, reset)
	}
}

func (c *Conn) unlink(s *Stream) {
	for at := &c.table[bucket(s.id)]; *at != nil; at = &(*at).chain {
		if *at == s {
			*at = s.chain
			break
		}
	}
	s.chain = nil
}

// closedStream is a stream that is not open any more.
type closedStream struct {
	id    uint32
	reset bool // by this side: the peer may have sent more before it knew
	heard bool // the peer has reset it, too
}

// maxClosed is how many closed streams are remembered: twice as many as may be open at once by default.
const maxClosed = 200

// noteClosed remembers that the stream was open.
func (c *Conn) noteClosed(id uint32, reset bool) {
	s := closedStream{id: id, reset: reset}
	if len(c.closed) < maxClosed {
		c.closed = append(c.closed, s)
		return
	}
	if old := c.closed[c.oldest]; old.reset {
		c.forgot = max(c.forgot, old.id)
	}
	c.closed[c.oldest] = s
	c.oldest = (c.oldest + 1) % maxClosed
}

// mayBeReset reports whether this side may have reset the stream, one of the peer's that it may not have begun: the peer's frames for it may be late.
func (c *Conn) mayBeReset(id uint32) bool {
	if was := c.wasOpen(id); was != nil {
		return was.reset
	}
	return id <= c.forgot
}

// wasOpen returns what is remembered of a closed stream; nil if that is nothing. It is valid until the next stream is closed.
func (c *Conn) wasOpen(id uint32) *closedStream {
	for i := range c.closed {
		if c.closed[i].id == id {
			return &c.closed[i]
		}
	}
	return nil
}

// fifo is streams that wait for the connection to take more, the one that waits longest first.
type fifo struct{ first, last *Stream }

func (f *fifo) push(s *Stream) {
	if s.waits {
		return
	}
	s.waits, s.next, s.prev = true, nil, f.last
	if f.last != nil {
		f.last.next = s
	} else {
		f.first = s
	}
	f.last = s
}

// drop takes s out, if it is in.
func (f *fifo) drop(s *Stream) {
	if !s.waits {
		return
	}
	if s.prev != nil {
		s.prev.next = s.next
	} else {
		f.first = s.next
	}
	if s.next != nil {
		s.next.prev = s.prev
	} else {
		f.last = s.prev
	}
	s.waits, s.next, s.prev = false, nil, nil
}
