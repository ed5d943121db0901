package http2

// fragments is the state of a block that arrives in several frames. Such a block is cut into fields, and the HPACK decoder
// receives only complete ones; otherwise the decoder would keep a buffer for an incomplete field as long as the connection lasts.
//
// A field that is too long for any head is skipped without keeping any of it. Its head can then be refused as too large, while
// the connection goes on (RFC 9113 section 10.5.1).
type fragments struct {
	rest  []byte // the beginning of an incomplete field
	drop  int    // bytes of a string that are still to be skipped
	value bool   // the field's value follows and is to be skipped, too
	cut   bool   // the block was cut into fields
}

// none reports whether no field is incomplete.
func (f *fragments) none() bool { return len(f.rest) == 0 && f.drop == 0 && !f.value }

// part is a field, or its beginning up to a string that is to be skipped.
type part struct {
	size    int  // 0 if more bytes are needed
	long    bool // it is too long; the string that follows is skipped
	indexed bool // it is to be added to the dynamic table
	drop    int  // the length of the string to be skipped
	value   bool // the value follows the string
}

// writeFragment decodes the fields that are complete with fragment, and keeps the rest.
func (d *Decoder) writeFragment(fragment []byte) error {
	b := fragment
	if len(d.rest) > 0 {
		b = append(d.rest, fragment...)
	}
	d.rest, d.cut = nil, true
	whole := 0
	for whole < len(b) {
		if n := min(d.drop, len(b)); n > 0 { // whole is 0 here
			b, d.drop = b[n:], d.drop-n
			continue
		}
		p, ok := d.measure(b[whole:])
		if !ok {
			return errTable
		}
		if p.size == 0 || !p.long && p.size > len(b)-whole {
			break
		}
		if !p.long {
			whole += p.size
			continue
		}
		if _, err := d.hpack.Write(b[:whole]); err != nil {
			return err
		}
		if err := d.skip(p.indexed); err != nil {
			return err
		}
		b, whole = b[whole+p.size:], 0
		d.drop, d.value = p.drop, p.value
	}
	if _, err := d.hpack.Write(b[:whole]); err != nil {
		return err
	}
	if whole < len(b) {
		d.rest = append(d.rest, b[whole:]...)
	}
	return nil
}

// forget gives the HPACK decoder a field in static memory after a block that was cut. Otherwise the decoder would keep the last
// field's memory.
func (d *Decoder) forget() {
	d.hpack.SetEmitEnabled(false)
	_, _ = d.hpack.Write(methodGet)
}

var methodGet = []byte{0x82}

// skip refuses the head because of a field that is too long. If the field was to be indexed, it would empty the dynamic table,
// since it is larger than the table (RFC 7541 section 4.4). The field that is decoded in its place has the same effect.
func (d *Decoder) skip(indexed bool) error {
	d.refuse(TooLarge)
	if !indexed {
		return nil
	}
	field := appendString([]byte{0x40, 1, 'x'}, make([]byte, maxTable))
	_, err := d.hpack.Write(field)
	return err
}

// measure reads the lengths in the field at the beginning of b. It returns false if the field is malformed.
func (d *Decoder) measure(b []byte) (p part, ok bool) {
	n, name := 0, 0
	if !d.value {
		prefix := 4
		switch first := b[0]; {
		case first&0x80 != 0: // indexed
			_, p.size, ok = readInt(b, 7)
			return p, ok
		case first&0xe0 == 0x20: // dynamic table size update
			_, p.size, ok = readInt(b, 5)
			return p, ok
		case first&0x40 != 0:
			prefix, p.indexed = 6, true
		}
		var index, k int
		if index, n, ok = readInt(b, prefix); n == 0 {
			return p, ok
		}
		if index == 0 {
			if name, k, ok = readInt(b[n:], 7); k == 0 {
				return p, ok
			}
			n += k
			if name > maxList {
				p.size, p.long, p.drop, p.value = n, true, name, true
				return p, true
			}
			if n += name; n >= len(b) {
				return p, true
			}
		}
	}
	value, k, ok := readInt(b[n:], 7)
	if k == 0 {
		return p, ok
	}
	if n += k; d.value || name+value > maxList {
		p.size, p.long, p.drop = n, true, value
		return p, true
	}
	p.size = n + value
	return p, true
}

// readInt reads an integer with an n-bit prefix (RFC 7541 section 5.1). Size is its size in bytes, or 0 if more bytes are needed.
// Values are capped at huge, which is larger than any permitted value. It returns false if the integer has more bytes than the
// HPACK decoder accepts.
func readInt(b []byte, n int) (i, size int, ok bool) {
	const most, huge = 9, 1 << 30
	if len(b) == 0 {
		return 0, 0, true
	}
	full := 1<<n - 1
	if i = int(b[0]) & full; i < full {
		return i, 1, true
	}
	for k := range len(b) - 1 {
		if k == most {
			return 0, 0, false
		}
		i = min(i+int(b[k+1]&0x7f)<<(7*min(k, 5)), huge)
		if b[k+1] < 0x80 {
			return i, k + 2, true
		}
	}
	return 0, 0, len(b) <= most
}
