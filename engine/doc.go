// Package engine is the event loop. A Loop is one reactor: an epoll set with the connections, timers and tasks that
// belong to it. Only the goroutine in Loop.Run touches what a Loop owns; other goroutines reach it through Loop.Post.
//
// The package deals with descriptors, readiness, deadlines and bytes. It does not know protocols, upstream groups,
// configuration or logs: a codec (streamcodec, httpcodec) implements Handler and decides what to do.
//
// A connection is registered once, edge-triggered, for reading; epoll_ctl is called for it a second time only when a write
// first finds no room. A Conn keeps sticky readable and writable bits: events set them, EAGAIN or a short read clears them. A
// connection is paused by not reading from it; TCP's window then holds back its peer.
package engine
