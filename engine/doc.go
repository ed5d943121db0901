// Package engine is the event loop: one Loop is one reactor, an epoll set with the connections, timers and tasks that
// belong to it. Everything a Loop owns is touched only by the goroutine in Loop.Run; others reach it through Loop.Post.
//
// The package knows descriptors, readiness, deadlines and bytes. It does not know protocols, upstream groups,
// configuration or logs: a codec (streamcodec, httpcodec) implements Handler and decides what to do with them.
//
// Connections are registered once, edge-triggered, for reading; epoll_ctl hears of one again only when a write first
// finds no room. A Conn keeps sticky readable and writable bits: events set them, EAGAIN or a short read clears them. Not
// reading is how a connection is paused, and the kernel's window then holds its peer back.
package engine
