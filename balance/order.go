package balance

import "sync/atomic"

// order is what was ordered for a host while the program runs. It lies in shared memory, so that all choose by it from then on, and
// holds until ForgetOrders. Zero is nothing: the host is as the configuration has it.
type order uint64

const (
	orderDrain   order = 1 << iota // whether it is drained is ordered:
	orderDrained                   // it is
	orderWeight                    // its weight is ordered: what stands from orderShift on
	orderFlags         = orderDrain | orderDrained | orderWeight
	orderShift         = 16
	// orderMark is in the upper half of every order, so that a damaged word is none.
	orderMark order = 0x6f726472 << 32
)

// orderWith is the order of a host that the configuration has as s says: nil is what it has.
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

// drain and weight are what o says; ok is false where it says nothing.
func (o order) drain() (drained, ok bool) { return o&orderDrained != 0, o&orderDrain != 0 }
func (o order) weight() (weight int, ok bool) {
	return int(o >> orderShift & MaxWeight), o&orderWeight != 0
}

// orderIn is the order in a word that may be damaged.
func orderIn(word uint64) order {
	o := order(word)
	if o&^(orderFlags|MaxWeight<<orderShift) != orderMark {
		return 0
	}
	return o
}

// drainedBy reports whether host i, whose lines are given, is drained, by the configuration or an order.
func (h *Hosts) drainedBy(i int, line []uint64) bool {
	if drained, ok := orderIn(atomic.LoadUint64(&line[lineOrder])).drain(); ok {
		return drained
	}
	return h.standings[i].drain
}

// weightBy is the weight of host i likewise.
func (h *Hosts) weightBy(i int, line []uint64) int {
	if weight, ok := orderIn(atomic.LoadUint64(&line[lineOrder])).weight(); ok {
		return weight
	}
	return int(h.standings[i].weight)
}

// gets reports whether host i gets other clients than those who are stuck to it.
func (h *Hosts) gets(i int) bool {
	line := h.counters.line(h.ids[i])
	return h.weightBy(i, line) > 0 && !h.drainedBy(i, line)
}

// Configured is the host's own weight by order or, if there is none, by the configuration, from 0 to MaxWeight.
func (h *Hosts) Configured(i int) int { return h.weightBy(i, h.counters.line(h.ids[i])) }

// Ordered reports whether host i is drained or weighs other than the configuration says.
func (h *Hosts) Ordered(i int) bool { return orderIn(atomic.LoadUint64(h.word(i, lineOrder))) != 0 }

// orders says, in the lines of a group's first host, what orders there are in the group: none if it is zero. Above two flags stands the
// most that an order raises a weight by, in WeightUnit: what was ordered for what the configuration has, or one. Algorithms whose tables were
// made by the weights of the configuration leave so many turns to others that all get their shares (Hosts.takes). As nothing else comes of it, it does
// no harm if it is damaged.
type orders uint64

const (
	ordersAny    orders = 1 << iota // there are some
	ordersWeight                    // some are of weights
	ordersShift  = 2
	// fromNothing is the raise of a host whose weight was zero: no table has it.
	fromNothing = 1 << 32
)

// weights reports whether any host weighs other than the configuration says.
func (o orders) weights() bool { return o&ordersWeight != 0 }

func (o orders) raise() int64 { return int64(min(max(o>>ordersShift, WeightUnit), fromNothing)) }

// ordered is what orders there are.
func (h *Hosts) ordered() orders {
	if len(h.ids) == 0 {
		return 0
	}
	return orders(atomic.LoadUint64(h.word(0, lineOrders)))
}

// countOrders finds out what orders there are now that one was given, or the group's hosts are others.
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
		if atomic.CompareAndSwapUint64(p, old, uint64(next)) { // not if others have counted meanwhile, perhaps what came later
			return
		}
	}
}

// Order has host i drained or not, and weigh so much, for all who share the counters; nil is as the configuration says. It takes the
// place of an order that was given before. Only one at a time gives orders for a host.
func (g *Group) Order(i int, drain *bool, weight *int) {
	h := &g.hosts
	atomic.StoreUint64(h.word(i, lineOrder), uint64(orderWith(&h.standings[i], drain, weight)))
	g.Enforce()
}

// Orders returns what Order was given for host i, as far as it differs from what the configuration says.
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

// ForgetOrders has all hosts be as the configuration says. Each group says so with Enforce afterwards.
func (c *Counters) ForgetOrders() {
	for host := range c.hostsInUse() {
		for _, word := range []int{lineOrder, lineOrders} {
			if p := c.word(host, word); atomic.LoadUint64(p) != 0 { // others read this line
				atomic.StoreUint64(p, 0)
			}
		}
	}
}
