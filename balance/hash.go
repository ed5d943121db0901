package balance

import "github.com/cespare/xxhash/v2"

var hashAlgorithm = Algorithm{
	Name: "hash",
	Key:  KeyTemplate,
	Doc:  "always the same host for the same `hash_key`, as long as the host serves, with shares by `weight`. When hosts come or go, few keys move to another host. Without a key, hosts are used in turn",
	make: newByHash,
}

// byHash takes the host to which a Maglev table maps the key. If that host is not usable, the hash is rehashed to look up another entry. So
// the keys of a host that is down are spread over the others by weight, each key always to the same host, and all return when the host
// does. Without a key, hosts are chosen in turn.
type byHash struct {
	by    Key
	rings []ring // one per tier
}

// rehashes is how many entries are looked at. If half of the hosts are usable, the chance of finding none is 2^-64.
const rehashes = 64

func newByHash(by Key, hosts []Spec) Balancer {
	b := &byHash{by: by}
	standings, tiers, err := standings(hosts)
	if err != nil {
		return b // newGroup refuses such hosts
	}
	for _, t := range newTiers(standings, tiers) {
		b.rings = append(b.rings, newRing(hosts, t.members))
	}
	return b
}

// Key implements Keyed.
func (b *byHash) Key() Key { return b.by }

// Pick implements Balancer.
func (b *byHash) Pick(hosts *Hosts, key []byte, tried *Tried) int {
	if len(key) == 0 || tried.tier >= len(b.rings) {
		return roundRobin{}.Pick(hosts, nil, tried)
	}
	r := &b.rings[tried.tier]
	hash := xxhash.Sum64(key)
	for n := 0; n < rehashes && len(r.hosts) > 0; n++ {
		i, next := r.host(hash), mix(hash)
		if hosts.Usable(i, tried) && hosts.acceptsTurn(i, next, tried) {
			return i
		}
		hash = next
	}
	return hosts.currentTier(tried).draw(hosts, hash, tried)
}
