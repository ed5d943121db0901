package h2conn

import "slices"

// buckets is the number of buckets of a connection's table of streams. Streams have consecutive odd numbers, so the buckets fill
// evenly.
const buckets = 32

func bucket(id uint32) uint32 { return id / 2 % buckets }

// find returns the open stream with the given number, or nil. Streams to a host that have no number yet all have 0.
func (c *Conn) find(id uint32) *Stream {
	for s := c.table[bucket(id)]; s != nil; s = s.chain {
		if s.id == id {
			return s
		}
	}
	return nil
}

// above returns the numbers of the open streams above last in ascending order, so that the one that has waited longest is resumed
// first.
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

// add adds s to the open streams. Its number must be set.
func (c *Conn) add(s *Stream) {
	at := &c.table[bucket(s.id)]
	s.chain, *at = *at, s
}

// assignID gives s the next number for streams opened by this side.
func (c *Conn) assignID(s *Stream) {
	c.unlink(s)
	s.id = c.next
	c.next += 2
	c.add(s)
	c.flood.Begun()
}

// remove removes s. Reset says that this side has reset it, so the peer may not know yet.
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

// closedStream is a stream that is no longer open.
type closedStream struct {
	id        uint32
	reset     bool // by this side, so the peer may have sent more before it knew
	peerReset bool // the peer has reset it, too
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
		c.forgotten = max(c.forgotten, old.id)
	}
	c.closed[c.oldest] = s
	c.oldest = (c.oldest + 1) % maxClosed
}

// mayBeReset reports whether this side may have reset the given stream of the peer's. If so, frames for it may still arrive.
func (c *Conn) mayBeReset(id uint32) bool {
	if was := c.findClosed(id); was != nil {
		return was.reset
	}
	return id <= c.forgotten
}

// findClosed returns what is remembered of a closed stream, or nil. It is valid until the next stream is closed.
func (c *Conn) findClosed(id uint32) *closedStream {
	for i := range c.closed {
		if c.closed[i].id == id {
			return &c.closed[i]
		}
	}
	return nil
}

// fifo is a queue of streams that wait until the connection takes more.
type fifo struct{ first, last *Stream }

func (f *fifo) push(s *Stream) {
	if s.queued {
		return
	}
	s.queued, s.next, s.prev = true, nil, f.last
	if f.last != nil {
		f.last.next = s
	} else {
		f.first = s
	}
	f.last = s
}

// drop removes s if it is in the queue.
func (f *fifo) drop(s *Stream) {
	if !s.queued {
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
	s.queued, s.next, s.prev = false, nil, nil
}
