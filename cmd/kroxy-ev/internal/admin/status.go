package admin

import "time"

// Status is what the whole program does now: the answer of /api/v1/status and of "kroxy-ev status --json". No key is ever omitted. Counts begin
// at zero when the program starts and continue across reloads and upgrades. Lists are in the order of the file, and empty instead of null.
type Status struct {
	Version string    `json:"version"`
	PID     int       `json:"pid"`  // of the process that reads the configuration, which is the master if there are workers
	Mode    string    `json:"mode"` // "master" or "single"
	Started time.Time `json:"started"`
	Uptime  float64   `json:"uptime"` // seconds since Started
	// State is "starting", "serving", "reloading" or "stopping".
	State string `json:"state"`

	Path string `json:"config"` // path of the configuration, as given
	Hash string `json:"hash"`   // of the configuration in force, SHA-256 in hex: of the contents of the file and of those that it includes

	// LatencySince is the beginning of the period that latencies cover: 30 seconds to a minute ago while the status is polled, else the time of the
	// previous request, or at first the start.
	LatencySince time.Time `json:"latency_since"`

	LastReload *Reload  `json:"last_reload"` // null before the first reload
	Reloads    []Reload `json:"reloads"`     // the last 20, the newest first

	Workers      []Worker      `json:"workers"` // empty without worker processes
	Servers      []Server      `json:"servers"`
	Groups       []Group       `json:"groups"` // those that get traffic, each name once
	Certificates []Certificate `json:"certificates"`
}

// Reload is the outcome of a reload.
type Reload struct {
	Time     time.Time `json:"time"`
	OK       bool      `json:"ok"`
	By       string    `json:"by"`    // source of the order: "signal", "command", "admin"
	Error    string    `json:"error"` // one problem per line; "" for success
	Warnings []string  `json:"warnings"`
	Changes  []string  `json:"changes"` // one change per line
	Hash     string    `json:"hash"`    // of the configuration in force afterwards
}

// Worker is a worker process.
type Worker struct {
	Slot     int       `json:"slot"`
	PID      int       `json:"pid"`   // 0 while there is no process
	State    string    `json:"state"` // "starting", "serving", "leaving" or "restarting"
	Since    time.Time `json:"since"`
	Restarts uint64    `json:"restarts"` // how many processes of the slot have ended although the slot was still needed, since this master started
}

// Traffic is what has passed in both directions. A stream session counts as one request without a code, and so does a request that got no
// status.
type Traffic struct {
	Requests uint64            `json:"requests"`
	Codes    map[string]uint64 `json:"codes"`          // by class: "2xx", "3xx", "4xx", "5xx", "other"; empty for streams
	Received uint64            `json:"bytes_received"` // from clients, forwarded to hosts
	Sent     uint64            `json:"bytes_sent"`     // from hosts, forwarded to clients
}

// Latency holds percentiles of durations since Status.LatencySince, in milliseconds; 0 if nothing was measured.
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
	Refused  uint64   `json:"refused"` // refused connections, for any reason
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
	Latency         // of whole requests; for streams, of whole sessions
}

// Group is a group of hosts.
type Group struct {
	Name      string `json:"name"`
	Algorithm string `json:"algorithm"`
	Usable    int    `json:"usable"` // hosts that get new clients now
	Active    int64  `json:"active"`
	Queued    int64  `json:"queued"` // clients that wait in the queue
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

// Host is a host of a group. Active, Served and Failed count requests, or stream sessions.
type Host struct {
	Host string `json:"host"` // address: "127.0.0.1:9001", "unix:/run/app.sock". Orders name the host by it
	Name string `json:"name"` // name in the file, if there is one; else ""
	// State is StateUp, StateDown or StateDrain. StateDrain takes precedence over StateDown.
	State string `json:"state"`
	// LastError says why the host is down or, if it is not, why it was down last; "" if it never was.
	LastError string    `json:"last_error"`
	Since     time.Time `json:"since"` // when it entered State
	Active    int64     `json:"active"`
	Served    int64     `json:"served"` // ended well
	Failed    int64     `json:"failed"` // failed: the host could not be reached, or erred
	Weight    int       `json:"weight"` // weight in force, from 0 to 1000
	Drain     bool      `json:"drain"`  // gets no new clients
	// Ordered is whether Weight or Drain comes from an order and differs from the file.
	Ordered  bool `json:"ordered"`
	Backup   bool `json:"backup"`
	MaxConns int  `json:"max_conns"` // 0 means no bound
	Checked  bool `json:"checked"`   // has active checks
	Traffic
	Latency // until the first byte of the response; for streams, until the connection was established
}

// Certificate is a certificate that is presented to clients or hosts.
type Certificate struct {
	Path     string    `json:"path"`
	Names    []string  `json:"names"`
	NotAfter time.Time `json:"not_after"`
}
