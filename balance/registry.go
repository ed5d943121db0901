package balance

import (
	"encoding/json"
	"fmt"
	"slices"
)

// Registry assigns hosts their ids in the counters and keeps them across configurations, so that a host's leases are counted in one place
// whichever configuration they are of. It belongs to the process that reads the configuration, and is not safe for concurrent use.
//
// A removed host keeps its id and counts in case it comes back. Only when all ids are taken does a new host get the id of a removed one:
// of those without anything held, the one removed longest ago.
type Registry struct {
	counters *Counters
	hosts    map[string]*registered // by key; the ids are 0 to len(hosts)-1
	commits  int
}

// registered is a host that has an id.
type registered struct {
	Key string `json:"key"`
	ID  int    `json:"id"`
	// Last is the number of the last commit that had the host, counted from 1; zero if none had.
	Last int `json:"last"`

	assigned bool // by the last Assign
}

// NewRegistry makes an empty registry for hosts that are counted in c.
func NewRegistry(c *Counters) *Registry {
	return &Registry{counters: c, hosts: make(map[string]*registered)}
}

// Assign returns ids for the hosts of a new configuration, given by distinct keys. The configuration in force keeps its ids until Commit;
// without a Commit the next Assign replaces this one. After an error nothing has changed.
func (r *Registry) Assign(keys []string) ([]int, error) {
	wanted := make(map[string]bool, len(keys))
	var missing []string
	for _, key := range keys {
		if wanted[key] {
			return nil, fmt.Errorf("balance: two hosts have the key %q", key)
		}
		wanted[key] = true
		if r.hosts[key] == nil {
			missing = append(missing, key)
		}
	}
	fresh := min(len(missing), r.counters.Hosts()-len(r.hosts))
	reused := r.reusable(wanted, len(missing)-fresh)
	if short := len(missing) - fresh - len(reused); short > 0 {
		return nil, fmt.Errorf("balance: %d hosts are %d more than there is room for: %d are allowed, with those of the "+
			"configuration in force and those that were removed and still have connections", len(keys), short, r.counters.Hosts())
	}

	for _, h := range r.hosts {
		h.assigned = false
	}
	for i, key := range missing {
		h := &registered{Key: key, ID: len(r.hosts)}
		if i >= fresh {
			old := reused[i-fresh]
			h.ID = old.ID
			delete(r.hosts, old.Key)
			r.counters.reset(h.ID)
		}
		r.hosts[key] = h
	}
	ids := make([]int, len(keys))
	for i, key := range keys {
		h := r.hosts[key]
		h.assigned = true
		ids[i] = h.ID
	}
	return ids, nil
}

// Commit puts the configuration of the last Assign in force: all users of the previous one have switched, except for leases that they
// still hold.
func (r *Registry) Commit() {
	r.commits++
	for _, h := range r.hosts {
		if h.assigned {
			h.Last = r.commits
		}
	}
}

// reusable returns up to n hosts that are not wanted, not in force, and hold nothing, those removed first first.
func (r *Registry) reusable(wanted map[string]bool, n int) []*registered {
	if n == 0 {
		return nil
	}
	var found []*registered
	for _, h := range r.hosts {
		if !wanted[h.Key] && !r.inForce(h) && !r.counters.held(h.ID) {
			found = append(found, h)
		}
	}
	slices.SortFunc(found, func(a, b *registered) int {
		if a.Last != b.Last {
			return a.Last - b.Last
		}
		return a.ID - b.ID
	})
	return found[:min(n, len(found))]
}

func (r *Registry) inForce(h *registered) bool { return r.commits > 0 && h.Last == r.commits }

// saved is the serialized form of a registry.
type saved struct {
	Version int           `json:"version"`
	Commits int           `json:"commits"`
	Hosts   []*registered `json:"hosts"` // by id
}

// savedVersion must rise when the meaning of saved changes.
const savedVersion = 1

// Snapshot serializes the registry for RestoreRegistry in a successor that has the same counters. An assignment without a commit is
// not in force there.
func (r *Registry) Snapshot() []byte {
	s := saved{Version: savedVersion, Commits: r.commits, Hosts: make([]*registered, len(r.hosts))}
	for _, h := range r.hosts {
		s.Hosts[h.ID] = h
	}
	b, err := json.Marshal(s)
	if err != nil {
		panic(err) // strings and numbers can be marshalled
	}
	return b
}

// RestoreRegistry makes a registry from a Snapshot, for the counters that the snapshot's ids belong to.
func RestoreRegistry(c *Counters, snapshot []byte) (*Registry, error) {
	const while = "balance: while restoring the hosts' ids: "
	var s saved
	if err := json.Unmarshal(snapshot, &s); err != nil {
		return nil, fmt.Errorf(while+"%w", err)
	}
	if s.Version != savedVersion {
		return nil, fmt.Errorf(while+"they have version %d, this program has %d", s.Version, savedVersion)
	}
	if len(s.Hosts) > c.Hosts() {
		return nil, fmt.Errorf(while+"there are %d, and the counters have room for %d", len(s.Hosts), c.Hosts())
	}
	r := &Registry{counters: c, hosts: make(map[string]*registered, len(s.Hosts)), commits: s.Commits}
	for i, h := range s.Hosts {
		if h == nil || h.ID != i || h.Last < 0 || h.Last > s.Commits {
			return nil, fmt.Errorf(while+"entry %d is not valid", i)
		}
		if r.hosts[h.Key] != nil {
			return nil, fmt.Errorf(while+"two hosts have the key %q", h.Key)
		}
		r.hosts[h.Key] = h
	}
	return r, nil
}
