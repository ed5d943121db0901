// Package streamcodec serves raw TCP. A Session carries the bytes of one client connection to a host and back. It copies small
// amounts and uses splice(2) for bulk, passes on half-closes and resets, and uses the kernel's windows as the only
// backpressure.
//
// It does not interpret the bytes, choose hosts (package balance), make connections (package upstream), or speak TLS.
package streamcodec
