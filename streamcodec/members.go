package streamcodec

// Members counts what an entry serves: sessions here, clients in package httpcodec. The zero value has none. It is for one loop.
type Members struct {
	n    int
	gone func() // is called when there are none; nil if nobody waits for that
}

// Join adds one.
func (m *Members) Join() { m.n++ }

// Part takes one away, which may call what waits for the last.
func (m *Members) Part() {
	m.n--
	m.check()
}

// WhenEmpty calls gone as soon as there are none, which may be now. Nothing may join any more.
func (m *Members) WhenEmpty(gone func()) {
	m.gone = gone
	m.check()
}

func (m *Members) check() {
	if gone := m.gone; gone != nil && m.n == 0 {
		m.gone = nil
		gone()
	}
}
