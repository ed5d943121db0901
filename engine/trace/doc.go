// Package trace makes spans of exchanges and sends them to a collector, by OTLP over HTTP.
//
// What clients and hosts tell each other is a [Context] (W3C Trace Context): parsed and made here, without allocating. An event loop has a
// [Recorder], which gives it a [Request] to fill for each exchange that is sampled, and takes it back when it is over; all of them
// are from a pool. One goroutine, the [Exporter]'s, encodes and sends what the recorders of a process hold. Nobody on a loop waits for
// it: where the pool is empty there are no spans, which is counted.
//
// It knows nothing of HTTP exchanges but what a Request says, and imports nothing of ours.
package trace
