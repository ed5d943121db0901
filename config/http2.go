package config

import (
	"slices"
	"strconv"
)

// HTTP2 bounds what one HTTP/2 connection of a client may use.
type HTTP2 struct {
	MaxStreams       int // concurrently open requests
	Window           int // bytes of a request's body that the client may send before they have been forwarded
	ConnectionWindow int // the same for all requests of the connection together
}

// http2Example shows the correct form.
const http2Example = `{ "max_streams": 50 }; what is spoken is said by "protocols" of an entry of "listen"`

// windowForm is a flow control window (RFC 9113 section 6.9). Its lower bound is the initial window of every connection.
func windowForm(usual int64, written string) size {
	const least, most = 1<<16 - 1, 1<<31 - 1
	return size{usual: usual, low: least, high: most, remedy: `write a number of bytes from 65535 to 2147483647, or a size with a unit, such as "1MiB"`, written: written}
}

// http2 decodes "http2" of o, a server with these listeners.
func (o object) http2(listen []Listen) (h HTTP2) {
	in, _ := o.section("http2")
	in.fill(ofHTTP2, &target{http2: &h})
	o.idle("http2", !slices.ContainsFunc(listen, Listen.speaksHTTP2), `it is ignored: clients do not speak HTTP/2 here`, `add "h2c", or with TLS "h2", to "protocols" of an entry of "listen", or remove it`)
	if h.Window > h.ConnectionWindow {
		m, path := in.member("window")
		if m == nil {
			m, path = in.member("connection_window")
		}
		in.warn(m.pos, path, `"window" is more than "connection_window", `+strconv.Itoa(h.ConnectionWindow)+" bytes, so no request can use all of it", `write a greater "connection_window"`)
	}
	return h
}
