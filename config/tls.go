package config

import "time"

// TLS configures TLS with clients; all fields are zero unless Enabled.
type TLS struct {
	Enabled      bool
	Certificates []KeyPair // at least one; the first is for clients that ask for no name or for a name without a certificate
	VerifyClient bool      // require a client certificate issued by ClientCA

	ClientCAPath string // "" unless VerifyClient
	ClientCA     []byte // PEM as read, at least one CA certificate; nil for the system roots

	MinVersion string // "1.2" or "1.3"

	TicketRotation time.Duration // how long a session ticket key is used; 0 for as long as the process runs
}

// ProxyTLS configures TLS with the hosts of a group; all fields are zero unless
// Enabled.
type ProxyTLS struct {
	Enabled bool
	Verify  bool // a host must have a certificate for its name issued by CA

	CAPath string // "" unless Verify
	CA     []byte // PEM as read, at least one CA certificate; nil for the system roots

	// ServerName replaces a host's own name in SNI and in the verification of its
	// certificate; spelled like a Host's Name, or "".
	ServerName string

	KeyPair KeyPair // the proxy's own certificate; zero if there is none
}

// ignored warns of keys that have no meaning without another key.
func (o object) ignored(without string, keys ...string) {
	for _, k := range keys {
		if m, path := o.member(k); m != nil && o.node.get(k) != nil {
			o.warn(m.pos, path, "it is ignored without "+without, "add "+quote(without)+": true, or remove it")
		}
	}
}

// unverified warns of a request for verification that has no effect without another
// key. It is not an error, because existing files may have
// it.
func (o object) unverified(without, key, effect string) {
	m, path := o.member(key)
	o.warn(m.pos, path, "it is ignored without "+without+": "+effect, "add "+quote(without)+": true, or remove it")
}

// tls decodes the TLS settings for clients of those entries of listen that have
// TLS.
func (o object) tls(listen []Listen) TLS {
	const ca, version, certs = "tls_client_ca_path", "tls_min_version", "certificates"
	const rotation = "tls_ticket_rotation"
	t := TLS{
		VerifyClient:   o.boolean("tls_verify_client"),
		TicketRotation: o.duration(rotation),
	}
	why := ""
	for _, l := range listen {
		if l.TLS && !t.Enabled {
			t.Enabled, why = true, "tls is true in "+l.Path
		}
	}
	if o.boolean("tls_enabled") {
		why = "tls_enabled is true"
	}
	if n, path := o.child(version); t.Enabled {
		t.MinVersion = o.text(version)
	} else if n != nil {
		o.str(n, path)
	}
	t.Certificates = o.certificates(t.Enabled, why)
	t.ClientCAPath, t.ClientCA = o.authorities(ca, t.Enabled && t.VerifyClient)
	switch {
	case !t.Enabled:
		// Do not warn of the keys that every file may have: some files switch TLS
		// off and keep them.
		o.ignored("tls_enabled", ca, version, certs, rotation)
		if t.VerifyClient {
			o.unverified("tls_enabled", "tls_verify_client", "connections with clients are not encrypted, and no client is verified")
		}
		return TLS{}
	case !t.VerifyClient:
		o.ignored("tls_verify_client", ca)
	}
	return t
}

// certificates decodes tls_cert_path with tls_key_path, and "certificates". If
// certificates are used, there must be at least one of either kind.
func (o object) certificates(used bool, why string) []KeyPair {
	const cert, key = "tls_cert_path", "tls_key_path"
	const entry = `{ "cert_path": "site.pem", "key_path": "site.key" }`
	const example = "[" + entry + "]"
	var pairs []KeyPair
	pair, given := o.keyPair(cert, key, used)
	if given {
		pairs = append(pairs, pair)
	}
	n, path := o.child("certificates")
	switch {
	case !used || given:
	case n == nil:
		o.requirePair(cert, key, why)
	case n.kind == kindArray && len(n.elements) == 0:
		o.fail(n, path, "there are no certificates in it, and "+why, "write "+example)
	}
	if n == nil {
		return pairs
	}
	for i := range o.array(n, path, example) {
		e, ok := o.object(&n.elements[i], indexPath(path, i), ofCertificate, entry)
		if !ok {
			continue
		}
		e.unknown()
		pair, given := e.keyPair("cert_path", "key_path", used)
		if used && !given {
			e.requirePair("cert_path", "key_path", "")
		}
		pairs = append(pairs, pair)
	}
	return pairs
}

// proxyTLS decodes the TLS settings for the hosts of a group.
func (o object) proxyTLS() ProxyTLS {
	const enabled, verify, cert, key = "proxy_tls_enabled", "proxy_tls_verify", "proxy_tls_cert_path", "proxy_tls_key_path"
	const ca, name = "proxy_tls_ca_path", "proxy_tls_server_name"
	t := ProxyTLS{Enabled: o.boolean(enabled), Verify: o.boolean(verify)}
	t.KeyPair, _ = o.keyPair(cert, key, t.Enabled)
	t.CAPath, t.CA = o.authorities(ca, t.Enabled && t.Verify)
	t.ServerName = o.serverName(name, t.Enabled)
	switch {
	case !t.Enabled:
		if t.Verify {
			o.unverified(enabled, verify, "connections with hosts are not encrypted, and no host is verified")
		} else {
			o.ignored(enabled, verify)
		}
		o.ignored(enabled, cert, key, ca, name)
		return ProxyTLS{}
	case !t.Verify:
		o.ignored(verify, ca)
	}
	return t
}

// serverName decodes an optional name; if it is used, it must be valid as a host's
// name.
func (o object) serverName(key string, used bool) string {
	s := o.text(key)
	if s == "" || !used {
		return ""
	}
	n, path := o.child(key)
	name, what, _ := hostName(s)
	if what != "" {
		// The remedy of hostName does not apply: a name cannot have a port beside it here.
		o.fail(n, path, what, `write the name in the hosts' certificates alone, such as "db.example.com", or an address such as "10.0.0.1"`)
	}
	return name
}
