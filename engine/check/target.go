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

// Target is a host and the way it is checked. It is immutable.
type Target struct {
	// ID identifies the host in calls of Report. Several targets may have the same ID; the host is down if one of them is.
	ID int
	// Group is the name of the host's group, for logs.
	Group string
	// Host is the host: its address, its TLS settings, and its Label, which logs use.
	Host upstream.Host
	// ProxyProtocol is the version of the PROXY header that begins a connection. The header says that the connection is for no client.
	ProxyProtocol proxyproto.Version
	// Protocol is the version of HTTP that an "http" check uses. A gRPC check always uses HTTP/2.
	Protocol upstream.Protocol
	// Self knows the addresses that lead back to this proxy and must not be connected to; nil for none.
	Self *upstream.Self
	// Authority is the Host of requests if Check has none.
	Authority string
	// Check says what to check, and how often. Timeout covers a whole check, from the wait for the host's name to the end of the
	// response. The next check begins Interval after the beginning of this one, or up to a tenth earlier; FastInterval while the latest results
	// contradict the state. The very first result decides by itself whether a host is up, and a host that was never up needs
	// to pass only once.
	Check config.HealthCheck
}

// port returns the port to connect to.
func (t *Target) port() uint16 { return cmp.Or(t.Check.Port, t.Host.Port) }

// asks reports whether a check sends a request, and does not only connect.
func (t *Target) asks() bool { return t.Check.Type == "http" || t.isGRPC() }

func (t *Target) isGRPC() bool { return t.Check.Type == "grpc" }

// Same reports whether t and o are the same host, checked in the same way, so that the results of t hold for o.
func (t *Target) Same(o *Target) bool {
	return t.ID == o.ID && t.Group == o.Group && t.Host.Label == o.Host.Label && t.Host.Port == o.Host.Port &&
		t.Host.TLS.Same(o.Host.TLS) && t.ProxyProtocol == o.ProxyProtocol && t.Protocol == o.Protocol && t.Self == o.Self && t.Authority == o.Authority && reflect.DeepEqual(&t.Check, &o.Check)
}

// scheme returns the scheme of requests to the host.
func (t *Target) scheme() string {
	if t.Host.TLS != nil {
		return "https"
	}
	return "http"
}

// ranges formats statuses for messages.
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
