package metrics

// The structs here declare the metrics. Each field is a column: its tags are the name and the help text in the exposition and in docs/metrics.md,
// and its type says what it counts, and by which labels. To add a column, add a field here, and the line that counts.
//
// "up" means bytes sent to hosts, "down" bytes sent to clients, as in $bytes_sent_upstream and $bytes_sent_downstream.

// Server holds the metrics of a configured server.
type Server struct {
	Accepted        Counter         `name:"connections_total" help:"Connections accepted from clients."`
	Active          Gauge           `name:"connections_active" help:"Client connections that are open now."`
	Requests        Classes         `name:"requests_total" help:"Requests, by class of the status in the access log; sessions of a stream server, and requests without a status, have no code."`
	Failures        Ends            `name:"failures_total" help:"Requests and sessions that failed, by $end_reason."`
	Bytes           Bytes           `name:"bytes_total" help:"Bytes sent to hosts (up) and to clients (down)."`
	Handshakes      Versions        `name:"tls_handshakes_total" help:"TLS handshakes with clients, by version and whether a session was resumed."`
	HandshakeErrors HandshakeErrors `name:"tls_handshake_failures_total" help:"TLS handshakes with clients that failed, by reason."`
	Refused         Refusals        `name:"connections_refused_total" help:"Connections refused before their first request or session, by reason."`
}

// Route holds the metrics of a route.
type Route struct {
	Requests Classes   `name:"requests_total" help:"Requests, by class of the status in the access log; sessions of a stream server, and requests without a status, have no code."`
	Failures Ends      `name:"failures_total" help:"Requests and sessions that failed, by $end_reason."`
	Bytes    Bytes     `name:"bytes_total" help:"Bytes sent to hosts (up) and to clients (down)."`
	Retries  Counter   `name:"retries_total" help:"Requests that were retried at another host."`
	Duration Histogram `name:"duration_seconds" help:"Time from the first byte of a request to the end of its response; of a session, from its beginning to its end."`
}

// Group holds the metrics of an upstream group.
type Group struct {
	Requests Classes `name:"requests_total" help:"Requests and sessions whose line in the access log names the group, by class of its status."`
	Failures Ends    `name:"failures_total" help:"Failed requests and sessions whose line in the access log names the group, by $end_reason."`
	Bytes    Bytes   `name:"bytes_total" help:"Bytes sent to hosts (up) and to clients (down)."`
	Retries  Counter `name:"retries_total" help:"Requests that were retried at another host."`
	Waited   Counter `name:"queued_total" help:"Requests and sessions that waited in the queue."`
	Queued   Gauge   `name:"queued" help:"Requests and sessions that wait in the queue now."`
}

// Host holds the metrics of a host of a group.
type Host struct {
	Requests  Classes   `name:"requests_total" help:"Requests and sessions sent to the host, by class of the host's status; each try counts, and a try without a status has no code."`
	Bytes     Bytes     `name:"bytes_total" help:"Bytes sent to the host (up) and from it to clients (down)."`
	Opened    Counter   `name:"connections_total" help:"Connections made to the host."`
	Open      Gauge     `name:"connections_open" help:"Connections to the host that are open now, idle ones included."`
	Failures  Faults    `name:"failures_total" help:"Times that the host failed, by reason."`
	Connect   Histogram `name:"connect_seconds" help:"Time to connect to the host, including the TLS handshake."`
	FirstByte Histogram `name:"first_byte_seconds" help:"Time from sending a request to the host until the head of its response arrived."`
}

// Process holds the metrics of a row's writer: a process with one loop, or one loop of a process.
type Process struct {
	Busy       Timespan  `name:"loop_busy_seconds_total" help:"Time in which the event loop served events."`
	Waited     Timespan  `name:"loop_waited_seconds_total" help:"Time in which the event loop waited for events."`
	Runs       Histogram `name:"loop_run_seconds" help:"Time that the event loop took to serve the events of one wait; connections wait that long for each other."`
	Paused     Pauses    `name:"accept_pauses_total" help:"Times that accepting connections had to pause, by reason."`
	Lines      Counter   `name:"access_log_lines_total" help:"Lines made for access logs."`
	LinesLost  Tally     `name:"access_log_lines_lost_total" help:"Lines of access logs that were lost."`
	SpansLost  Tally     `name:"trace_spans_lost_total" help:"Spans of requests that were lost because the collector did not accept them or too many were waiting for it."`
	Suppressed Tally     `name:"error_log_lines_suppressed_total" help:"Repeated lines of the error log that were counted instead of written."`
}

// Service holds the metrics of the process that reads the configuration, whether or not it serves clients. They survive upgrades.
type Service struct {
	Reloads  Outcomes `name:"reloads_total" help:"Reloads of the configuration, by outcome."`
	Reloaded Moment   `name:"last_reload_timestamp_seconds" help:"Time of the last reload, successful or not; 0 for never."`
	Applied  Moment   `name:"last_successful_reload_timestamp_seconds" help:"Time when a configuration last took effect, at the start or by a reload."`
	Restarts Tally    `name:"worker_restarts_total" help:"Worker processes that ended unexpectedly and were restarted."`
}

// views holds the structs, by kind.
var views = [...]any{
	KindServer:  Server{},
	KindRoute:   Route{},
	KindGroup:   Group{},
	KindHost:    Host{},
	KindProcess: Process{},
	KindService: Service{},
}
