package tlsconn

// boundaries follows the records in what the socket gave to crypto/tls, which does not say whether it has another one in
// hand. Asking it costs an allocation and 150 ns, which small requests, a record each, need not pay.
type boundaries struct {
	begun int     // records since all of what had come was consumed
	left  int     // bytes of the last record that are still to come
	head  [5]byte // of the next record: type, version, length (RFC 8446 section 5.1)
	known int     // bytes of it
}

// add takes note of p.
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

// isOne reports whether one record has come, and nothing of another: when its content was read, there is no more.
func (b *boundaries) isOne() bool { return b.begun == 1 && b.left == 0 && b.known == 0 }

// atBoundary reports whether the last record that has come is whole.
func (b *boundaries) atBoundary() bool { return b.left == 0 && b.known == 0 }

// consumed says that crypto/tls has nothing more in hand but the beginning of a record, if that has come.
func (b *boundaries) consumed() {
	b.begun = 0
	if b.left > 0 || b.known > 0 {
		b.begun = 1
	}
}
