package engine

import (
	"errors"
	"reflect"

	"github.com/panjf2000/gnet/v2/pkg/netpoll"
)

// epollFD returns the epoll descriptor of a gnet poller, so that the loop can wait on it directly.
//
// Registration goes through gnet, but its Polling is unsuitable for the wait: after each batch it polls again without
// waiting, and whenever that finds nothing it calls runtime.Gosched, which wakes another thread to look for work. The
// figures are in docs/performance.md. The field is not exported; reading it by reflection needs no unsafe, and with a
// version of gnet that lacks it the program refuses to start instead of failing in production.
func epollFD(p *netpoll.Poller) (int, error) {
	fd := reflect.ValueOf(p).Elem().FieldByName("fd")
	if !fd.IsValid() || !fd.CanInt() || fd.Int() < 0 {
		return -1, errors.New("engine: this version of gnet's poller has no field with the epoll descriptor")
	}
	return int(fd.Int()), nil
}
