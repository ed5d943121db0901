package proxy

import (
	"crypto/rand"

	"kroxy-ev/config"
	"kroxy-ev/httpcodec"
)

// secretSize is the length of a secret in bytes.
const secretSize = 32

// NewSecret makes the key for the cookies of sticky clients. All processes of a proxy have the same key, across reloads and upgrades. It is
// never written to a disk: after a restart clients get hosts and cookies anew.
func NewSecret() []byte {
	secret := make([]byte, secretSize)
	_, _ = rand.Read(secret) // never fails
	return secret
}

// makeSticky makes clients of sticky groups keep their host.
func (gs groups) makeSticky(cfg *config.Config, secret []byte) {
	keys, places := hostKeys(cfg)
	for use, g := range gs {
		if use.group.Sticky == nil || use.mode != config.ModeHTTP {
			continue
		}
		var ids []string
		for _, at := range places[use.group] {
			ids = append(ids, keys[at])
		}
		g.sticky = httpcodec.NewSticky(use.group.Sticky, secret, ids)
		gs[use] = g
	}
}
