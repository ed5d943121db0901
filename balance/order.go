package balance

import "sync/atomic"

// order is an administrator's order for a host, given at run time. It is in shared memory, so that all processes obey it at once, and it
// holds until ForgetOrders. Zero means that there is none: the configuration applies.
type order uint64

const (
	orderDrain   order = 1 << iota // the order says whether the host is drained:
	orderDrained                   // it is
	orderWeight                    // the order has a weight, in the bits from orderShift on
	orderFlags         = orderDrain | orderDrained | orderWeight
	orderShift         = 16
	// orderMark is in the upper half of every valid order, so that a damaged word is recognized.
	orderMark order = 0x6f726472 << 32
)

// orderWith returns the order for a host with the configured values s. A nil pointer means the configured value.
func orderWith(s *standing, drain *bool, weight *int) (o order) {
	if drain != nil && *drain != s.drain {
		o |= orderDrain
		if *drain {
			o |= orderDrained
		}
	}
	if weight != nil && *weight != int(s.weight) {
		o |= orderWeight | order(min(max(*weight, 0), MaxWeight))<<orderShift
	}
	if o != 0 {
		o |= orderMark
	}
	return o
}

// drain and weight return the ordered value; ok is false if the order has none.
func (o order) drain() (drained, ok bool) { return o&orderDrained != 0, o&orderDrain != 0 }
func (o order) weight() (weight int, ok bool) {
	return int(o >> orderShift & MaxWeight), o&orderWeight != 0
}

// orderIn unpacks a word, which may be damaged.
func orderIn(word uint64) order {
	o := order(word)
	if o&^(orderFlags|MaxWeight<<orderShift) != orderMark {
		return 0
	}
	return o
}

// drainedBy reports whether host i, whose words are line, is drained by an order or, without one, by the configuration.
func (h *Hosts) drainedBy(i int, line []uint64) bool {
	if drained, ok := orderIn(atomic.LoadUint64(&line[lineOrder])).drain(); ok {
		return drained
	}
	return h.standings[i].drain
}

// weightBy returns the weight of host i by an order or, without one, by the configuration.
func (h *Hosts) weightBy(i int, line []uint64) int {
	if weight, ok := orderIn(atomic.LoadUint64(&line[lineOrder])).weight(); ok {
		return weight
	}
	return int(h.standings[i].weight)
}

// getsClients reports whether host i gets clients other than sticky ones.
func (h *Hosts) getsClients(i int) bool {
	line := h.counters.line(h.ids[i])
	return h.weightBy(i, line) > 0 && !h.drainedBy(i, line)
}

// Configured returns the weight of host i by an order or, without one, by the configuration, from 0 to MaxWeight.
func (h *Hosts) Configured(i int) int { return h.weightBy(i, h.counters.line(h.ids[i])) }

// Ordered reports whether an order changes the drain state or the weight of host i.
func (h *Hosts) Ordered(i int) bool { return orderIn(atomic.LoadUint64(h.word(i, lineOrder))) != 0 }

// orders summarizes the orders in a group; it is one of the words of the group's first host. Zero means that there are none. Above two
// flags it holds the greatest factor by which an order raises a weight, in WeightUnit: the ordered weight divided by the configured one,
// at least one. Algorithms with tables made from the configured weights give away so many turns that every host still gets its share
// (Hosts.acceptsTurn). A damaged word only distorts the shares.
type orders uint64

const (
	ordersAny    orders = 1 << iota // there are orders
	ordersWeight                    // some orders have a weight
	ordersShift  = 2
	// fromNothing is the factor if a host of weight zero has been given a weight: such a host is in no table.
	fromNothing = 1 << 32
)

// weights reports whether any order has a weight.
func (o orders) weights() bool { return o&ordersWeight != 0 }

func (o orders) raise() int64 { return int64(min(max(o>>ordersShift, WeightUnit), fromNothing)) }

// ordered returns the summary of the group's orders.
func (h *Hosts) ordered() orders {
	if len(h.ids) == 0 {
		return 0
	}
	return orders(atomic.LoadUint64(h.word(0, lineOrders)))
}

// countOrders updates the summary after an order or a change of the group's hosts.
func (h *Hosts) countOrders() {
	if len(h.ids) == 0 {
		return
	}
	p := h.word(0, lineOrders)
	for range maxRecounts {
		old := atomic.LoadUint64(p)
		var next orders
		raise := int64(WeightUnit)
		for i := range h.ids {
			o := orderIn(atomic.LoadUint64(h.word(i, lineOrder)))
			if o != 0 {
				next |= ordersAny
			}
			weight, ok := o.weight()
			if ok {
				next |= ordersWeight
			}
			if ok && weight > 0 {
				if was := int64(h.standings[i].weight); was == 0 {
					raise = fromNothing
				} else {
					raise = max(raise, (int64(weight)*WeightUnit+was-1)/was)
				}
			}
		}
		if next.weights() {
			next |= orders(raise) << ordersShift
		}
		if atomic.CompareAndSwapUint64(p, old, uint64(next)) { // fails if another process has counted meanwhile, perhaps with newer orders
			return
		}
	}
}

// Order sets whether host i is drained, and its weight, for all processes that share the counters; nil means the configured value. It
// replaces an earlier order. Orders for one host must not be given concurrently.
func (g *Group) Order(i int, drain *bool, weight *int) {
	h := &g.hosts
	atomic.StoreUint64(h.word(i, lineOrder), uint64(orderWith(&h.standings[i], drain, weight)))
	g.Enforce()
}

// Orders returns the values given to Order for host i, where they differ from the configuration.
func (g *Group) Orders(i int) (drain *bool, weight *int) {
	o := orderIn(atomic.LoadUint64(g.hosts.word(i, lineOrder)))
	if v, ok := o.drain(); ok {
		drain = &v
	}
	if v, ok := o.weight(); ok {
		weight = &v
	}
	return drain, weight
}

// ForgetOrders removes all orders. The caller must then call Enforce for each group.
func (c *Counters) ForgetOrders() {
	for host := range c.hostsInUse() {
		for _, word := range []int{lineOrder, lineOrders} {
			if p := c.word(host, word); atomic.LoadUint64(p) != 0 { // avoid dirtying a cache line that others read
				atomic.StoreUint64(p, 0)
			}
		}
	}
}
