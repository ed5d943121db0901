package metrics

// Kind is a kind of series.
type Kind uint8

// The kinds. KindProcess and KindService have no Series.
const (
	KindServer Kind = iota
	KindRoute
	KindGroup
	KindHost
	KindProcess
	KindService
	kinds = iota
)

// kindNames has, for each kind, its name and the prefix of its columns' names.
var kindNames = [kinds]struct{ word, prefix string }{
	KindServer:  {"server", "kroxy_server_"},
	KindRoute:   {"route", "kroxy_route_"},
	KindGroup:   {"group", "kroxy_upstream_"},
	KindHost:    {"host", "kroxy_host_"},
	KindProcess: {"process", "kroxy_process_"},
	KindService: {"service", "kroxy_"},
}

func (k Kind) String() string { return kindNames[k].word }

// Series identifies a counted server, route, group or host. Its names are also its labels; names that its kind does
// not have are empty.
type Series struct {
	Kind Kind
	// Server is the server's name in logs, and Route its route.
	Server, Route string
	// Group is the upstream group, and Host the host's label: "db1.example:5432".
	Group, Host string
}

// Labels returns the names and the values of a series' labels.
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

// Labels returns the names of the labels of a kind's series; the label of a process is the number of its row.
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

// Place is the position of a series in every row, in words. Zero means none: what is counted there is lost.
type Place uint32
