package config

import (
	"fmt"
	"math"
)

// key is the one declaration of a key: from it come decoding, checks, hints,
// the schema and the reference. A plain key is declared here, has a field in
// what it belongs to, and acts where that is used; nothing else knows of it.
type key struct {
	name string
	of   level // what it belongs to
	// upTo is the outermost level where it may stand too, as the default of
	// all that is further in. The zero value is of's own.
	upTo  level
	modes modes // the servers that have it; the zero value is both
	form  form
	doc   string // Markdown, for the reference
	// into is the field that it is decoded into; nil if decoding takes the
	// form apart itself.
	into func(t *target) any

	places uint64 // where it may be, a bit each; filled in by declare
}

// level is a kind of object in a file.
type level uint8

const (
	own level = iota // only where it belongs
	ofFile
	ofProcess // the file, and the servers, as Kroxy has them there
	ofServer
	ofRoute
	ofGroup
	ofHost
	ofListen
	ofMatch
	ofField // a value of "header", "query", "cookie"
	ofTarget
	ofRedirect
	ofRespond
	ofRewrite
	ofEdits
	ofCertificate
	ofHealthCheck
	ofPassiveCheck
	ofQueue
	ofRetry
	ofSticky
	ofHTTP2
	ofResolver
	ofLogIf
	ofSyslog
	ofTracing
	ofAdmin
	ofAdminListen

	levels // how many there are
)

// modes are kinds of servers.
type modes uint8

const (
	inHTTP modes = 1 << iota
	inStream
	inBoth = inHTTP | inStream
)

func (m Mode) modes() modes {
	if m == ModeHTTP {
		return inHTTP
	}
	return inStream
}

// target is what keys are decoded into: one of its fields is set, that of the
// level.
type target struct {
	process *Process
	server  *Server
	route   *Route
	group   *Group
	host    *Host
	listen  *Listen

	check    *HealthCheck
	passive  *PassiveCheck
	queue    *Queue
	retry    *Retry
	sticky   *Sticky
	http2    *HTTP2
	resolver *Resolver
	logIf    *LogIf
	syslog   *Syslog
	tracing  *Tracing
	admin    *Admin
}

// keys are all there are, in the order of the reference.
var keys = declare([]key{
	{name: "http", of: ofFile, form: custom{"", serversSchema(inHTTP)},
		doc: "a server of HTTP, or an array of them"},
	{name: "stream", of: ofFile, form: custom{"", serversSchema(inStream)},
		doc: "a server of raw TCP, or an array of them"},
	{name: "include", of: ofFile, form: custom{"none", textsSchema},
		doc: "files that are a part of this one, see [several files](#several-files): `[\"sites/*.json\"]`"},

	{name: "resolver", of: ofFile, form: section{ofResolver, "the system's", `{ "servers": ["10.0.0.53"] }`, false},
		doc: "who is asked for the addresses of hosts, see [names](#names)"},

	{name: "tracing", of: ofFile, form: section{ofTracing, "none", tracingExample, false},
		doc: "spans of requests are sent to a collector, see [tracing.md](tracing.md)"},

	{name: "$schema", of: ofFile, form: textual{"none"},
		doc: "the JSON Schema by which editors complete and check the file: what `kroxy-ev schema` prints. Not read"},

	// The process.
	{name: "reactors_num", of: ofProcess, form: integer{0, maxProcesses, 0, "write a number of event loops, or 0 for one per CPU", "0: one per CPU"},
		doc:  "event loops of a process without workers",
		into: func(t *target) any { return &t.process.ReactorsNum }},
	{name: "workers_num", of: ofProcess, form: integer{1, maxProcesses, 1, fmt.Sprintf("write a number of processes from 1 to %d", maxProcesses), ""},
		doc:  "worker processes with `--multiprocess`, each with one event loop",
		into: func(t *target) any { return &t.process.WorkersNum }},
	{name: "max_connections", of: ofProcess, form: integer{0, math.MaxInt32, 0, "write a number of connections, or 0 for as many as the open file limit allows", "from `ulimit -n`"},
		doc:  "clients at once; more wait in the accept queue. A warning says if `ulimit -n` does not allow as many",
		into: func(t *target) any { return &t.process.MaxConnections }},
	{name: "shutdown_timeout", of: ofProcess, form: duration{usual: 8000, zero: "to end sessions at once"},
		doc:  "how long sessions may go on after SIGTERM or SIGINT: less than the 10 s after which `docker stop` kills; 0 ends them at once",
		into: func(t *target) any { return &t.process.ShutdownTimeout }},
	{name: "watchdog_timeout", of: ofProcess, form: duration{usual: 10000, zero: "for no limit"},
		doc:  "a worker that is silent for as long is replaced; 0 never",
		into: func(t *target) any { return &t.process.WatchdogTimeout }},
	{name: "user", of: ofProcess, form: textual{"as the master"},
		doc:  "whom workers run as, if the master is started by root",
		into: func(t *target) any { return &t.process.User }},
	{name: "group", of: ofProcess, form: textual{"the user's"},
		doc:  "their group likewise",
		into: func(t *target) any { return &t.process.GroupName }},
	{name: "pid_file", of: ofProcess, form: textual{"none"},
		doc:  "where the process, the master if there are workers, writes its id",
		into: func(t *target) any { return &t.process.PIDFile }},
	{name: "error_log", of: ofProcess, form: textual{"stderr"},
		doc:  "the file for what people should know",
		into: func(t *target) any { return &t.process.ErrorLog }},
	{name: "log_level", of: ofProcess, form: logLevel{choice{words: LogLevels, usual: "info", noun: "level", guess: true}},
		doc:  "`error`, `warn`, `info` or `debug`",
		into: func(t *target) any { return &t.process.LogLevel }},

	{name: "error_log_format", of: ofProcess, form: jsonOrText{choice{words: []string{"text", "json"}, usual: "text", noun: "format", guess: true}},
		doc:  "`text`, or `json`: one object a line",
		into: func(t *target) any { return &t.process.ErrorLogJSON }},

	{name: "admin", of: ofProcess, form: custom{"none", adminSchema},
		doc: "where the program is seen and steered: metrics, health, state, orders and a page for browsers; an object or an array of them, see [admin](#admin)"},

	// Servers.
	{name: "name", of: ofServer, form: textual{"its path, such as `http[0]`"},
		doc: "what the server is called in logs"},
	{name: "port", of: ofServer, form: portForm(8080),
		doc: "TCP port, all IPv4 addresses: short for an entry of `listen`. The default is for a server without `listen`"},
	{name: "listen", of: ofServer, form: custom{"none", arrayOf(ofListen)},
		doc: "where else to listen, see [listening](#listening)"},
	{name: "routes", of: ofServer, form: custom{"none", arrayOf(ofRoute)},
		doc: "what to do with what, see [routes](#routes). Without it, `proxy_to`, `redirect` or `respond` of the server are for all"},
	{name: "servers", of: ofServer, upTo: ofFile, form: custom{"required", groupsSchema},
		doc: "[groups of hosts](#groups-of-hosts), by name. A name is looked up in the server first, then in the file"},
	{name: "client_header_timeout", of: ofServer, upTo: ofFile, modes: inHTTP, form: duration{usual: 60000, zero: "for no limit"},
		doc:  "until the whole head of a request is there, else 408",
		into: func(t *target) any { return &t.server.ClientHeaderTimeout }},
	{name: "keepalive_timeout", of: ofServer, upTo: ofFile, modes: inHTTP, form: duration{usual: 75000, zero: "for no limit"},
		doc:  "between two requests of a client",
		into: func(t *target) any { return &t.server.KeepaliveTimeout }},
	{name: "forwarded_headers", of: ofServer, upTo: ofFile, modes: inHTTP, form: boolean{true},
		doc:  "hosts are told who the client is, and nobody but `trusted_proxies` may say it for them: [identity.md](identity.md)",
		into: func(t *target) any { return &t.server.ForwardedHeaders }},
	{name: "trusted_proxies", of: ofServer, upTo: ofFile, modes: inHTTP, form: networks{},
		doc:  "clients whose own identity fields are believed: `[\"10.0.0.0/8\"]`",
		into: func(t *target) any { return &t.server.TrustedProxies }},
	{name: "http2", of: ofServer, upTo: ofFile, modes: inHTTP, form: section{ofHTTP2, "its defaults", http2Example, false},
		doc: "what a client's connection in HTTP/2 may take, see [HTTP/2](#http2)"},
	{name: "file_log", of: ofServer, upTo: ofFile, form: textual{"none"},
		doc:  "the access log's file; `/dev/stdout` works",
		into: func(t *target) any { return &t.server.FileLog }},
	{name: "format_log", of: ofServer, upTo: ofFile, form: custom{"a useful line", formatLogSchema},
		doc: "text with variables, `\"json\"`, or an object of your own fields: [logging.md](logging.md)"},
	{name: "syslog", of: ofServer, upTo: ofFile, form: section{ofSyslog, "none", syslogExample, true},
		doc: "logs go to a syslog too, see [logging.md](logging.md#syslog); that of the error log is the file's. `true` is this machine's"},

	// TLS with clients.
	{name: "tls_enabled", of: ofServer, upTo: ofFile, form: boolean{false},
		doc: "clients speak TLS, where an entry of `listen` does not say otherwise; needs a certificate, in either of the next two ways"},
	{name: "tls_cert_path", of: ofServer, upTo: ofFile, form: textual{"none"},
		doc: "PEM file of the certificate chain for clients that ask for no name or for one that no other certificate is for"},
	{name: "tls_key_path", of: ofServer, upTo: ofFile, form: textual{"none"},
		doc: "PEM file of its key"},
	{name: "certificates", of: ofServer, upTo: ofFile, form: custom{"none", certificatesSchema},
		doc: "more of them, chosen by name: `[{ \"cert_path\": \"b.pem\", \"key_path\": \"b.key\" }]`. Without the pair above the first is the default"},
	{name: "tls_min_version", of: ofServer, upTo: ofFile,
		form: choice{words: []string{"1.2", "1.3"}, usual: "1.2", noun: "choice", remedy: `write "1.2" or "1.3": no other version is spoken`},
		doc:  "`1.2` or `1.3`"},
	{name: "tls_verify_client", of: ofServer, upTo: ofFile, form: boolean{false},
		doc: "demand a client certificate"},
	{name: "tls_client_ca_path", of: ofServer, upTo: ofFile, form: textual{"the system's"},
		doc: "the PEM file of the CAs that may have signed it"},
	{name: "tls_handshake_timeout", of: ofServer, upTo: ofFile, form: duration{usual: 10000, zero: "for no limit"},
		doc:  "until a client's handshake is done, or the name is read for `sni`",
		into: func(t *target) any { return &t.server.TLSHandshakeTimeout }},
	{name: "tls_ticket_rotation", of: ofServer, upTo: ofFile, form: duration{usual: 28800000, zero: "for no limit"},
		doc: "how long a key of session tickets is in use; tickets are good for two to three times as long"},

	// Listening.
	{name: "address", of: ofListen, form: textual{"all IPv4 addresses"},
		doc: "an IPv4 or IPv6 address; `\"::\"` is all addresses of both families"},
	{name: "port", of: ofListen, form: portForm(required),
		doc: "TCP port"},
	{name: "unix", of: ofListen, form: textual{"none"},
		doc: "path of a Unix-domain socket, instead of an address and a port"},
	{name: "mode", of: ofListen, form: custom{"`\"0660\"`", modeSchema},
		doc: "permissions of the Unix-domain socket, octal"},
	{name: "tls", of: ofListen, form: boolean{false},
		doc: "clients speak TLS here. The default is the server's `tls_enabled`"},
	{name: "protocols", of: ofListen, modes: inHTTP, form: protocols{},
		doc:  "what clients may speak here, in the order in which it is preferred: `\"h2\"` (HTTP/2 by TLS), `\"http/1.1\"`, `\"h2c\"` (HTTP/2 without TLS), see [http2.md](http2.md)",
		into: func(t *target) any { return &t.listen.Protocols }},
	{name: "ipv6_only", of: ofListen, form: boolean{false},
		doc:  "`\"::\"` is without IPv4",
		into: func(t *target) any { return &t.listen.IPv6Only }},
	{name: "proxy_protocol", of: ofListen, form: networks{},
		doc:  "networks that must say in a PROXY header (version 1 or 2) who the client is; connections from others are refused",
		into: func(t *target) any { return &t.listen.ProxyProtocol }},
	{name: "backlog", of: ofListen, form: integer{0, math.MaxInt32, 0, "write a number of connections, or 0 for as many as the system allows", "as the system allows"},
		doc:  "connections that wait to be accepted",
		into: func(t *target) any { return &t.listen.Backlog }},
	{name: "tcp_keepalive", of: ofListen, upTo: ofFile, form: duration{usual: 0, zero: "for none"},
		doc:  "a probe is sent to a client that is silent for as long",
		into: func(t *target) any { return &t.listen.TCPKeepalive }},

	// Routes.
	{name: "name", of: ofRoute, form: textual{"its path, such as `http.routes[0]`"},
		doc: "what the route is called in logs"},
	{name: "match", of: ofRoute, form: custom{"everything", objectOf(ofMatch)},
		doc: "what the route is for, see [match](#match)"},
	{name: "proxy_to", of: ofRoute, upTo: ofServer, form: custom{"required, or one of the next two", proxyToSchema},
		doc: "the group in `servers` that traffic goes to, or several: `[{ \"group\": \"new\", \"weight\": 5 }, { \"group\": \"old\", \"weight\": 95 }]`"},
	{name: "redirect", of: ofRoute, upTo: ofServer, modes: inHTTP, form: custom{"none", objectOf(ofRedirect)},
		doc: "the client is sent elsewhere: `{ \"to\": \"https://$host$request_uri\" }`"},
	{name: "respond", of: ofRoute, upTo: ofServer, modes: inHTTP, form: custom{"none", objectOf(ofRespond)},
		doc: "the proxy answers itself: `{ \"status\": 403 }`"},
	{name: "rewrite", of: ofRoute, upTo: ofFile, modes: inHTTP, form: custom{"none", objectOf(ofRewrite)},
		doc: "what hosts are asked for instead, see [rewrite](#rewrite)"},
	{name: "request_headers", of: ofRoute, upTo: ofFile, modes: inHTTP, form: custom{"none", objectOf(ofEdits)},
		doc: "fields of requests to hosts, see [headers](#headers)"},
	{name: "response_headers", of: ofRoute, upTo: ofFile, modes: inHTTP, form: custom{"none", objectOf(ofEdits)},
		doc: "fields of responses to clients likewise"},
	{name: "headers", of: ofRoute, upTo: ofFile, modes: inHTTP, form: custom{"none", fieldsSchema},
		doc: "short for `set` in `request_headers`"},
	{name: "request_id", of: ofRoute, upTo: ofFile, modes: inHTTP, form: boolean{false},
		doc:  "`$request_id` is in `X-Request-Id` of what hosts get, and of what clients get back: [identity.md](identity.md#the-id-of-a-request)",
		into: func(t *target) any { return &t.route.RequestID }},
	{name: "log_if", of: ofRoute, upTo: ofFile, form: section{ofLogIf, "everything", logIfExample, true},
		doc: "what is worth a line of the access log, see [logging.md](logging.md#what-is-worth-a-line); `true` is everything, `false` nothing"},
	{name: "proxy_set_host", of: ofRoute, upTo: ofFile, modes: inHTTP,
		form: setHost{choice{words: []string{"client", "upstream"}, usual: "client", noun: "choice",
			remedy: `write "client" to pass on what the client asked for, or "upstream" for the host's own name`}},
		doc:  "`Host` as the client asked for it, or `upstream`: the host's name",
		into: func(t *target) any { return &t.route.UpstreamHost }},
	{name: "max_body_size", of: ofRoute, upTo: ofFile, modes: inHTTP,
		form: size{usual: 0, high: maxSize, remedy: `write a number of bytes, a size with a unit, such as "10MB", or 0 for no limit`, written: "0: no limit"},
		doc:  "bytes of a request's body, else 413",
		into: func(t *target) any { return &t.route.MaxBodySize }},
	{name: "client_body_timeout", of: ofRoute, upTo: ofFile, modes: inHTTP, form: duration{usual: 60000, zero: "for no limit"},
		doc:  "the client's silence while its body is waited for, else 408",
		into: func(t *target) any { return &t.route.ClientBodyTimeout }},
	{name: "send_timeout", of: ofRoute, upTo: ofFile, form: duration{usual: 60000, zero: "for no limit"},
		doc:  "the client takes no bytes",
		into: func(t *target) any { return &t.route.SendTimeout }},
	{name: "proxy_read_timeout", of: ofRoute, upTo: ofFile, form: duration{usual: 60000, zero: "for no limit"},
		doc:  "silence of the host: nothing moved on its connection either way. In `http` see also [interim responses](#interim-responses)",
		into: func(t *target) any { return &t.route.ProxyReadTimeout }},
	{name: "proxy_send_timeout", of: ofRoute, upTo: ofFile, form: duration{usual: 60000, zero: "for no limit"},
		doc:  "the host takes no bytes",
		into: func(t *target) any { return &t.route.ProxySendTimeout }},
	{name: "read_timeout", of: ofRoute, upTo: ofFile, modes: inStream, form: duration{usual: 60000, zero: "for no limit"},
		doc:  "silence of the client: nothing moved on its connection either way",
		into: func(t *target) any { return &t.route.ReadTimeout }},

	// What routes are for.
	{name: "host", of: ofMatch, modes: inHTTP, form: custom{"", oneOrMore(textSchema)},
		doc: "the name that is asked for: `a.example`, or `*.a.example` for all names that end so, but not `a.example` itself. Letter case, port and a dot at the end do not matter"},
	{name: "path", of: ofMatch, modes: inHTTP, form: custom{"", oneOrMore(pathSchema)},
		doc: "the whole path"},
	{name: "path_prefix", of: ofMatch, modes: inHTTP, form: custom{"", oneOrMore(pathSchema)},
		doc: "the beginning of the path by whole segments: `/api` takes `/api` and `/api/x`, not `/apis`; `/api/` takes only what is below"},
	{name: "path_regex", of: ofMatch, modes: inHTTP, form: custom{"", oneOrMore(textSchema)},
		doc: "a regular expression ([RE2](https://github.com/google/re2/wiki/Syntax)) for the whole path"},
	{name: "method", of: ofMatch, modes: inHTTP, form: custom{"", oneOrMore(textSchema)},
		doc: "`GET`, `POST`, …"},
	{name: "header", of: ofMatch, modes: inHTTP, form: custom{"", fieldsOfMatchSchema},
		doc: "header fields by name: a value, several, `true` for present, `false` for absent, or `{ \"regex\": \"…\" }`"},
	{name: "query", of: ofMatch, modes: inHTTP, form: custom{"", fieldsOfMatchSchema},
		doc: "parameters in the query likewise"},
	{name: "cookie", of: ofMatch, modes: inHTTP, form: custom{"", fieldsOfMatchSchema},
		doc: "cookies likewise"},
	{name: "scheme", of: ofMatch, modes: inHTTP, form: custom{"", oneOrMore(schemeSchema)},
		doc: "`http` or `https`: how the client came"},
	{name: "client", of: ofMatch, form: custom{"", oneOrMore(textSchema)},
		doc: "addresses and networks of clients"},
	{name: "sni", of: ofMatch, form: custom{"", oneOrMore(textSchema)},
		doc: "the name that the TLS client asked for, spelled like `host`"},
	{name: "listen_port", of: ofMatch, form: custom{"", portsSchema},
		doc: "the port that the client came to"},
	{name: "regex", of: ofField, form: textual{"required"},
		doc: "a regular expression (RE2) for the whole value"},

	{name: "group", of: ofTarget, form: textual{"required"},
		doc: "the name of a group in `servers`"},
	{name: "weight", of: ofTarget, form: integer{0, 1000, 1, "write a number from 0 to 1000", ""},
		doc: "its share of the sum of all weights"},

	{name: "to", of: ofRedirect, form: textual{"required"},
		doc: "where to: a URL or a path, with variables; `$1` is the first group of `path_regex`"},
	{name: "status", of: ofRedirect, form: custom{"308", redirectStatusSchema},
		doc: "301, 302, 303, 307 or 308"},

	{name: "status", of: ofRespond, form: integer{200, 599, 200, "write a status from 200 to 599", ""},
		doc: "the status code"},
	{name: "body", of: ofRespond, form: textual{"empty"},
		doc: "the content"},
	{name: "headers", of: ofRespond, form: custom{"none", fieldsSchema},
		doc: "header fields: `{ \"Content-Type\": \"text/plain\" }`"},

	{name: "strip_prefix", of: ofRewrite, form: textual{"none"},
		doc: "what is taken off the path"},
	{name: "add_prefix", of: ofRewrite, form: textual{"none"},
		doc: "what is put before the path"},
	{name: "path", of: ofRewrite, form: textual{"as it came"},
		doc: "the path instead; `$1` is the first group of `path_regex`"},
	{name: "query", of: ofRewrite, form: textual{"as it came"},
		doc: "the query instead"},

	{name: "set", of: ofEdits, form: custom{"none", fieldsSchema},
		doc: "fields in place of what is there"},
	{name: "add", of: ofEdits, form: custom{"none", fieldsSchema},
		doc: "fields beside what is there"},
	{name: "remove", of: ofEdits, form: custom{"none", textsSchema},
		doc: "names of fields that do not pass"},

	// Groups of hosts.
	{name: "hosts", of: ofGroup, form: custom{"required", hostsSchema},
		doc: "the [hosts](#hosts)"},
	{name: "balancing_algo", of: ofGroup, upTo: ofFile, form: algorithm{choice{words: algorithmNames(), usual: algorithms[0].Name, noun: "algorithm", guess: true}},
		doc: "how a host is chosen, see [balancing](#balancing)"},
	{name: "hash_key", of: ofGroup, upTo: ofFile, form: templated{"required with `hash`"},
		doc: "what `hash` chooses by: a text with [variables](logging.md#variables-in-other-texts), such as `$http_x_tenant`; in `stream` those of the client and its TLS"},
	{name: "health_check", of: ofGroup, upTo: ofFile, form: section{ofHealthCheck, "none", `{ "path": "/healthz" }`, true},
		doc: "hosts are asked again and again whether they are well, see [checks](#checks)"},
	{name: "passive_check", of: ofGroup, upTo: ofFile, form: section{ofPassiveCheck, "connections only", `{ "failures": 3 }`, true},
		doc: "what clients' own requests and sessions tell of hosts, see [checks](#checks); `false` is nothing"},
	{name: "slow_start", of: ofGroup, upTo: ofFile, form: duration{usual: 0, zero: "for a whole share at once"},
		doc:  "how long the share of a host grows that is well again",
		into: func(t *target) any { return &t.group.SlowStart }},
	{name: "queue", of: ofGroup, upTo: ofFile, form: section{ofQueue, "none", `{ "size": 100 }`, true},
		doc: "who comes when all hosts have their `max_conns` waits, see [bounds](#bounds-and-queues)"},
	{name: "retry", of: ofGroup, upTo: ofFile, form: section{ofRetry, "one more try", `{ "attempts": 2 }`, true},
		doc: "when another host is tried, see [retries](#retries); `false` is never"},
	{name: "sticky", of: ofGroup, upTo: ofFile, modes: inHTTP, form: section{ofSticky, "none", `{ "cookie": "kroxy" }`, true},
		doc: "clients come back to the host that they had, see [sticky clients](#sticky-clients)"},
	{name: "connect_timeout", of: ofGroup, upTo: ofFile, form: duration{usual: 60000, zero: "for no limit"},
		doc:  "finding a host that accepts, over all hosts tried, see [hosts that are down](#hosts-that-are-down)",
		into: func(t *target) any { return &t.group.ConnectTimeout }},
	{name: "resolve_timeout", of: ofGroup, upTo: ofFile, form: duration{usual: 60000, zero: "for no limit"},
		doc:  "resolving a host's name",
		into: func(t *target) any { return &t.group.ResolveTimeout }},
	{name: "upstream_keepalive", of: ofGroup, upTo: ofFile, modes: inHTTP, form: keepalive{integer{0, math.MaxInt32, 0, `write "auto", a number of connections, or 0 to keep none`, ""}},
		doc:  "idle connections kept to each host by each event loop: a number, or as many as were in use at once of late",
		into: func(t *target) any { return &t.group.UpstreamKeepalive }},
	{name: "upstream_keepalive_timeout", of: ofGroup, upTo: ofFile, modes: inHTTP, form: duration{usual: 60000, zero: "for no limit"},
		doc:  "how long an idle connection to a host is kept; a second less (half, if it says less than two) than the host says in `Keep-Alive`, if that is shorter",
		into: func(t *target) any { return &t.group.UpstreamKeepaliveTimeout }},
	{name: "protocol", of: ofGroup, modes: inHTTP, form: protocol{choice{words: hostProtocols, usual: hostProtocols[0], noun: "protocol"}},
		doc:  "what hosts are spoken to in: `http/1.1`, `h2` (HTTP/2 by TLS), `h2c` (HTTP/2 without TLS), or `auto`: HTTP/2 with the hosts that agree to it by ALPN. See [http2.md](http2.md#to-hosts)",
		into: func(t *target) any { return &t.group.Protocol }},
	{name: "proxy_protocol", of: ofGroup, form: choice{words: []string{"v1", "v2"}, noun: "version", remedy: `write "v1" or "v2"`},
		doc:  "hosts are told in a PROXY header who the client is: `v1` or `v2`; then no connection to them is kept for a further request",
		into: func(t *target) any { return &t.group.ProxyProtocol }},
	{name: "tcp_keepalive", of: ofGroup, upTo: ofFile, form: duration{usual: 0, zero: "for none"},
		doc:  "a probe is sent to a host that is silent for as long",
		into: func(t *target) any { return &t.group.TCPKeepalive }},
	{name: "proxy_tls_enabled", of: ofGroup, upTo: ofFile, form: boolean{false},
		doc: "speak TLS to the hosts"},
	{name: "proxy_tls_verify", of: ofGroup, upTo: ofFile, form: boolean{false},
		doc: "check the hosts' certificates"},
	{name: "proxy_tls_ca_path", of: ofGroup, upTo: ofFile, form: textual{"the system's"},
		doc: "the PEM file of the CAs to trust"},
	{name: "proxy_tls_server_name", of: ofGroup, upTo: ofFile, form: textual{"the host's name"},
		doc: "what hosts are asked for, and their certificates must be for"},
	{name: "proxy_tls_cert_path", of: ofGroup, upTo: ofFile, form: textual{"none"},
		doc: "PEM file of the certificate chain that is shown to hosts"},
	{name: "proxy_tls_key_path", of: ofGroup, upTo: ofFile, form: textual{"none"},
		doc: "PEM file of its key"},

	{name: "host", of: ofHost, form: textual{"required"},
		doc: "a name, an IPv4 or an IPv6 address"},
	{name: "port", of: ofHost, form: portForm(required),
		doc: "its TCP port"},
	{name: "unix", of: ofHost, form: textual{"none"},
		doc: "path of a Unix-domain socket, instead of `host` and `port`"},
	{name: "name", of: ofHost, form: custom{"the host's", anySchema},
		doc: "what it is called, see [names](#a-hosts-name)"},

	{name: "srv", of: ofHost, form: textual{"none"},
		doc: "a service's name in DNS, instead of `host` and `port`: `_api._tcp.example`. Its SRV records say which hosts there are, with their ports, weights and priorities"},
	{name: "weight", of: ofHost, form: integer{0, 1000, 1, "write a number from 0 to 1000", ""},
		doc:  "its share of the sum of all weights; 0 is nothing",
		into: func(t *target) any { return &t.host.Weight }},
	{name: "backup", of: ofHost, form: boolean{false},
		doc:  "it serves only while none of the others can",
		into: func(t *target) any { return &t.host.Backup }},
	{name: "max_conns", of: ofHost, upTo: ofFile, form: bound{integer{1, math.MaxInt32, 0, "write a number of connections, or leave the key out for no bound", "none"}},
		doc:  "sessions, or requests, at once, over all workers; then the next host is taken, see [bounds](#bounds-and-queues)",
		into: func(t *target) any { return &t.host.MaxConns }},
	{name: "drain", of: ofHost, form: boolean{false},
		doc:  "it gets no new clients; [sticky](#sticky-clients) ones stay",
		into: func(t *target) any { return &t.host.Drain }},

	{name: "type", of: ofHealthCheck, form: checkType{choice{words: []string{"http", "tcp", "grpc"}, noun: "type", remedy: `write "http", "tcp" or "grpc"`}},
		doc:  "`http`: a request is answered as it should be; `grpc`: the host says by gRPC that it serves; `tcp`: a connection is made, with TLS if the group has it. The default is `http` in `http` servers, `tcp` in `stream`",
		into: func(t *target) any { return &t.check.Type }},
	{name: "path", of: ofHealthCheck, form: worded{usual: "/", pattern: `^/[^ #]*$`, check: checkPath},
		doc:  "what is asked for; it may have a query",
		into: func(t *target) any { return &t.check.Path }},
	{name: "method", of: ofHealthCheck, form: worded{usual: "GET", check: checkMethod},
		doc:  "by which method",
		into: func(t *target) any { return &t.check.Method }},
	{name: "host", of: ofHealthCheck, form: worded{written: "the host's name", check: checkAuthority},
		doc:  "`Host` of the request, or `:authority` with `grpc`",
		into: func(t *target) any { return &t.check.Host }},
	{name: "status", of: ofHealthCheck, form: statuses{100, Statuses{{200, 399}}, `["200-399"]`},
		doc:  "the statuses of a host that is well: `200`, `\"200-399\"`, `\"2xx\"`, or several in an array. Redirects are not followed",
		into: func(t *target) any { return &t.check.Status }},
	{name: "body", of: ofHealthCheck, form: worded{check: checkBody},
		doc:  "a text that has to be in the first 64 KiB of the response's content",
		into: func(t *target) any { return &t.check.Body }},
	{name: "service", of: ofHealthCheck, form: worded{written: "the host as a whole", pattern: `^([^/].{0,255})?$`, check: checkGRPCService},
		doc:  "(`grpc`) the name of the service that is asked about, as in `shop.Cart`",
		into: func(t *target) any { return &t.check.Service }},
	{name: "port", of: ofHealthCheck, form: integer{1, math.MaxUint16, 0, "write a port from 1 to 65535", "the host's"},
		doc:  "TCP port that is asked instead of the host's own",
		into: func(t *target) any { return &t.check.Port }},
	{name: "interval", of: ofHealthCheck, form: duration{usual: 2000, low: 10},
		doc:  "between two checks of a host",
		into: func(t *target) any { return &t.check.Interval }},
	{name: "fast_interval", of: ofHealthCheck, form: duration{low: 10, such: 500, written: "`interval`"},
		doc:  "the same while a host is on its way up or down",
		into: func(t *target) any { return &t.check.FastInterval }},
	{name: "timeout", of: ofHealthCheck, form: duration{low: 1, such: 2000, written: "`interval`"},
		doc:  "until a check has failed that has no answer",
		into: func(t *target) any { return &t.check.Timeout }},
	{name: "rise", of: ofHealthCheck, form: integer{1, 1000, 2, "write a number of checks from 1 to 1000", ""},
		doc:  "checks that have to succeed in a row until a host is up again. At the start one is enough",
		into: func(t *target) any { return &t.check.Rise }},
	{name: "fall", of: ofHealthCheck, form: integer{1, 1000, 3, "write a number of checks from 1 to 1000", ""},
		doc:  "checks that have to fail in a row until a host is down",
		into: func(t *target) any { return &t.check.Fall }},

	{name: "failures", of: ofPassiveCheck, form: integer{1, 1000000, 1, "write a number of failures from 1 to 1000000", ""},
		doc:  "how many in `window` have a host ejected: left out, as long as there are others",
		into: func(t *target) any { return &t.passive.Failures }},
	{name: "window", of: ofPassiveCheck, form: duration{usual: 10000, low: 1},
		doc:  "how long a failure counts",
		into: func(t *target) any { return &t.passive.Window }},
	{name: "eject", of: ofPassiveCheck, form: duration{usual: 1000, low: 1},
		doc:  "how long a host is ejected the first time; then twice as long each time, until it serves again",
		into: func(t *target) any { return &t.passive.Eject }},
	{name: "max_eject", of: ofPassiveCheck, form: duration{low: 1, such: 10000, written: "10 times `eject`"},
		doc:  "the longest time",
		into: func(t *target) any { return &t.passive.MaxEject }},
	{name: "status", of: ofPassiveCheck, modes: inHTTP, form: statuses{400, nil, `["500-599"]`},
		doc:  "statuses of responses that are failures too: `503`, `\"500-599\"`, `\"5xx\"`, or several in an array",
		into: func(t *target) any { return &t.passive.Status }},

	{name: "size", of: ofQueue, form: integer{1, 1000000, 100, "write a number of clients from 1 to 1000000", ""},
		doc:  "how many wait at most, over all workers",
		into: func(t *target) any { return &t.queue.Size }},
	{name: "timeout", of: ofQueue, form: duration{usual: 1000, low: 1},
		doc:  "for how long",
		into: func(t *target) any { return &t.queue.Timeout }},

	{name: "attempts", of: ofRetry, form: integer{0, 100, 1, "write a number of further tries from 0 to 100", ""},
		doc:  "tries beyond the first. To go on to the next host because no connection could be made to one is none of them",
		into: func(t *target) any { return &t.retry.Attempts }},
	{name: "on", of: ofRetry, form: retryOn{},
		doc:  "after what: `connect` (no connection; that always counts, but with `retry: false`), `reset` (the connection failed before the response), `timeout` (`proxy_read_timeout` or `try_timeout`), and statuses: `502`, `\"500-599\"`, `\"5xx\"`. In `stream` there is only `connect`",
		into: func(t *target) any { return &t.retry.On }},
	{name: "budget", of: ofRetry, form: integer{0, 100, 20, "write a percentage from 0 to 100", ""},
		doc:  "further tries in percent of the requests, over time and at a time; 10 are at hand in each worker when hosts begin to fail",
		into: func(t *target) any { return &t.retry.Budget }},
	{name: "buffer", of: ofRetry, modes: inHTTP, form: size{usual: 16 << 10, high: 1 << 20, remedy: `write a number of bytes, or a size with a unit, up to "1MiB"`, written: "`\"16KiB\"`"},
		doc:  "bytes of a request's body that are held for a further try; a longer one is sent once",
		into: func(t *target) any { return &t.retry.Buffer }},
	{name: "try_timeout", of: ofRetry, modes: inHTTP, form: duration{usual: 0, zero: "for no limit"},
		doc:  "how long one try may take until the head of its response is there, from the end of the request on; then the next host is tried, or the client gets 504",
		into: func(t *target) any { return &t.retry.TryTimeout }},

	{name: "cookie", of: ofSticky, form: worded{usual: "kroxy", check: checkCookie},
		doc:  "its name",
		into: func(t *target) any { return &t.sticky.Cookie }},
	{name: "ttl", of: ofSticky, form: duration{usual: 0, zero: "for as long as the browser runs"},
		doc:  "how long browsers keep it",
		into: func(t *target) any { return &t.sticky.TTL }},
	{name: "path", of: ofSticky, form: worded{usual: "/", pattern: `^/[^ ;]*$`, check: checkCookiePath},
		doc:  "the paths that it is sent with: this one and those below",
		into: func(t *target) any { return &t.sticky.Path }},
	{name: "domain", of: ofSticky, form: worded{written: "the name asked for", check: checkCookieDomain},
		doc:  "the domain that it is sent to, with all names below",
		into: func(t *target) any { return &t.sticky.Domain }},
	{name: "same_site", of: ofSticky, form: sameSite{},
		doc:  "`Lax`, `Strict` or `None`: whether it is sent with requests that other sites cause",
		into: func(t *target) any { return &t.sticky.SameSite }},

	{name: "max_streams", of: ofHTTP2, form: integer{1, 10000, 100, "write a number of requests from 1 to 10000", ""},
		doc:  "requests that one connection may have open at once; more are refused, and clients send those again",
		into: func(t *target) any { return &t.http2.MaxStreams }},
	{name: "window", of: ofHTTP2, form: windowForm(64<<10, "`\"64KiB\"`"),
		doc:  "bytes of a request's body that may come before the host has taken those before them: what a slow host costs for each request. It grows, up to a quarter of `connection_window`, while the host takes them as they come",
		into: func(t *target) any { return &t.http2.Window }},
	{name: "connection_window", of: ofHTTP2, form: windowForm(1<<20, "`\"1MiB\"`"),
		doc:  "likewise, of all requests on one connection together",
		into: func(t *target) any { return &t.http2.ConnectionWindow }},

	{name: "servers", of: ofResolver, form: nameServers{},
		doc:  "DNS servers, with a port if it is not 53: `[\"127.0.0.1:5353\", \"::1\"]`",
		into: func(t *target) any { return &t.resolver.Servers }},
	{name: "min_ttl", of: ofResolver, form: duration{usual: 1000, low: 1000},
		doc:  "an answer is used for at least as long",
		into: func(t *target) any { return &t.resolver.MinTTL }},
	{name: "max_ttl", of: ofResolver, form: duration{usual: 300000, low: 1000},
		doc:  "and at most",
		into: func(t *target) any { return &t.resolver.MaxTTL }},
	{name: "search", of: ofResolver, form: searchList{},
		doc:  "domains that are put behind a name without a dot",
		into: func(t *target) any { return &t.resolver.Search }},

	{name: "status", of: ofLogIf, modes: inHTTP, form: statuses{100, nil, `["400-599"]`},
		doc:  "requests with such a `$status`: `404`, `\"400-599\"`, `\"5xx\"`, or several in an array",
		into: func(t *target) any { return &t.logIf.Status }},
	{name: "slower_than", of: ofLogIf, form: duration{low: 1, such: 500, written: "none"},
		doc:  "those whose `$processing_time` is longer",
		into: func(t *target) any { return &t.logIf.SlowerThan }},
	{name: "failed", of: ofLogIf, form: boolean{false},
		doc:  "those whose `$end_reason` is not `complete`",
		into: func(t *target) any { return &t.logIf.Failed }},
	{name: "sample", of: ofLogIf, form: share{usual: 0, written: "0, or 1 if there is nothing else"},
		doc:  "the share of all others, from 0 to 1, drawn by lot",
		into: func(t *target) any { return &t.logIf.Sample }},

	{name: "address", of: ofSyslog, form: worded{usual: "unix:/dev/log", pattern: `^(udp:.+:[0-9]+|unix:/.+)$`, check: checkSyslog},
		doc:  "`udp:HOST:PORT`, or `unix:PATH` for a datagram socket",
		into: func(t *target) any { return &t.syslog.Address }},
	{name: "facility", of: ofSyslog, form: choice{words: SyslogFacilities, usual: "daemon", noun: "facility", guess: true},
		doc:  "`daemon`, `user`, `local0` to `local7`, or another of RFC 5424",
		into: func(t *target) any { return &t.syslog.Facility }},
	{name: "severity", of: ofSyslog, form: choice{words: SyslogSeverities, usual: "info", noun: "severity", guess: true},
		doc:  "that of lines of the access log; those of the error log have their own",
		into: func(t *target) any { return &t.syslog.Severity }},
	{name: "tag", of: ofSyslog, form: worded{usual: "kroxy-ev", pattern: `^[!-~]{1,48}$`, check: checkTag},
		doc:  "the name of the program in each message (APP-NAME)",
		into: func(t *target) any { return &t.syslog.Tag }},
	{name: "access_log", of: ofSyslog, form: boolean{true},
		doc:  "access logs go there",
		into: func(t *target) any { return &t.syslog.Access }},
	{name: "error_log", of: ofSyslog, form: boolean{true},
		doc:  "the error log goes there, where this stands at the top of the file",
		into: func(t *target) any { return &t.syslog.Errors }},

	{name: "otlp_http", of: ofTracing, form: worded{written: "required", pattern: `^https?://`, check: checkCollector},
		doc:  "the URL of a collector that takes OTLP by HTTP: `http://127.0.0.1:4318`. Without a path it is `/v1/traces`",
		into: func(t *target) any { return &t.tracing.URL }},
	{name: "sampling", of: ofTracing, form: share{usual: 1},
		doc:  "the share of requests, from 0 to 1, whose spans are sent. Who has sent a `traceparent` has decided already",
		into: func(t *target) any { return &t.tracing.Sampling }},
	{name: "service", of: ofTracing, form: worded{usual: "kroxy-ev", check: checkService},
		doc:  "`service.name` of the spans",
		into: func(t *target) any { return &t.tracing.Service }},

	{name: "listen", of: ofAdmin, form: custom{"required", arrayOf(ofAdminListen)},
		doc: "where: `[{ \"port\": 9900 }]`"},
	{name: "token_file", of: ofAdmin, form: textual{"none"},
		doc:  "a file with a token that requests have to show: `Authorization: Bearer TOKEN`. It is read again at each reload. Only `/healthz`, `/ready` and the page's own files need none",
		into: func(t *target) any { return &t.admin.TokenFile }},
	{name: "metrics_only", of: ofAdmin, form: boolean{false},
		doc:  "there is `/metrics`, `/healthz` and `/ready`, and nothing else",
		into: func(t *target) any { return &t.admin.MetricsOnly }},
	{name: "address", of: ofAdminListen, form: textual{"`127.0.0.1`"},
		doc: "an IPv4 or IPv6 address. A warning says if it is not this machine's own and there is no token"},
	{name: "port", of: ofAdminListen, form: portForm(required),
		doc: "TCP port"},
	{name: "unix", of: ofAdminListen, form: textual{"none"},
		doc: "path of a Unix-domain socket, instead of an address and a port"},
	{name: "mode", of: ofAdminListen, form: custom{"`\"0660\"`", modeSchema},
		doc: "permissions of the Unix-domain socket, octal"},

	{name: "cert_path", of: ofCertificate, form: textual{"required"},
		doc: "PEM file of the chain"},
	{name: "key_path", of: ofCertificate, form: textual{"required"},
		doc: "PEM file of its key"},
})

// required is the default where absence is an error, reported by the caller.
const required = 0
