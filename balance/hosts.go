package balance

import (
	"sync/atomic"
	"time"
)

// WeightUnit is what Hosts.Weight gives for a weight of one.
const WeightUnit = 256

// Hosts is what an algorithm sees of a group.
type Hosts struct {
	ids      []int // in the counters, by index in the group
	counters *Counters

	standings []standing // by index
	tiers     []tier     // those that there are, the main hosts' first
	chosen    int        // how many hosts get other clients than those who are stuck to them, but for orders
	plain     bool       // all hosts are of one tier, get clients but for orders, and have no bound
	even      bool       // all weigh the same at all times, but for orders, and not nothing
	passive   rules
	checked   bool
	slowStart int64 // in ms
}

// newHosts makes the hosts of a group.
func newHosts(ids []int, c *Counters, o *Options) (Hosts, error) {
	h := Hosts{
		ids: ids, counters: c, plain: true, even: o.SlowStart <= 0,
		passive: o.Passive.rules(), checked: o.Checked, slowStart: o.SlowStart.Milliseconds(),
	}
	var tiers int
	var err error
	if h.standings, tiers, err = standings(o.Hosts); err != nil {
		return h, err
	}
	h.tiers = newTiers(h.standings, tiers)
	for i := range h.standings {
		s := &h.standings[i]
		if s.chosen() {
			h.chosen++
		}
		h.plain = h.plain && s.tier == 0 && s.chosen() && s.most == 0
		h.even = h.even && s.weight == h.standings[0].weight && s.weight > 0
	}
	for i := range h.tiers {
		if t := &h.tiers[i]; len(t.members) > 0 {
			t.turn = h.word(int(t.members[0]), lineTurn)
		}
	}
	return h, nil
}

// Len is the number of hosts.
func (h *Hosts) Len() int { return len(h.ids) }

// Active is how many leases host i has, over all rows.
func (h *Hosts) Active(i int) int64 { return h.counters.column(cellActive).sum(h.ids[i]) }

// Served is how many leases of host i have ended well.
func (h *Hosts) Served(i int) int64 { return h.counters.column(cellServed).sum(h.ids[i]) }

// Failed is how many leases of host i have ended because it could not be reached.
func (h *Hosts) Failed(i int) int64 { return h.counters.column(cellFailed).sum(h.ids[i]) }

// Erred is how many leases of host i have ended badly although it was reached.
func (h *Hosts) Erred(i int) int64 { return h.counters.column(cellErred).sum(h.ids[i]) }

// Even reports whether all hosts have equal weights, and at all times: then no algorithm needs to ask for Weight.
func (h *Hosts) Even() bool { return h.even && !h.ordered().weights() }

// Weight is the share of host i now, in WeightUnit; it grows through slow start.
func (h *Hosts) Weight(i int, tried *Tried) int {
	return int(h.ramp(i, int64(h.weightBy(i, h.counters.line(h.ids[i])))*WeightUnit, tried.now))
}

// ramp is how much of full, an amount above zero of host i, it gets now that it may be in slow start: one at least.
func (h *Hosts) ramp(i int, full, now int64) int64 {
	if h.slowStart == 0 || full == 0 {
		return full
	}
	began := int64(atomic.LoadUint64(h.word(i, lineBegan)))
	if age := now - began; began > 0 && 0 <= age && age < h.slowStart {
		return max(full*age/h.slowStart, 1)
	}
	return full
}

// Usable reports whether the choice may fall on host i: it was not tried, is up, is not ejected, passes its checks, is not
// drained, has room, and is of the tier in turn. It is the one thing that algorithms ask; when they find no usable host that the
// key allows, they are asked again for the next tier, and at last once more for each, and then those that are down are usable too.
func (h *Hosts) Usable(i int, tried *Tried) bool {
	if tried.Has(i) {
		return false
	}
	line := h.counters.line(h.ids[i])
	if h.plain && atomic.LoadUint64(&line[lineHealth])|atomic.LoadUint64(&line[lineEjected])|atomic.LoadUint64(&line[lineFails])|atomic.LoadUint64(&line[lineOrder]) == 0 {
		return true
	}
	return h.judge(i, line, tried)
}

// judge is Usable for a host of which more is to be known. What keeps it from being used is noted in tried.
func (h *Hosts) judge(i int, line []uint64, tried *Tried) bool {
	s := &h.standings[i]
	if !tried.stuck {
		if h.drainedBy(i, line) {
			if h.drained(i) {
				tried.drained = int32(i) + 1
			}
			return false
		}
		if h.weightBy(i, line) == 0 || int(s.tier) != tried.tier {
			return false
		}
	}
	if !tried.desperate && !h.fit(i, line, tried) {
		tried.passed = true
		return false
	}
	if !h.room(i, tried.now) {
		tried.full = true
		return false
	}
	return true
}

// room reports whether host i may have one more lease now.
func (h *Hosts) room(i int, now int64) bool {
	return h.standings[i].most == 0 || h.Active(i) < h.most(i, now)
}

// most is how many leases host i may have now, which has a bound.
func (h *Hosts) most(i int, now int64) int64 { return h.ramp(i, int64(h.standings[i].most), now) }

// fit reports whether nothing is known against host i. If it is time to find out anew, that is noted in tried.
func (h *Hosts) fit(i int, line []uint64, tried *Tried) bool {
	if h.checked && atomic.LoadUint64(&line[lineFails]) != 0 && !h.panicking() {
		return false
	}
	if !h.passive.off {
		if state := health(atomic.LoadUint64(&line[lineHealth])); !state.up() {
			if tried.due == 0 && state.due(tried.now) {
				tried.due = int32(i) + 1
			}
			return false
		}
	}
	if h.passive.failures > 0 {
		if e := ejection(atomic.LoadUint64(&line[lineEjected])); e != 0 && !h.panicking() {
			if tried.trial == 0 && h.passive.over(e, tried.now) {
				tried.trial = int32(i) + 1
			}
			return false
		}
	}
	return true
}

// well reports whether nothing is known against host i at present, for counting who is left.
func (h *Hosts) well(i int) bool {
	line := h.counters.line(h.ids[i])
	return (h.passive.off || atomic.LoadUint64(&line[lineHealth]) == 0) &&
		(h.passive.failures == 0 || atomic.LoadUint64(&line[lineEjected]) == 0) &&
		(!h.checked || atomic.LoadUint64(&line[lineFails]) == 0)
}

// take counts a lease of host i in a row, if it has room.
func (h *Hosts) take(row, i int, now int64) bool {
	if h.plain || h.standings[i].most == 0 {
		h.counters.add(row, h.ids[i], cellActive, 1)
		return true
	}
	return h.counters.take(row, h.ids[i], cellActive, h.most(i, now))
}

// cameBack has the slow start of host i begin.
func (h *Hosts) cameBack(i int, now int64) {
	atomic.StoreUint64(h.word(i, lineBegan), uint64(now))
}

// milliseconds is d in ms, at least least, if d is above zero, and else otherwise; and not above a day.
func milliseconds(d, otherwise time.Duration) int64 {
	if d <= 0 {
		d = otherwise
	}
	return max(min(d, 24*time.Hour).Milliseconds(), 1)
}
