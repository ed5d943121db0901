package streamcodec

// Members counts what an entry serves: sessions in this package, clients in package httpcodec. The zero value is empty. All methods
// must be called on one loop's goroutine.
type Members struct {
	n    int
	gone func() // called when the count reaches zero; nil if nobody waits for that
}

// Add counts one more.
func (m *Members) Add() { m.n++ }

// Remove counts one less. It calls the function given to WhenEmpty if that was the last one.
func (m *Members) Remove() {
	m.n--
	m.check()
}

// WhenEmpty calls gone as soon as the count is zero, possibly at once. Add must not be called any more.
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
