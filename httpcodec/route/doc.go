// Package route finds the route that a request takes: the first one in the order of the file whose match holds.
//
// Compile turns routes into a Table, which is not changed afterwards and serves any number of loops. Each loop has one Request,
// which holds what routes look at. A Table finds names and paths in hash tables, whatever the number of routes. Only those
// routes that have the request's name and path are looked at more closely, one by one.
//
// It is pure code over byte slices: it knows no sockets, no upstream groups, and nothing of what a route does with its
// requests. Find allocates nothing, but for what package regexp needs when its pools are empty.
//
// # One path
//
// Routes see a path in one normal form only (Normalizer), and so does a rewrite. What a host gets is the target as the client
// sent it. A host that reads it in another way than this package might serve what another route protects. So a path that common
// hosts resolve differently is refused, and docs/ARCHITECTURE.md lists what is left.
package route
