package config

import "slices"

// The words that values may use. They are data, so that a test can compare
// them with the packages that implement them; nobody may change them.
var (
	// Algorithms are the values of balancing_algo, the default first. "host"
	// is for http only.
	Algorithms = []string{"round_robin", "first", "least_conn", "host", "sni"}
)

// place is one kind of object in a file and the keys that it may have.
type place struct {
	name   string // for "... belongs in <name>"
	keys   []string
	strict bool // existing files do not have it, and so no keys in it that nothing reads
}

var (
	commonKeys = []string{
		"port", "workers_num", "reactors_num", "max_connections", "proxy_to",
		"send_timeout", "connect_timeout", "resolve_timeout",
		"proxy_read_timeout", "proxy_send_timeout", "shutdown_timeout",
		"tls_enabled", "tls_cert_path", "tls_key_path", "tls_verify_client", "tls_client_ca_path",
		"tls_min_version", "tls_handshake_timeout", "tls_ticket_rotation", "certificates",
		"file_log", "format_log", "error_log", "log_level", "servers",
		"watchdog_timeout", "pid_file", "user", "group",
	}

	topPlace    = &place{name: "the file's top level", keys: []string{"stream", "http"}}
	streamPlace = &place{name: `"stream"`, keys: append(slices.Clip(commonKeys), "read_timeout")}
	httpPlace   = &place{name: `"http"`, keys: append(slices.Clip(commonKeys),
		"client_header_timeout", "client_body_timeout", "headers", "keepalive_timeout", "upstream_keepalive",
		"upstream_keepalive_timeout", "max_body_size", "forwarded_headers", "trusted_proxies", "proxy_set_host")}
	groupPlace = &place{name: `a group in "servers"`, keys: []string{
		"hosts", "balancing_algo",
		"proxy_tls_enabled", "proxy_tls_verify", "proxy_tls_cert_path", "proxy_tls_key_path",
		"proxy_tls_ca_path", "proxy_tls_server_name",
	}}
	hostPlace        = &place{name: `an entry of "hosts"`, keys: []string{"host", "port", "name"}}
	certificatePlace = &place{name: `an entry of "certificates"`, keys: []string{"cert_path", "key_path"}, strict: true}

	places  = []*place{topPlace, streamPlace, httpPlace, groupPlace, hostPlace, certificatePlace}
	allKeys = keysOf(places)

	// counterparts are what the other mode has instead of a key.
	counterparts = map[string][]string{
		"read_timeout":          {"client_header_timeout", "client_body_timeout"},
		"client_header_timeout": {"read_timeout"},
		"client_body_timeout":   {"read_timeout"},
	}
)

// keysOf returns the keys of all places, each once.
func keysOf(places []*place) []string {
	var all []string
	for _, p := range places {
		all = append(all, p.keys...)
	}
	slices.Sort(all)
	return slices.Compact(all)
}

func placeOf(m Mode) *place {
	if m == ModeHTTP {
		return httpPlace
	}
	return streamPlace
}

// unknownKey explains a key that p does not have, in a file of mode m. Secure
// says that it looks like security.
func unknownKey(p *place, m Mode, key string, secure bool) (what, remedy string) {
	ignored, why := " is ignored", ""
	if p.strict {
		ignored = " has no effect"
	}
	if secure {
		ignored, why = " has no effect", noSafety
	}
	what = "unknown key " + quote(key) + ignored

	// A key spelled right may be in the wrong place or the wrong mode.
	var elsewhere []string
	for _, q := range []*place{topPlace, placeOf(m), groupPlace, hostPlace, certificatePlace} {
		if q != p && slices.Contains(q.keys, key) {
			elsewhere = append(elsewhere, q.name)
		}
	}
	if len(elsewhere) > 0 {
		return what + " here" + why, "it belongs in " + join(elsewhere)
	}
	other := placeOf(ModeHTTP)
	if m == ModeHTTP {
		other = placeOf(ModeStream)
	}
	if p == placeOf(m) && slices.Contains(other.keys, key) {
		what = quote(key) + ignored + ": it is a key of " + other.name + " files only"
		if instead := counterparts[key]; instead != nil {
			return what, p.name + " has " + list(instead)
		}
		return what, "remove it"
	}

	what += why
	if near := nearest(key, p.keys); near != nil {
		return what, didYouMean(near)
	}
	for _, q := range []*place{placeOf(m), groupPlace, hostPlace, certificatePlace} {
		if near := nearest(key, q.keys); len(near) == 1 {
			return what, didYouMean(near) + " It belongs in " + q.name
		}
	}
	if len(p.keys) <= 6 {
		return what, "remove it; the keys here are " + list(p.keys)
	}
	return what, "remove it"
}
