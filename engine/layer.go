package engine

// Layer is what stands between a Conn's user and its socket: TLS. It is called on the loop's goroutine, by the methods of
// the same name of the Conn that it is set for, keeps their contracts, and reaches the socket by the Conn's Raw methods. Those
// keep the bits; a layer that has more to give than the socket knows of says so by HasMore. A Conn without a layer pays for
// this by comparing with nil.
type Layer interface {
	// Read is Conn.Read.
	Read(c *Conn, p []byte) (int, error)
	// Write is Conn.Write, and Conn.WriteLast if last is true.
	Write(c *Conn, p []byte, last bool) (int, error)
	// CloseWrite is Conn.CloseWrite.
	CloseWrite(c *Conn) error
	// Writable is called when the socket may have room again: for what no caller is waiting for.
	Writable(c *Conn)
	// Unsent is how many bytes of the layer's own the socket has not taken.
	Unsent() int
	// Closing is called once before the socket is closed, or reset. The layer gives back what it holds.
	Closing(c *Conn, reset bool)
}

// SetLayer puts a layer between the open Conn's user and its socket. It stays until the Conn is closed, and moves with it.
func (c *Conn) SetLayer(l Layer) { c.layer = l }

// Layer is the layer that was set, nil if there is none.
func (c *Conn) Layer() Layer { return c.layer }

// Loop is the loop of the open Conn.
func (c *Conn) Loop() *Loop { return c.loop }

// HasMore says whether the layer may have bytes for a reader although the socket has none.
func (c *Conn) HasMore(more bool) {
	c.bits &^= bitInside
	if more {
		c.bits |= bitInside
	}
}

// RawReadable is Readable past the layer.
func (c *Conn) RawReadable() bool { return c.bits&bitReadable != 0 }
