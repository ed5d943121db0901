package check

import (
	"cmp"
	"reflect"
	"strconv"
	"strings"

	"kroxy-ev/config"
	"kroxy-ev/engine/proxyproto"
	"kroxy-ev/engine/upstream"
)

// Target is a host and how it is checked. It is immutable.
type Target struct {
	// ID is the host as Report names it. Several targets may have the same: such a host is down if one of them says so.
	ID int
	// Group is the name of the host's group, for logs.
	Group string
	// Host is where the host is and how it is spoken to. Its Label is what logs call it.
	Host upstream.Host
	// ProxyProtocol is the version of the PROXY header that a connection begins with, one that says that it is for no client.
	ProxyProtocol proxyproto.Version
	// Protocol is what a host that Check asks by HTTP is spoken to in. GRPC is HTTP/2 whatever it is.
	Protocol upstream.Protocol
	// Self knows the addresses that are not connected to, since they lead back to this proxy; nil for none.
	Self *upstream.Self
	// Authority is the Host of a request where Check has none.
	Authority string
	// Check is what is asked for, and how often. A check lasts until Timeout, from the wait for the host's name to the end of what is
	// read. The next one begins Interval after its beginning, or up to a tenth earlier; FastInterval, while the latest results contradict
	// what the host is taken to be. The first result of all decides by itself whether a host is up, and a host that never was up needs
	// to pass once.
	Check config.HealthCheck
}

// port is what is connected to.
func (t *Target) port() uint16 { return cmp.Or(t.Check.Port, t.Host.Port) }

// asks reports whether the host is asked for something, and not only connected to.
func (t *Target) asks() bool { return t.Check.Type == "http" || t.isGRPC() }

func (t *Target) isGRPC() bool { return t.Check.Type == "grpc" }

// Same reports whether what is known of t is true of o as well: it is the same host, checked in the same way.
func (t *Target) Same(o *Target) bool {
	return t.ID == o.ID && t.Group == o.Group && t.Host.Label == o.Host.Label && t.Host.Port == o.Host.Port &&
		t.Host.TLS.Same(o.Host.TLS) && t.ProxyProtocol == o.ProxyProtocol && t.Protocol == o.Protocol && t.Self == o.Self && t.Authority == o.Authority && reflect.DeepEqual(&t.Check, &o.Check)
}

// scheme is that of what the host is asked for.
func (t *Target) scheme() string {
	if t.Host.TLS != nil {
		return "https"
	}
	return "http"
}

// ranges are statuses as people write them.
func ranges(list config.Statuses) string {
	var words []string
	for _, r := range list {
		word := strconv.Itoa(r.Low)
		if r.High != r.Low {
			word += "-" + strconv.Itoa(r.High)
		}
		words = append(words, word)
	}
	return strings.Join(words, ", ")
}
