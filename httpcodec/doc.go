// Package httpcodec is an HTTP proxy on a loop: clients, their exchanges with hosts, and the replies of the proxy's own. It
// decides when bytes move and what becomes of an exchange that fails.
//
// What the bytes mean is decided in package http1, for HTTP/2 too, whose streams package h2conn makes connections of in that form.
// Which routes and policies there are is decided in packages route and policy, and which host is asked, and by which connection, in
// package upstream.
package httpcodec
