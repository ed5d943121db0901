// Package proxyproto reads and writes the header in which a proxy states the addresses of the connection that it forwards: the PROXY
// protocol, versions 1 and 2, as specified in HAProxy's doc/proxy-protocol.txt.
//
// The package is pure code over byte slices and allocates nothing. It does not read from connections, and does not decide who may send
// a header.
package proxyproto
