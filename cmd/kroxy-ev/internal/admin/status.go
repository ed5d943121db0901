package admin

import "time"

// Status is what the whole program does now: the answer of /api/v1/status, and of "kroxy-ev status --json". Names are never left out;
// counts begin at zero when the program starts and go on over reloads and upgrades. Lists are in the order of the file, and empty rather
// than null.
type Status struct {
	Version string    `json:"version"`
	PID     int       `json:"pid"`  // of the process that reads the configuration: the master, if there are workers
	Mode    string    `json:"mode"` // "master" or "single"
	Started time.Time `json:"started"`
	Uptime  float64   `json:"uptime"` // seconds since Started
	// State is "starting", "serving", "reloading" or "stopping".
	State string `json:"state"`

	Path string `json:"config"` // of the configuration's file, as it was given
	Hash string `json:"hash"`   // of the configuration in force, SHA-256 in hex: of what the files say, with those that they include

	// LatencySince is the beginning of the time that latencies are of: 30 seconds to a minute ago while the status is asked for all the time, else when
	// it was asked for last; at first, the start.
	LatencySince time.Time `json:"latency_since"`

	LastReload *Reload  `json:"last_reload"` // null before the first
	Reloads    []Reload `json:"reloads"`     // the last 20, the newest first

	Workers      []Worker      `json:"workers"` // none without worker processes
	Servers      []Server      `json:"servers"`
	Groups       []Group       `json:"groups"` // those that traffic goes to, each name once
	Certificates []Certificate `json:"certificates"`
}

// Reload is how a reload ended.
type Reload struct {
	Time     time.Time `json:"time"`
	OK       bool      `json:"ok"`
	By       string    `json:"by"`    // who asked for it: "signal", "command", "admin"
	Error    string    `json:"error"` // each problem in a line of its own; "" if all went well
	Warnings []string  `json:"warnings"`
	Changes  []string  `json:"changes"` // what became different, a line each
	Hash     string    `json:"hash"`    // of the configuration in force afterwards
}

// Worker is a worker process.
type Worker struct {
	Slot     int       `json:"slot"`
	PID      int       `json:"pid"`   // 0 while there is none
	State    string    `json:"state"` // "starting", "serving", "leaving" or "restarting"
	Since    time.Time `json:"since"`
	Restarts uint64    `json:"restarts"` // how many processes of the slot have ended although it still needed one, since this master started
}

// Traffic is what has passed, in both directions. A session of a stream counts as one request, without a code, and so does a request
// that got no status.
type Traffic struct {
	Requests uint64            `json:"requests"`
	Codes    map[string]uint64 `json:"codes"`          // by class: "2xx", "3xx", "4xx", "5xx", "other"; empty for streams
	Received uint64            `json:"bytes_received"` // from clients, sent on to hosts
	Sent     uint64            `json:"bytes_sent"`     // from hosts, sent on to clients
}

// Latency is how long something took since Status.LatencySince, in milliseconds; 0 if nothing was measured.
type Latency struct {
	P50 float64 `json:"p50_ms"`
	P99 float64 `json:"p99_ms"`
}

// Server is a server of the configuration.
type Server struct {
	Name     string   `json:"name"`
	Mode     string   `json:"mode"`   // "http" or "stream"
	Listen   []string `json:"listen"` // such as "0.0.0.0:80" or "unix:/run/kroxy.sock"
	Active   int64    `json:"active"` // connections open now
	Accepted uint64   `json:"connections"`
	Refused  uint64   `json:"refused"` // connections, for any reason
	Traffic
	Handshakes       uint64  `json:"tls_handshakes"`
	FailedHandshakes uint64  `json:"tls_failed"`
	Routes           []Route `json:"routes"`
}

// Route is a route of a server.
type Route struct {
	Name string `json:"name"`
	To   string `json:"to"` // the groups that it leads to, or "redirect", or "respond"
	Traffic
	Failures uint64 `json:"failures"`
	Retries  uint64 `json:"retries"`
	Latency         // of whole requests; of streams, of whole sessions
}

// Group is a group of hosts.
type Group struct {
	Name      string `json:"name"`
	Algorithm string `json:"algorithm"`
	Usable    int    `json:"usable"` // hosts that get new clients now
	Active    int64  `json:"active"`
	Queued    int64  `json:"queued"` // clients that wait for a place
	Traffic
	Failures uint64 `json:"failures"`
	Retries  uint64 `json:"retries"`
	Hosts    []Host `json:"hosts"`
}

// The states of a host.
const (
	StateUp    = "up"
	StateDown  = "down"
	StateDrain = "drain"
)

// Host is a host of a group. Active, Served and Failed count requests, or the sessions of streams.
type Host struct {
	Host string `json:"host"` // where it is: "127.0.0.1:9001", "unix:/run/app.sock". It is what orders name it by
	Name string `json:"name"` // what it is called, if the file says so; else ""
	// State is StateUp, StateDown or StateDrain. Drain is told before down.
	State string `json:"state"`
	// LastError says why the host is down, and when it is not, why it was last; "" if it never was.
	LastError string    `json:"last_error"`
	Since     time.Time `json:"since"` // when it came into State
	Active    int64     `json:"active"`
	Served    int64     `json:"served"` // that ended well
	Failed    int64     `json:"failed"` // that did not: the host could not be reached, or erred
	Weight    int       `json:"weight"` // in force, from 0 to 1000
	Drain     bool      `json:"drain"`  // it gets no new clients
	// Ordered is whether Weight or Drain is by order, and other than what the file says.
	Ordered  bool `json:"ordered"`
	Backup   bool `json:"backup"`
	MaxConns int  `json:"max_conns"` // 0 is no bound
	Checked  bool `json:"checked"`   // it has active checks
	Traffic
	Latency // until the first byte of the response; of streams, until the connection stood
}

// Certificate is a certificate that clients or hosts are shown.
type Certificate struct {
	Path     string    `json:"path"`
	Names    []string  `json:"names"`
	NotAfter time.Time `json:"not_after"`
}
