// Package http1 is the message layer of HTTP/1.x. It parses the bytes of clients and hosts into requests and responses, decides
// what they mean, and writes new heads and framing from that decision. Raw bytes of a head are never passed on.
//
// It is pure code over byte slices. It knows nothing about sockets, timers, upstream groups or exchanges, and looks at body
// bytes only for chunk framing. A parser is given bytes and returns need-more, done(n) or malformed. It may be given the same
// bytes again with more appended, and then continues where it stopped. Nothing allocates once slices have grown to the size of
// the traffic.
//
// Where the RFCs (9110, 9112) leave a choice the package takes the strict one: no two readers may disagree about where a
// message ends.
package http1
