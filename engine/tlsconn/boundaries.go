package tlsconn

// boundaries tracks the record boundaries in the bytes that crypto/tls has read from the socket, because crypto/tls does not tell whether it
// holds another record. Trying a read costs an allocation and 150 ns, which small requests of one record each need not pay.
type boundaries struct {
	begun int     // records since everything that had arrived was consumed
	left  int     // bytes of the last record that have not arrived
	head  [5]byte // of the next record: type, version, length (RFC 8446 section 5.1)
	known int     // how many bytes of head have arrived
}

// add records that p has arrived.
func (b *boundaries) add(p []byte) {
	for len(p) > 0 {
		if b.left > 0 {
			n := min(b.left, len(p))
			b.left -= n
			p = p[n:]
			continue
		}
		if b.known == 0 {
			b.begun++
		}
		n := copy(b.head[b.known:], p)
		p = p[n:]
		if b.known += n; b.known == len(b.head) {
			b.left, b.known = int(b.head[3])<<8|int(b.head[4]), 0
		}
	}
}

// isOne reports whether exactly one record has arrived: when its content was read, there is no more.
func (b *boundaries) isOne() bool { return b.begun == 1 && b.left == 0 && b.known == 0 }

// atBoundary reports whether the last record that has arrived is complete.
func (b *boundaries) atBoundary() bool { return b.left == 0 && b.known == 0 }

// consumed records that crypto/tls holds nothing more, except perhaps the beginning of a record.
func (b *boundaries) consumed() {
	b.begun = 0
	if b.left > 0 || b.known > 0 {
		b.begun = 1
	}
}
