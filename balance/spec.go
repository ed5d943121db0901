package balance

import (
	"fmt"
	"slices"
	"time"
)

// Spec is a host as the configuration has it.
type Spec struct {
	// ID is the key that a Registry knows the host by: the same in all processes, and after a restart too.
	ID string
	// Name is what a key is compared with where hosts are chosen by name.
	Name string
	// Weight is the host's share, up to MaxWeight. A host that weighs nothing gets only those clients who are stuck to it.
	Weight int
	// Tier is which hosts it stands in for: it is chosen when no host of a lower tier will do.
	Tier int
	// MaxConns bounds the leases held at a time, over all processes; zero is no bound.
	MaxConns int
	// Drain is for a host that is to be left: it gets only those clients who are stuck to it.
	Drain bool
}

const (
	// MaxWeight bounds a Spec's Weight: SRV records have 16 bits for it (RFC 2782).
	MaxWeight = 1<<16 - 1
	// BackupTier is the Tier of hosts that are spares for all others: behind the priorities of SRV records.
	BackupTier = 1 << 16
	// maxTiers bounds the tiers that are told apart; those beyond count as the last one. Each costs a choice a look at all hosts
	// when all before have nothing to offer.
	maxTiers = 16
)

// Passive says what is concluded from how leases end. The zero value is: a host that cannot be reached is tried last for a while.
type Passive struct {
	// Off says that nothing is concluded.
	Off bool
	// Failures is how many leases must have ended Erred within Window for the host to be ejected; zero if none is for that.
	Failures int
	Window   time.Duration
	// Eject is for how long the first time; it is twice as long each further time of late, up to MaxEject. At most a day counts.
	Eject, MaxEject time.Duration
}

// Options says how a group's hosts are chosen.
type Options struct {
	// Algorithm is one of Algorithms.
	Algorithm string
	Hosts     []Spec
	Passive   Passive
	// Checked says that hosts have active checks, whose results come by SetChecked.
	Checked bool
	// SlowStart is how long a host that has come back from a failure takes to get all of its share; zero if it gets it at once.
	SlowStart time.Duration
	// Queue is how many may wait for a place at a time, over all processes.
	Queue int
	// RetryBudget is how many of the leases held may be retries, in percent.
	RetryBudget int
}

// standing is a host's Spec as a choice needs it.
type standing struct {
	weight, most int32 // Weight; MaxConns, or zero
	tier         int16 // the place of its tier among those that there are
	drain        bool
}

// chosen reports whether the host gets other clients than those who are stuck to it.
func (s *standing) chosen() bool { return s.weight > 0 && !s.drain }

// standings checks specs and says how many tiers there are.
func standings(specs []Spec) (list []standing, tiers int, err error) {
	var all []int
	for i, s := range specs {
		if s.Weight < 0 || s.Weight > MaxWeight || s.MaxConns < 0 {
			return nil, 0, fmt.Errorf("balance: host %d of a group has weight %d and max_conns %d", i, s.Weight, s.MaxConns)
		}
		all = append(all, s.Tier)
	}
	slices.Sort(all)
	all = slices.Compact(all)
	for _, s := range specs {
		tier, _ := slices.BinarySearch(all, s.Tier)
		list = append(list, standing{
			weight: int32(s.Weight), most: int32(min(s.MaxConns, 1<<30)),
			tier: int16(min(tier, maxTiers-1)), drain: s.Drain,
		})
	}
	return list, min(len(all), maxTiers), nil
}
