package engine

// Layer sits between a Conn's user and its socket; it is TLS or a stream. The methods of the Conn call the layer's methods of the
// same name, on the loop's goroutine, and the layer keeps their contracts. It reaches the socket through the Conn's Raw methods, which
// maintain the bits. A layer that holds bytes to read that the socket does not know of says so by HasMore. A Conn without a layer pays
// one comparison with nil for this.
type Layer interface {
	// Read implements Conn.Read.
	Read(c *Conn, p []byte) (int, error)
	// Write implements Conn.Write, and Conn.WriteLast if last is true.
	Write(c *Conn, p []byte, last bool) (int, error)
	// CloseWrite implements Conn.CloseWrite.
	CloseWrite(c *Conn) error
	// Writable is called when the socket may be writable again, so that the layer can send what no caller waits for.
	Writable(c *Conn)
	// Unsent returns how many of the layer's own bytes the socket has not accepted.
	Unsent() int
	// Closing is called once before the socket is closed or reset. The layer must release its resources.
	Closing(c *Conn, reset bool)
}

// SetLayer puts a layer between the open Conn's user and its socket. It stays until the Conn is closed, and MoveTo moves it along.
func (c *Conn) SetLayer(l Layer) { c.layer = l }

// Layer returns the layer, or nil.
func (c *Conn) Layer() Layer { return c.layer }

// Loop returns the loop of the open Conn.
func (c *Conn) Loop() *Loop { return c.loop }

// HasMore sets whether the layer may have bytes to read although the socket has none.
func (c *Conn) HasMore(more bool) {
	c.bits &^= bitInside
	if more {
		c.bits |= bitInside
	}
}

// RawReadable is Readable without the layer.
func (c *Conn) RawReadable() bool { return c.bits&bitReadable != 0 }
