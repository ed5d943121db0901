// Package http1 is the message layer of HTTP/1.x: it turns bytes of clients and hosts into requests and responses, decides what they
// mean, and writes anew what is sent on. What it decided is all that is sent on: raw bytes of a head never pass through.
//
// It is pure code over byte slices: it knows no sockets, timers, upstream groups or exchanges, and no body bytes except the
// framing of chunks. A parser is given bytes and answers need-more, done(n) or malformed; it may be given the same bytes again
// with more behind them and then goes on where it was. Nothing in it allocates once slices have grown to the size of the traffic.
//
// Where the RFCs (9110, 9112) leave a choice, the strict side is taken: two readers of the same bytes must not come to different
// ends.
package http1
