package tlsconn

import "iter"

// coroutine runs handshakes, one after the other, on the goroutine that calls resume. It keeps its stack, which a handshake
// has grown to some 32 KiB, for the next one.
type coroutine struct {
	hs    *Handshake // that it runs; nil while it is idle
	next  func() (struct{}, bool)
	stop  func()
	yield func(struct{}) bool
}

func newCoroutine() *coroutine {
	k := new(coroutine)
	k.next, k.stop = iter.Pull(func(yield func(struct{}) bool) {
		k.yield = yield
		for {
			k.hs.run()
			k.hs = nil
			if !yield(struct{}{}) {
				return
			}
		}
	})
	return k
}

// resume runs the handshake on until it waits or is over; then k is idle.
func (k *coroutine) resume() { _, _ = k.next() }

// wait returns to whom resumed the coroutine, until that is done again. It is called from within the coroutine.
func (k *coroutine) wait() { k.yield(struct{}{}) }
