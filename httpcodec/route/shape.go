package route

import "net/netip"

type Route struct {
	Name, Path string
	Match      *Match
}

type Match struct {
	Host, Path, PathPrefix, PathRegex, Method, SNI []string
	Header, Query, Cookie                          []FieldMatch
	Client                                         []netip.Prefix
	Scheme                                         []string
	ListenPort                                     []uint16
}

type FieldMatch struct {
	Name    string
	Values  []string
	Present *bool
	Regex   string
}
