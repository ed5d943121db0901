package config

import (
	"net/netip"
	"time"
)

// Route says what happens to the requests, or in stream mode connections, that
// match it. Exactly one of To, Redirect and Respond is set.
type Route struct {
	Path string // its JSON path: "http.routes[2]", or that of a server without "routes"
	Name string // for logs: what the file calls it, or else Path

	Match *Match // nil takes all

	To       []Target // where it goes: at least one, weights not all 0
	Redirect *Redirect
	Respond  *Respond

	// All of these are http only.
	Rewrite         *Rewrite
	RequestHeaders  HeaderEdits // of what goes to a host
	ResponseHeaders HeaderEdits // of what goes to the client
	UpstreamHost    bool        // Host names the host, not what the client asked for
	MaxBodySize     int64       // of a request, in bytes; 0 is no bound

	SendTimeout       time.Duration // sending to the client
	ReadTimeout       time.Duration // stream: between two reads from the client
	ClientBodyTimeout time.Duration // http: between two reads of the request body
	ProxyReadTimeout  time.Duration // between two reads from the host
	ProxySendTimeout  time.Duration // between two writes to the host
}

// Target is a group and how much of a route's traffic it gets.
type Target struct {
	Group  *Group
	Weight int // its share, of the sum over all targets of the route
}

// Match is what has to hold for a route to be taken: all that is set, each by
// any of its values.
type Match struct {
	Host       []string // names in lower case, without port and dot at the end; "*.a.example" is any name below a.example
	Path       []string // whole paths
	PathPrefix []string // by whole segments; with '/' at the end only what is below
	PathRegex  []string // RE2, for the whole path
	Method     []string
	SNI        []string // like Host
	Header     []FieldMatch
	Query      []FieldMatch
	Cookie     []FieldMatch
	Client     []netip.Prefix
	Scheme     []string // "http" or "https"
	ListenPort []uint16
}

// FieldMatch is a match of one field by its name; exactly one of Values,
// Present and Regex is set.
type FieldMatch struct {
	Name    string
	Values  []string
	Present *bool  // whether it has to be there, or must not
	Regex   string // RE2, for the whole value
}

// Redirect is an answer that sends the client elsewhere.
type Redirect struct {
	To     string // a template
	Status int    // 301, 302, 303, 307 or 308
}

// Respond is an answer of our own.
type Respond struct {
	Status  int
	Body    string
	Headers []Header
}

// Rewrite changes the target of a request that goes to a host.
type Rewrite struct {
	StripPrefix string // off the path
	AddPrefix   string // before the path
	Path        string // instead of the path, a template; "" keeps it
	Query       string // instead of the query if HasQuery, a template
	HasQuery    bool
}

// Header is one header field. Name is an RFC 9110 token; Value has no control
// characters but may hold variables.
type Header struct {
	Name, Value string
}

// HeaderEdits change the fields of a message, first Remove, then Set, then Add.
type HeaderEdits struct {
	Set    []Header // in place of what is there; where two names differ only in letter case, the later wins
	Add    []Header // beside what is there
	Remove []string
}
