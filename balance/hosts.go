package balance

import (
	"sync/atomic"
	"time"
)

// WeightUnit is what Hosts.Weight returns for a weight of one.
const WeightUnit = 256

// Hosts is an algorithm's view of a group.
type Hosts struct {
	ids      []int // ids in the counters, by index in the group
	counters *Counters

	standings []standing // by index
	tiers     []tier     // the existing tiers, that of the main hosts first
	chosen    int        // how many hosts get clients other than sticky ones, orders aside
	plain     bool       // all hosts are of one tier, get clients (orders aside), and have no bound
	even      bool       // all hosts always have the same weight above zero, orders aside
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
		h.plain = h.plain && s.tier == 0 && s.chosen() && s.maxConns == 0
		h.even = h.even && s.weight == h.standings[0].weight && s.weight > 0
	}
	for i := range h.tiers {
		if t := &h.tiers[i]; len(t.members) > 0 {
			t.turn = h.word(int(t.members[0]), lineTurn)
		}
	}
	return h, nil
}

// Len returns the number of hosts.
func (h *Hosts) Len() int { return len(h.ids) }

// Active returns the number of leases of host i, over all rows.
func (h *Hosts) Active(i int) int64 { return h.counters.column(cellActive).sum(h.ids[i]) }

// Served returns how many leases of host i have ended Served.
func (h *Hosts) Served(i int) int64 { return h.counters.column(cellServed).sum(h.ids[i]) }

// Failed returns how many leases of host i have ended Failed.
func (h *Hosts) Failed(i int) int64 { return h.counters.column(cellFailed).sum(h.ids[i]) }

// Erred returns how many leases of host i have ended Erred.
func (h *Hosts) Erred(i int) int64 { return h.counters.column(cellErred).sum(h.ids[i]) }

// Even reports whether all hosts always have equal weights, so that an algorithm need not call Weight.
func (h *Hosts) Even() bool { return h.even && !h.ordered().weights() }

// Weight returns the current weight of host i, in WeightUnit. It rises during slow start.
func (h *Hosts) Weight(i int, tried *Tried) int {
	return int(h.ramp(i, int64(h.weightBy(i, h.counters.line(h.ids[i])))*WeightUnit, tried.now))
}

// ramp returns the part of full that host i gets now: all of it, or less during slow start, but at least one if full is not zero.
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

// Usable reports whether host i may be chosen: it was not tried, is up, is not ejected, passes its checks, is not drained, has room, and is
// of the current tier. It is the only predicate that algorithms use. If an algorithm finds no usable host for the key, it is asked again
// for each further tier, and at last once more for each tier with unfit hosts usable too.
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

// judge is the slow path of Usable. It records in tried what keeps the host from being used.
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
	if !tried.lastResort && !h.available(i, line, tried) {
		tried.skipped = true
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
	return h.standings[i].maxConns == 0 || h.Active(i) < h.maxLeases(i, now)
}

// maxLeases returns how many leases host i may have now. The host must have a bound.
func (h *Hosts) maxLeases(i int, now int64) int64 {
	return h.ramp(i, int64(h.standings[i].maxConns), now)
}

// available reports whether nothing is wrong with host i, or its group is panicking. If a probe or a trial is due, that is recorded in tried.
func (h *Hosts) available(i int, line []uint64, tried *Tried) bool {
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
			if tried.trial == 0 && h.passive.trialDue(e, tried.now) {
				tried.trial = int32(i) + 1
			}
			return false
		}
	}
	return true
}

// healthy reports whether nothing is wrong with host i, for counting healthy hosts.
func (h *Hosts) healthy(i int) bool {
	line := h.counters.line(h.ids[i])
	return (h.passive.off || atomic.LoadUint64(&line[lineHealth]) == 0) &&
		(h.passive.failures == 0 || atomic.LoadUint64(&line[lineEjected]) == 0) &&
		(!h.checked || atomic.LoadUint64(&line[lineFails]) == 0)
}

// take counts a lease of host i in a row, if the host has room.
func (h *Hosts) take(row, i int, now int64) bool {
	if h.plain || h.standings[i].maxConns == 0 {
		h.counters.add(row, h.ids[i], cellActive, 1)
		return true
	}
	return h.counters.take(row, h.ids[i], cellActive, h.maxLeases(i, now))
}

// startSlowStart starts the slow start of host i.
func (h *Hosts) startSlowStart(i int, now int64) {
	atomic.StoreUint64(h.word(i, lineBegan), uint64(now))
}

// milliseconds returns d in ms, or otherwise if d is not above zero; at least 1 ms and at most a day.
func milliseconds(d, otherwise time.Duration) int64 {
	if d <= 0 {
		d = otherwise
	}
	return max(min(d, 24*time.Hour).Milliseconds(), 1)
}
