// Package httpcodec is an HTTP/1.x proxy on a loop: clients, their exchanges with hosts, and the replies of the proxy's own. It
// decides when bytes move and what becomes of an exchange that fails.
//
// What the bytes mean is decided in package http1, which routes and policies there are in packages route and policy, and which
// host is asked, and by which connection, in package upstream.
package httpcodec
