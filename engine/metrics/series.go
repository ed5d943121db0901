package metrics

// Kind is a kind of what is counted together.
type Kind uint8

// The kinds. All but KindProcess and KindService are those of a Series.
const (
	KindServer Kind = iota
	KindRoute
	KindGroup
	KindHost
	KindProcess
	KindService
	kinds = iota
)

// kindNames has, for each kind, its word in keys and the beginning of the names of its columns.
var kindNames = [kinds]struct{ word, prefix string }{
	KindServer:  {"server", "kroxy_server_"},
	KindRoute:   {"route", "kroxy_route_"},
	KindGroup:   {"group", "kroxy_upstream_"},
	KindHost:    {"host", "kroxy_host_"},
	KindProcess: {"process", "kroxy_process_"},
	KindService: {"service", "kroxy_"},
}

func (k Kind) String() string { return kindNames[k].word }

// Series is one server, route, group or host that is counted. It is known by its kind and its names, which are its labels too; those that
// its kind does not have are empty.
type Series struct {
	Kind Kind
	// Server is what logs call the server, and Route its route.
	Server, Route string
	// Group is the upstream group, and Host the host as people write it: "db1.example:5432".
	Group, Host string
}

// Labels are the names of a series' labels, and their values.
func (s Series) Labels() (names, values []string) {
	names = s.Kind.Labels()
	switch s.Kind {
	case KindServer:
		values = []string{s.Server}
	case KindRoute:
		values = []string{s.Server, s.Route}
	case KindGroup:
		values = []string{s.Group}
	case KindHost:
		values = []string{s.Group, s.Host}
	}
	return names, values
}

// Labels are the names of the labels of a kind's series; a process has the number of its row.
func (k Kind) Labels() []string {
	switch k {
	case KindServer:
		return []string{"server"}
	case KindRoute:
		return []string{"server", "route"}
	case KindGroup:
		return []string{"group"}
	case KindHost:
		return []string{"group", "host"}
	case KindProcess:
		return []string{"loop"}
	}
	return nil
}

// Place is where a series lies in every row, in words. Zero is nowhere: what is counted there is lost.
type Place uint32
