package config

import (
	"net/url"
	"strings"
)

// Tracing configures the export of spans.
type Tracing struct {
	URL      string  // URL of a collector that accepts OTLP over HTTP, with its path
	Sampling float64 // share of requests that are traced, from 0 to 1
	Service  string  // service.name
}

const tracingExample = `{ "otlp_http": "http://127.0.0.1:4318" }`

// tracesPath is what the OTLP specification appends to a URL without a path.
const tracesPath = "/v1/traces"

// tracing decodes "tracing" of the file; nil if there is none.
func (o object) tracing() *Tracing {
	in, is := o.section("tracing")
	if is != on {
		return nil
	}
	t := &Tracing{}
	in.fill(ofTracing, &target{tracing: t})
	if !in.require("otlp_http", "", `"http://127.0.0.1:4318"`) {
		return nil
	}
	u, err := url.Parse(t.URL)
	if err != nil {
		return nil // reported already
	}
	if u.Port() == "4317" {
		n, path := in.child("otlp_http")
		o.warn(n.pos, path, "port 4317 is usually that of OTLP over gRPC, which is not supported", "write the port of OTLP over HTTP, which is 4318 in most collectors")
	}
	if strings.Trim(u.Path, "/") == "" {
		u.Path = tracesPath
		t.URL = u.String()
	}
	return t
}

// checkCollector returns what is wrong with a collector's URL.
func checkCollector(s string) (what, remedy string) {
	const how = `write a URL such as "http://127.0.0.1:4318"`
	u, err := url.Parse(s)
	switch {
	case s == "": // reported already
	case err != nil:
		return quote(shorten(s, 60)) + " is not a URL", how
	case u.Scheme != "http" && u.Scheme != "https":
		return quote(shorten(s, 60)) + " is not a URL of http or https", how
	case u.Hostname() == "":
		return quote(shorten(s, 60)) + " does not name a host", how
	case u.User != nil || u.Fragment != "" || u.RawQuery != "":
		return quote(shorten(s, 60)) + " has more in it than a host, a port and a path", how
	}
	return "", ""
}

// checkService returns what is wrong with a service name.
func checkService(s string) (what, remedy string) {
	if s == "" || len(s) > 255 || strings.IndexFunc(s, func(r rune) bool { return r < ' ' || r == 0x7f }) >= 0 {
		return quote(shorten(s, 60)) + " cannot be a service's name", "write up to 255 characters, without control characters"
	}
	return "", ""
}
