package proxy

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"kroxy-ev/balance"
)

// BenchmarkTake measures how long a reload stops a loop: between two events, the loop switches to another snapshot, of 5,000 routes and 100 groups.
// All other work of a reload is done outside the loops.
func BenchmarkTake(b *testing.B) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = listener.Close() }()
	raw, err := listener.(*net.TCPListener).SyscallConn()
	if err != nil {
		b.Fatal(err)
	}
	var fd int
	var dupErr error
	if err := errors.Join(raw.Control(func(s uintptr) { fd, dupErr = unix.Dup(int(s)) }), dupErr); err != nil {
		b.Fatal(err)
	}
	port := listener.Addr().(*net.TCPAddr).Port

	var routes, groups strings.Builder
	for i := range 5000 {
		fmt.Fprintf(&routes, `{"match":{"host":"site%d.example","path_prefix":"/app"},"proxy_to":"g%d"},`, i, i%100)
	}
	for i := range 100 {
		fmt.Fprintf(&groups, `,"g%d":{"hosts":[{"host":"127.0.0.1","port":9},{"host":"127.0.0.2","port":9}]}`, i)
	}
	path := filepath.Join(b.TempDir(), "f.json")
	file := fmt.Sprintf(`{"http":{"address":"127.0.0.1","port":%d,"routes":[%s{"respond":{"status":404}}]},"servers":{%s}}`, port, routes.String(), groups.String()[1:])
	if err := os.WriteFile(path, []byte(file), 0o600); err != nil {
		b.Fatal(err)
	}
	cfg, _, err := ReadConfig(path)
	if err != nil {
		b.Fatal(err)
	}
	counters := balance.NewCounters(1, 1000)
	ids, err := balance.NewRegistry(counters).Assign(HostKeys(cfg))
	if err != nil {
		b.Fatal(err)
	}
	resources := Resources{IDs: ids, Secret: NewSecret()}
	opened := Sockets{cfg.Servers[0].Listen[0].Key(): {fd}}
	p, err := New(cfg, opened, Options{Counters: counters, Rows: []int{0}, Resources: resources}, slog.New(slog.DiscardHandler))
	if err != nil {
		b.Fatal(err)
	}
	defer p.Close()
	var both [2]*Snapshot
	for i := range both {
		if both[i], err = p.Prepare(cfg, resources); err != nil {
			b.Fatal(err)
		}
		defer p.Discard(both[i])
	}
	for i := 0; b.Loop(); i++ {
		if err := p.reactors[0].take(both[i&1], nil); err != nil {
			b.Fatal(err)
		}
	}
}
