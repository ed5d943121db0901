package config

import (
	"fmt"
	"strings"
	"time"
)

// HealthCheck configures the active checks of hosts.
type HealthCheck struct {
	Type string // "http", "grpc" or "tcp"

	Host string // for "http" and "grpc": the value of Host, which may have a port; "" for the host's own name

	// The following are for "http".
	Path   string   // requested path, with a query if there is one
	Method string   // not CONNECT
	Status Statuses // of healthy hosts
	Body   string   // must be in the first MaxCheckBody bytes of the content; "" matches anything

	Service string // for "grpc": the service that is asked about; "" for the host as a whole

	Port uint16 // port to connect to instead of the host's own; 0 for the host's own

	Interval     time.Duration // between two checks
	FastInterval time.Duration // between two checks while a host is changing its state
	Timeout      time.Duration // of one check
	Rise, Fall   int           // consecutive results that change a host's state
}

// MaxCheckBody is how much of a response's content a check examines.
const MaxCheckBody = 64 << 10

// PassiveCheck configures what a group infers from the traffic to its hosts.
type PassiveCheck struct {
	// Enabled is false if nothing is inferred. All other fields are zero then.
	Enabled bool
	// Requests says whether failures on established connections count too (resets,
	// timeouts, Status), and not only connections that cannot be
	// made. It is set if the file has the object.
	Requests bool

	Failures int           // failures that eject a host, at least 1
	Window   time.Duration // how long each failure counts
	Eject    time.Duration // duration of the first ejection
	MaxEject time.Duration // longest ejection; at least Eject
	Status   Statuses      // of responses that are failures
}

// maxEjectFactor is the default of MaxEject, as a multiple of Eject.
const maxEjectFactor = 10

// maxCheckService is the greatest length, in bytes, of the service name that a check asks about.
const maxCheckService = 256

// checkType is the type of checks; the default depends on the server.
type checkType struct{ choice }

func (checkType) spell() string { return "by the server" }

// healthCheck decodes "health_check"; nil means no checks.
func (o object) healthCheck() *HealthCheck {
	in, is := o.section("health_check")
	if is != on {
		return nil
	}
	c := &HealthCheck{}
	in.fill(ofHealthCheck, &target{check: c})
	if c.Type == "" {
		c.Type = "tcp"
		if o.modes&inHTTP != 0 {
			c.Type = "http"
		}
	}
	if c.FastInterval == 0 {
		c.FastInterval = c.Interval
	}
	if c.Timeout == 0 {
		c.Timeout = c.Interval
	}
	in.idle("fast_interval", c.FastInterval > c.Interval, `it is longer than "interval", which it should shorten`, "write a shorter time, or remove it")
	in.onlyWith(c)
	if n, path := in.child("body"); c.Body != "" && c.Method == "HEAD" {
		in.fail(n, path, "the response to HEAD has no content", `remove it, or write "method": "GET"`)
	}
	return c
}

// onlyWith warns of keys that c's type does not use, and clears their fields.
func (o object) onlyWith(c *HealthCheck) {
	forHTTP := []string{"path", "method", "status", "body"}
	switch c.Type {
	case "http":
		o.idle("service", true, `it is ignored with "type": "http": only gRPC has services`, `write "type": "grpc", or remove it`)
		c.Service = ""
		return
	case "grpc":
		for _, key := range forHTTP {
			o.idle(key, true, `it is ignored with "type": "grpc": the protocol defines the request and the answer of a healthy host`, `write "type": "http", or remove it`)
		}
	default:
		for _, key := range append(forHTTP, "host") {
			o.idle(key, true, `it is ignored with "type": "tcp": no request is sent`, `write "type": "http", or remove it`)
		}
		o.idle("service", true, `it is ignored with "type": "tcp": no request is sent`, `write "type": "grpc", or remove it`)
		c.Host, c.Service = "", ""
	}
	c.Path, c.Method, c.Status, c.Body = "", "", nil, ""
}

// passiveCheck decodes "passive_check".
func (o object) passiveCheck() PassiveCheck {
	in, is := o.section("passive_check")
	if is == off {
		return PassiveCheck{}
	}
	c := PassiveCheck{Enabled: true, Requests: is == on}
	in.fill(ofPassiveCheck, &target{passive: &c})
	if o.modes&inHTTP == 0 {
		c.Status = nil
	}
	switch n, path := in.child("max_eject"); {
	case c.MaxEject == 0:
		c.MaxEject = min(maxEjectFactor*c.Eject, MaxTimeout)
	case c.MaxEject < c.Eject:
		in.fail(n, path, `it is less than "eject", `+c.Eject.String(), "write at least as much")
	}
	return c
}

// Checks of the texts in health_check.

func checkPath(s string) (what, remedy string) {
	bad := func(r rune) bool { return r <= ' ' || r == 0x7f || r == '#' }
	switch {
	case !strings.HasPrefix(s, "/"):
		return quote(s) + " does not begin with a slash, as every path does", "write " + quote("/"+s)
	case strings.IndexFunc(s, bad) >= 0:
		return quote(s) + " has " + quote(s[strings.IndexFunc(s, bad):][:1]) + " in it, which cannot be in a request", "write it in percent-encoding, or leave it out"
	}
	return "", ""
}

func checkMethod(s string) (what, remedy string) {
	switch upper := strings.ToUpper(s); {
	case s == "" || strings.IndexFunc(s, notToken) >= 0:
		return quote(s) + " is not a method", `write one such as "GET"`
	case s != upper:
		return quote(s) + " is not a method that hosts know: case matters", "write " + quote(upper)
	case s == "CONNECT":
		return `"CONNECT" asks for a tunnel, which says nothing about the health of a host`, `write one such as "GET"`
	}
	return "", ""
}

func checkAuthority(s string) (what, remedy string) {
	if s == "" {
		return "", ""
	}
	name := s
	if host, port := splitAddress(s); port != "" && (strings.Count(s, ":") == 1 || strings.Contains(s, "]:")) {
		name = host
	}
	if _, what, _ = hostName(name); what != "" {
		return what, `write a name such as "app.example.com", with a port if it needs one`
	}
	return "", ""
}

func checkGRPCService(s string) (what, remedy string) {
	switch {
	case len(s) > maxCheckService:
		return fmt.Sprintf("the name is longer than %d bytes", maxCheckService), "write a shorter one"
	case strings.HasPrefix(s, "/"):
		return quote(s) + " begins with a slash, as a path does", `write a name such as "shop.Cart"`
	}
	return "", ""
}

func checkBody(s string) (what, remedy string) {
	if len(s) > MaxCheckBody {
		return fmt.Sprintf("the text is longer than the %d KiB of content that are examined", MaxCheckBody>>10), "write a shorter one"
	}
	return "", ""
}
