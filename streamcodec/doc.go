// Package streamcodec serves raw TCP: a Session carries the bytes of one client connection to a host and back, by
// copying while the flow is small talk and by splice(2) while it is bulk, with half-close and resets passed on and with
// the kernel's windows as the only backpressure.
//
// It does not look into the bytes, choose hosts (package balance), make connections (package upstream), or speak TLS.
package streamcodec
