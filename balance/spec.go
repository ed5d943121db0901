package balance

import (
	"fmt"
	"slices"
	"time"
)

// Spec is a host as configured.
type Spec struct {
	// ID is the key of the host in a Registry: the same in all processes, and after a restart too.
	ID string
	// Name is what a key is compared with if hosts are chosen by name.
	Name string
	// Weight is the host's share, up to MaxWeight. A host of weight zero gets only sticky clients.
	Weight int
	// Tier orders hosts by preference: a host is chosen only if no host of a lower tier is usable.
	Tier int
	// MaxConns bounds the concurrent leases, over all processes; zero means no bound.
	MaxConns int
	// Drain says that the host gets only sticky clients, because it is about to be removed.
	Drain bool
}

const (
	// MaxWeight bounds a Spec's Weight: SRV records have 16 bits for it (RFC 2782).
	MaxWeight = 1<<16 - 1
	// BackupTier is the Tier of backup hosts: higher than all priorities of SRV records.
	BackupTier = 1 << 16
	// maxTiers bounds the number of distinct tiers; further tiers count as the last one. Each tier costs a choice a look at all hosts when the
	// tiers before it have none to offer.
	maxTiers = 16
)

// Passive configures what is inferred from the outcomes of leases. The zero value means: a host that cannot be reached is tried last for a
// while.
type Passive struct {
	// Off disables all inference.
	Off bool
	// Failures is how many leases must end Erred within Window for the host to be ejected; zero disables ejection.
	Failures int
	Window   time.Duration
	// Eject is the duration of the first ejection; each further recent ejection doubles it, up to MaxEject. Both are at most a day.
	Eject, MaxEject time.Duration
}

// Options says how a group's hosts are chosen.
type Options struct {
	// Algorithm is one of Algorithms.
	Algorithm string
	Hosts     []Spec
	Passive   Passive
	// Checked says that the hosts have active checks, whose results are reported by SetChecked.
	Checked bool
	// SlowStart is how long a recovered host takes to get its full share; zero means at once.
	SlowStart time.Duration
	// Queue is how many clients may wait for a host at a time, over all processes.
	Queue int
	// RetryBudget is how many of the leases may be retries, in percent.
	RetryBudget int
}

// standing is a Spec in the form that a choice uses.
type standing struct {
	weight, maxConns int32 // Spec.Weight; Spec.MaxConns
	tier             int16 // index among the existing tiers
	drain            bool
}

// chosen reports whether the host gets clients other than sticky ones.
func (s *standing) chosen() bool { return s.weight > 0 && !s.drain }

// standings checks specs and returns their standings and the number of tiers.
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
			weight: int32(s.Weight), maxConns: int32(min(s.MaxConns, 1<<30)),
			tier: int16(min(tier, maxTiers-1)), drain: s.Drain,
		})
	}
	return list, min(len(all), maxTiers), nil
}
