package tlsconn

import "iter"

// coroutine runs handshakes, one after the other, on the goroutine that calls resume. It keeps its stack, which a handshake
// has grown to some 32 KiB, for the next handshake.
type coroutine struct {
	hs    *Handshake // the current handshake; nil while idle
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

// resume runs the handshake until it waits or ends; when it has ended, k is idle.
func (k *coroutine) resume() { _, _ = k.next() }

// wait returns control to the caller of resume, until resume is called again. It is called inside the coroutine.
func (k *coroutine) wait() { k.yield(struct{}{}) }
