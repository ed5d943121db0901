// Package route finds the route of a request: the first one in configuration order whose match holds.
//
// Compile turns routes into a Table, which is immutable and may be shared by any number of loops. Each loop has one Request,
// which holds what routes look at. A Table looks names and paths up in hash tables, however many routes there are. Only the
// routes that have the request's name and path are examined one by one.
//
// It is pure code over byte slices. It knows nothing about sockets or upstream groups, nor about what a route does with its
// requests. Find does not allocate, except for what package regexp needs when its pools are empty.
//
// # One path
//
// Routes and rewrites see a path only in one normal form (Normalizer). The host gets the target as the client sent it. A host
// that interprets it differently from this package might serve what another route protects. So a path that common hosts resolve
// differently is refused; docs/ARCHITECTURE.md lists the differences that remain.
package route
