package engine

import (
	"errors"
	"reflect"

	"github.com/panjf2000/gnet/v2/pkg/netpoll"
)

// epollFD finds the epoll descriptor of a gnet poller, so that the loop can wait on it itself.
//
// Registration goes through gnet; its Polling does not do for the wait. After each batch it polls again without
// waiting, and whenever that finds nothing it calls runtime.Gosched, which wakes another thread to look for work. The
// figures are in docs/performance.md. The field is not exported; reading it by reflection needs no unsafe, and a
// version of gnet without it is refused at start, not met in production.
func epollFD(p *netpoll.Poller) (int, error) {
	fd := reflect.ValueOf(p).Elem().FieldByName("fd")
	if !fd.IsValid() || !fd.CanInt() || fd.Int() < 0 {
		return -1, errors.New("engine: this version of gnet's poller has no epoll descriptor where it is looked for")
	}
	return int(fd.Int()), nil
}
