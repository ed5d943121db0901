// Package proxyproto reads and writes the header by which a proxy tells whose connection it passes on: the PROXY protocol,
// versions 1 and 2, as HAProxy's doc/proxy-protocol.txt specifies it.
//
// It is pure code over byte slices and allocates nothing. It does not read from connections, and does not decide who may send
// a header.
package proxyproto
