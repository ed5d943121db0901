// Package trace makes spans of exchanges and sends them to a collector, by OTLP over HTTP.
//
// Clients and hosts exchange a [Context] (W3C Trace Context), which this package parses and formats without allocating. Each event loop has a
// [Recorder]. It provides a [Request] to fill for each sampled exchange, and takes it back when the exchange is over; requests
// come from a pool. One goroutine, the [Exporter]'s, encodes and sends the finished requests of all recorders of a process. A loop never waits
// for it: if the pool is empty, no spans are made, and the loss is counted.
//
// The package knows only what a Request says of an HTTP exchange, and imports no other package of this program.
package trace
