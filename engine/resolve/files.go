package resolve

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"sync/atomic"
)

// errFilesOnly keeps a resolver from name servers.
var errFilesOnly = errors.New("only files are looked at")

// fromFiles is what this machine's files say of a name, and whether it is for nsswitch.conf only what counts if DNS has no answer. Go
// knows how to read both files, and says it by a resolver that reaches no server: when it tries to before it has an answer, DNS comes
// first.
func fromFiles(ctx context.Context, name string) (addrs []netip.Addr, behind bool) {
	var tried atomic.Bool
	r := net.Resolver{PreferGo: true, Dial: func(context.Context, string, string) (net.Conn, error) {
		tried.Store(true)
		return nil, errFilesOnly
	}}
	addrs, err := r.LookupNetIP(ctx, "ip", name)
	if err != nil {
		return nil, false
	}
	return addrs, tried.Load()
}
