package config

import (
	"fmt"
	"math"
)

// key is the only declaration of a key: decoding, checks, hints, the schema and the
// reference derive from it. A plain key is declared here, has a
// field in the type that it belongs to, and takes effect where that field is used;
// nothing else mentions it.
type key struct {
	name string
	of   level // what it belongs to
	// upTo is the outermost level where the key may be too, as a default for inner
	// objects. The zero value means only its own level.
	upTo  level
	modes modes // the servers that have it; zero means both modes
	form  form
	doc   string // Markdown, for the reference
	// into returns the field that the key is decoded into; it is nil if the form is
	// decoded elsewhere.
	into func(t *target) any

	places uint64 // set of places where it may be, one bit each; filled in by declare
}

// level is a kind of object in a file.
type level uint8

const (
	own level = iota // only where it belongs
	ofFile
	ofProcess // at the top of the file or, as in Kroxy, in servers
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

	levels // the number of levels
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

// target is what keys are decoded into: the field for the level is set.
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

// keys are all keys, in the order of the reference.
var keys = declare([]key{
	{name: "http", of: ofFile, form: custom{"", serversSchema(inHTTP)},
		doc: "an HTTP server, or an array of them"},
	{name: "stream", of: ofFile, form: custom{"", serversSchema(inStream)},
		doc: "a raw TCP server, or an array of them"},
	{name: "include", of: ofFile, form: custom{"none", textsSchema},
		doc: "files to include, see [several files](#several-files): `[\"sites/*.json\"]`"},

	{name: "resolver", of: ofFile, form: section{ofResolver, "the system's", `{ "servers": ["10.0.0.53"] }`, false},
		doc: "how host names are resolved, see [names](#names)"},

	{name: "tracing", of: ofFile, form: section{ofTracing, "none", tracingExample, false},
		doc: "sends spans of requests to a collector, see [tracing.md](tracing.md)"},

	{name: "$schema", of: ofFile, form: textual{"none"},
		doc: "the JSON Schema with which editors complete and check the file, as `kroxy-ev schema` prints it. kroxy-ev ignores the key"},

	// The process.
	{name: "reactors_num", of: ofProcess, form: integer{0, maxProcesses, 0, "write a number of event loops, or 0 for one per CPU", "0: one per CPU"},
		doc:  "number of event loops in a process without workers",
		into: func(t *target) any { return &t.process.ReactorsNum }},
	{name: "workers_num", of: ofProcess, form: integer{1, maxProcesses, 1, fmt.Sprintf("write a number of processes from 1 to %d", maxProcesses), ""},
		doc:  "number of worker processes with `--multiprocess`, each with one event loop",
		into: func(t *target) any { return &t.process.WorkersNum }},
	{name: "max_connections", of: ofProcess, form: integer{0, math.MaxInt32, 0, "write a number of connections, or 0 for as many as the open file limit allows", "from `ulimit -n`"},
		doc:  "maximum number of clients at once; more wait in the accept queue. A warning says if `ulimit -n` does not allow as many",
		into: func(t *target) any { return &t.process.MaxConnections }},
	{name: "shutdown_timeout", of: ofProcess, form: duration{usual: 8000, zero: "to end sessions at once"},
		doc:  "how long sessions may go on after SIGTERM or SIGINT. The default is below the 10 s after which `docker stop` kills; 0 ends sessions at once",
		into: func(t *target) any { return &t.process.ShutdownTimeout }},
	{name: "watchdog_timeout", of: ofProcess, form: duration{usual: 10000, zero: "for no limit"},
		doc:  "a worker that does not respond for this long is replaced; 0: never",
		into: func(t *target) any { return &t.process.WatchdogTimeout }},
	{name: "user", of: ofProcess, form: textual{"as the master"},
		doc:  "the user that workers run as, if root starts the master",
		into: func(t *target) any { return &t.process.User }},
	{name: "group", of: ofProcess, form: textual{"the user's"},
		doc:  "the group that workers run as, likewise",
		into: func(t *target) any { return &t.process.GroupName }},
	{name: "pid_file", of: ofProcess, form: textual{"none"},
		doc:  "the file to which the process, or the master if there are workers, writes its process id",
		into: func(t *target) any { return &t.process.PIDFile }},
	{name: "error_log", of: ofProcess, form: textual{"stderr"},
		doc:  "the error log's file",
		into: func(t *target) any { return &t.process.ErrorLog }},
	{name: "log_level", of: ofProcess, form: logLevel{choice{words: LogLevels, usual: "info", noun: "level", guess: true}},
		doc:  "the lowest level that is logged: `error`, `warn`, `info` or `debug`",
		into: func(t *target) any { return &t.process.LogLevel }},

	{name: "error_log_format", of: ofProcess, form: jsonOrText{choice{words: []string{"text", "json"}, usual: "text", noun: "format", guess: true}},
		doc:  "`text`, or `json`: one JSON object per line",
		into: func(t *target) any { return &t.process.ErrorLogJSON }},

	{name: "admin", of: ofProcess, form: custom{"none", adminSchema},
		doc: "the admin endpoint: metrics, health, state, commands and the dashboard. An object or an array of them, see [admin](#admin)"},

	// Servers.
	{name: "name", of: ofServer, form: textual{"its position, such as `http[0]`"},
		doc: "the server's name in logs and metrics"},
	{name: "port", of: ofServer, form: portForm(8080),
		doc: "TCP port on all IPv4 addresses: short for an entry of `listen`. The default applies to a server without `listen`"},
	{name: "listen", of: ofServer, form: custom{"none", arrayOf(ofListen)},
		doc: "where else to listen, see [listening](#listening)"},
	{name: "routes", of: ofServer, form: custom{"none", arrayOf(ofRoute)},
		doc: "what to do with which requests or connections, see [routes](#routes). Without `routes`, the server's `proxy_to`, `redirect` or `respond` applies to all"},
	{name: "servers", of: ofServer, upTo: ofFile, form: custom{"required", groupsSchema},
		doc: "[groups of hosts](#groups-of-hosts), by name. A name is looked up in the server first, then in the file"},
	{name: "client_header_timeout", of: ofServer, upTo: ofFile, modes: inHTTP, form: duration{usual: 60000, zero: "for no limit"},
		doc:  "how long a client may take to send the head of a request, else 408",
		into: func(t *target) any { return &t.server.ClientHeaderTimeout }},
	{name: "keepalive_timeout", of: ofServer, upTo: ofFile, modes: inHTTP, form: duration{usual: 75000, zero: "for no limit"},
		doc:  "how long a client's connection may be idle between two requests",
		into: func(t *target) any { return &t.server.KeepaliveTimeout }},
	{name: "forwarded_headers", of: ofServer, upTo: ofFile, modes: inHTTP, form: boolean{true},
		doc:  "tell hosts who the client is, and drop what clients other than `trusted_proxies` say about it: [identity.md](identity.md)",
		into: func(t *target) any { return &t.server.ForwardedHeaders }},
	{name: "trusted_proxies", of: ofServer, upTo: ofFile, modes: inHTTP, form: networks{},
		doc:  "addresses of clients whose identity fields are trusted: `[\"10.0.0.0/8\"]`",
		into: func(t *target) any { return &t.server.TrustedProxies }},
	{name: "http2", of: ofServer, upTo: ofFile, modes: inHTTP, form: section{ofHTTP2, "its defaults", http2Example, false},
		doc: "limits on a client's HTTP/2 connection, see [HTTP/2](#http2)"},
	{name: "file_log", of: ofServer, upTo: ofFile, form: textual{"none"},
		doc:  "the access log's file; `/dev/stdout` works",
		into: func(t *target) any { return &t.server.FileLog }},
	{name: "format_log", of: ofServer, upTo: ofFile, form: custom{"a built-in format", formatLogSchema},
		doc: "text with variables, `\"json\"`, or an object with your own fields: [logging.md](logging.md)"},
	{name: "syslog", of: ofServer, upTo: ofFile, form: section{ofSyslog, "none", syslogExample, true},
		doc: "sends logs to a syslog too, see [logging.md](logging.md#syslog). The error log uses the file's `syslog`. `true` is the local syslog"},

	// TLS with clients.
	{name: "tls_enabled", of: ofServer, upTo: ofFile, form: boolean{false},
		doc: "clients speak TLS, unless an entry of `listen` says otherwise. Needs a certificate, from the next two keys or from `certificates`"},
	{name: "tls_cert_path", of: ofServer, upTo: ofFile, form: textual{"none"},
		doc: "PEM file of the certificate chain for clients that send no server name or one that no other certificate matches"},
	{name: "tls_key_path", of: ofServer, upTo: ofFile, form: textual{"none"},
		doc: "PEM file of its private key"},
	{name: "certificates", of: ofServer, upTo: ofFile, form: custom{"none", certificatesSchema},
		doc: "more certificates, chosen by server name: `[{ \"cert_path\": \"b.pem\", \"key_path\": \"b.key\" }]`. Without the two keys above the first is the default"},
	{name: "tls_min_version", of: ofServer, upTo: ofFile,
		form: choice{words: []string{"1.2", "1.3"}, usual: "1.2", noun: "choice", remedy: `write "1.2" or "1.3": no other version is spoken`},
		doc:  "lowest TLS version: `1.2` or `1.3`"},
	{name: "tls_verify_client", of: ofServer, upTo: ofFile, form: boolean{false},
		doc: "require a client certificate"},
	{name: "tls_client_ca_path", of: ofServer, upTo: ofFile, form: textual{"the system's"},
		doc: "PEM file of the CAs that client certificates must be signed by"},
	{name: "tls_handshake_timeout", of: ofServer, upTo: ofFile, form: duration{usual: 10000, zero: "for no limit"},
		doc:  "how long a client may take for the handshake, or, with `sni`, to send its ClientHello",
		into: func(t *target) any { return &t.server.TLSHandshakeTimeout }},
	{name: "tls_ticket_rotation", of: ofServer, upTo: ofFile, form: duration{usual: 28800000, zero: "for no limit"},
		doc: "how long a session ticket key encrypts new tickets; a ticket is valid for two to three times as long"},

	// Listening.
	{name: "address", of: ofListen, form: textual{"all IPv4 addresses"},
		doc: "an IPv4 or IPv6 address; `\"::\"` is all addresses of both families"},
	{name: "port", of: ofListen, form: portForm(required),
		doc: "TCP port"},
	{name: "unix", of: ofListen, form: textual{"none"},
		doc: "path of a Unix socket, instead of an address and a port"},
	{name: "mode", of: ofListen, form: custom{"`\"0660\"`", modeSchema},
		doc: "permissions of the Unix socket, octal"},
	{name: "tls", of: ofListen, form: boolean{false},
		doc: "clients speak TLS here. The default is the server's `tls_enabled`"},
	{name: "protocols", of: ofListen, modes: inHTTP, form: protocols{},
		doc:  "what clients may speak here, in order of preference: `\"h2\"` (HTTP/2 with TLS), `\"http/1.1\"`, `\"h2c\"` (HTTP/2 without TLS), see [http2.md](http2.md)",
		into: func(t *target) any { return &t.listen.Protocols }},
	{name: "ipv6_only", of: ofListen, form: boolean{false},
		doc:  "`\"::\"` does not include IPv4",
		into: func(t *target) any { return &t.listen.IPv6Only }},
	{name: "proxy_protocol", of: ofListen, form: networks{},
		doc:  "networks whose connections must begin with a PROXY header (version 1 or 2), which names the client; connections from other addresses are refused",
		into: func(t *target) any { return &t.listen.ProxyProtocol }},
	{name: "backlog", of: ofListen, form: integer{0, math.MaxInt32, 0, "write a number of connections, or 0 for as many as the system allows", "as the system allows"},
		doc:  "length of the accept queue",
		into: func(t *target) any { return &t.listen.Backlog }},
	{name: "tcp_keepalive", of: ofListen, upTo: ofFile, form: duration{usual: 0, zero: "for none"},
		doc:  "how long a client may be silent before TCP keepalive probes are sent",
		into: func(t *target) any { return &t.listen.TCPKeepalive }},

	// Routes.
	{name: "name", of: ofRoute, form: textual{"its position, such as `http.routes[0]`"},
		doc: "the route's name in logs and metrics"},
	{name: "match", of: ofRoute, form: custom{"everything", objectOf(ofMatch)},
		doc: "which requests or connections take this route, see [match](#match)"},
	{name: "proxy_to", of: ofRoute, upTo: ofServer, form: custom{"required, or one of the next two", proxyToSchema},
		doc: "the group in `servers` to proxy to, or several with weights: `[{ \"group\": \"new\", \"weight\": 5 }, { \"group\": \"old\", \"weight\": 95 }]`"},
	{name: "redirect", of: ofRoute, upTo: ofServer, modes: inHTTP, form: custom{"none", objectOf(ofRedirect)},
		doc: "redirects the client: `{ \"to\": \"https://$host$request_uri\" }`"},
	{name: "respond", of: ofRoute, upTo: ofServer, modes: inHTTP, form: custom{"none", objectOf(ofRespond)},
		doc: "the proxy answers itself: `{ \"status\": 403 }`"},
	{name: "rewrite", of: ofRoute, upTo: ofFile, modes: inHTTP, form: custom{"none", objectOf(ofRewrite)},
		doc: "changes the path and query that are sent to hosts, see [rewrite](#rewrite)"},
	{name: "request_headers", of: ofRoute, upTo: ofFile, modes: inHTTP, form: custom{"none", objectOf(ofEdits)},
		doc: "edits header fields of requests to hosts, see [headers](#headers)"},
	{name: "response_headers", of: ofRoute, upTo: ofFile, modes: inHTTP, form: custom{"none", objectOf(ofEdits)},
		doc: "edits header fields of responses to clients, see [headers](#headers)"},
	{name: "headers", of: ofRoute, upTo: ofFile, modes: inHTTP, form: custom{"none", fieldsSchema},
		doc: "short for `set` in `request_headers`"},
	{name: "request_id", of: ofRoute, upTo: ofFile, modes: inHTTP, form: boolean{false},
		doc:  "sends `$request_id` as `X-Request-Id` to hosts and to clients: [identity.md](identity.md#the-id-of-a-request)",
		into: func(t *target) any { return &t.route.RequestID }},
	{name: "log_if", of: ofRoute, upTo: ofFile, form: section{ofLogIf, "everything", logIfExample, true},
		doc: "which requests are logged in the access log, see [logging.md](logging.md#what-is-worth-a-line); `true` is all, `false` none"},
	{name: "proxy_set_host", of: ofRoute, upTo: ofFile, modes: inHTTP,
		form: setHost{choice{words: []string{"client", "upstream"}, usual: "client", noun: "choice",
			remedy: `write "client" to pass on what the client asked for, or "upstream" for the host's own name`}},
		doc:  "the `Host` sent to hosts: `client`, as the client sent it, or `upstream`, the host's name",
		into: func(t *target) any { return &t.route.UpstreamHost }},
	{name: "max_body_size", of: ofRoute, upTo: ofFile, modes: inHTTP,
		form: size{usual: 0, high: maxSize, remedy: `write a number of bytes, a size with a unit, such as "10MB", or 0 for no limit`, written: "0: no limit"},
		doc:  "maximum size of a request's body in bytes, else 413",
		into: func(t *target) any { return &t.route.MaxBodySize }},
	{name: "client_body_timeout", of: ofRoute, upTo: ofFile, modes: inHTTP, form: duration{usual: 60000, zero: "for no limit"},
		doc:  "how long a client may be silent while its request body is awaited, else 408",
		into: func(t *target) any { return &t.route.ClientBodyTimeout }},
	{name: "send_timeout", of: ofRoute, upTo: ofFile, form: duration{usual: 60000, zero: "for no limit"},
		doc:  "how long a client may accept no bytes",
		into: func(t *target) any { return &t.route.SendTimeout }},
	{name: "proxy_read_timeout", of: ofRoute, upTo: ofFile, form: duration{usual: 60000, zero: "for no limit"},
		doc:  "how long nothing may be received from or sent to the host. In `http` see also [interim responses](#interim-responses)",
		into: func(t *target) any { return &t.route.ProxyReadTimeout }},
	{name: "proxy_send_timeout", of: ofRoute, upTo: ofFile, form: duration{usual: 60000, zero: "for no limit"},
		doc:  "how long a host may accept no bytes",
		into: func(t *target) any { return &t.route.ProxySendTimeout }},
	{name: "read_timeout", of: ofRoute, upTo: ofFile, modes: inStream, form: duration{usual: 60000, zero: "for no limit"},
		doc:  "how long nothing may be received from or sent to the client",
		into: func(t *target) any { return &t.route.ReadTimeout }},

	// What routes match.
	{name: "host", of: ofMatch, modes: inHTTP, form: custom{"", oneOrMore(textSchema)},
		doc: "the requested host name: `a.example`, or `*.a.example` for all names that end in `.a.example`. Letter case, port and a trailing dot do not matter"},
	{name: "path", of: ofMatch, modes: inHTTP, form: custom{"", oneOrMore(pathSchema)},
		doc: "the whole path"},
	{name: "path_prefix", of: ofMatch, modes: inHTTP, form: custom{"", oneOrMore(pathSchema)},
		doc: "a prefix of whole path segments: `/api` matches `/api` and `/api/x`, not `/apis`; `/api/` matches only what is below"},
	{name: "path_regex", of: ofMatch, modes: inHTTP, form: custom{"", oneOrMore(textSchema)},
		doc: "a regular expression ([RE2](https://github.com/google/re2/wiki/Syntax)) for the whole path"},
	{name: "method", of: ofMatch, modes: inHTTP, form: custom{"", oneOrMore(textSchema)},
		doc: "`GET`, `POST`, …"},
	{name: "header", of: ofMatch, modes: inHTTP, form: custom{"", fieldsOfMatchSchema},
		doc: "header fields by name: a value, an array of values, `true` for present, `false` for absent, or `{ \"regex\": \"…\" }`"},
	{name: "query", of: ofMatch, modes: inHTTP, form: custom{"", fieldsOfMatchSchema},
		doc: "query parameters, likewise"},
	{name: "cookie", of: ofMatch, modes: inHTTP, form: custom{"", fieldsOfMatchSchema},
		doc: "cookies, likewise"},
	{name: "scheme", of: ofMatch, modes: inHTTP, form: custom{"", oneOrMore(schemeSchema)},
		doc: "`http` or `https`: how the client is connected"},
	{name: "client", of: ofMatch, form: custom{"", oneOrMore(textSchema)},
		doc: "client addresses and networks"},
	{name: "sni", of: ofMatch, form: custom{"", oneOrMore(textSchema)},
		doc: "the server name in the ClientHello, written like `host`"},
	{name: "listen_port", of: ofMatch, form: custom{"", portsSchema},
		doc: "the local port that the client connected to"},
	{name: "regex", of: ofField, form: textual{"required"},
		doc: "a regular expression (RE2) for the whole value"},

	{name: "group", of: ofTarget, form: textual{"required"},
		doc: "the name of a group in `servers`"},
	{name: "weight", of: ofTarget, form: integer{0, 1000, 1, "write a number from 0 to 1000", ""},
		doc: "its share of the sum of all weights"},

	{name: "to", of: ofRedirect, form: textual{"required"},
		doc: "the target: a URL or a path, with variables; `$1` is the first group of `path_regex`"},
	{name: "status", of: ofRedirect, form: custom{"308", redirectStatusSchema},
		doc: "301, 302, 303, 307 or 308"},

	{name: "status", of: ofRespond, form: integer{200, 599, 200, "write a status from 200 to 599", ""},
		doc: "the status code"},
	{name: "body", of: ofRespond, form: textual{"empty"},
		doc: "the response's body"},
	{name: "headers", of: ofRespond, form: custom{"none", fieldsSchema},
		doc: "header fields: `{ \"Content-Type\": \"text/plain\" }`"},

	{name: "strip_prefix", of: ofRewrite, form: textual{"none"},
		doc: "removed from the beginning of the path"},
	{name: "add_prefix", of: ofRewrite, form: textual{"none"},
		doc: "added at the beginning of the path"},
	{name: "path", of: ofRewrite, form: textual{"unchanged"},
		doc: "replaces the path; `$1` is the first group of `path_regex`"},
	{name: "query", of: ofRewrite, form: textual{"unchanged"},
		doc: "replaces the query"},

	{name: "set", of: ofEdits, form: custom{"none", fieldsSchema},
		doc: "fields that replace those of the same name"},
	{name: "add", of: ofEdits, form: custom{"none", fieldsSchema},
		doc: "fields that are added to those of the same name"},
	{name: "remove", of: ofEdits, form: custom{"none", textsSchema},
		doc: "names of fields that are removed"},

	// Groups of hosts.
	{name: "hosts", of: ofGroup, form: custom{"required", hostsSchema},
		doc: "the [hosts](#hosts)"},
	{name: "balancing_algo", of: ofGroup, upTo: ofFile, form: algorithm{choice{words: algorithmNames(), usual: algorithms[0].Name, noun: "algorithm", guess: true}},
		doc: "how a host is chosen, see [balancing](#balancing)"},
	{name: "hash_key", of: ofGroup, upTo: ofFile, form: templated{"required with `hash`"},
		doc: "what `hash` hashes: a text with [variables](logging.md#variables-in-other-texts), such as `$http_x_tenant`; in `stream` only variables of the client and its TLS"},
	{name: "health_check", of: ofGroup, upTo: ofFile, form: section{ofHealthCheck, "none", `{ "path": "/healthz" }`, true},
		doc: "active checks: each host is asked at intervals whether it works, see [checks](#checks)"},
	{name: "passive_check", of: ofGroup, upTo: ofFile, form: section{ofPassiveCheck, "connections only", `{ "failures": 3 }`, true},
		doc: "which failures of clients' requests and sessions count against a host, see [checks](#checks); `false`: none"},
	{name: "slow_start", of: ofGroup, upTo: ofFile, form: duration{usual: 0, zero: "for the full share at once"},
		doc:  "how long it takes until a recovered host gets its full share again",
		into: func(t *target) any { return &t.group.SlowStart }},
	{name: "queue", of: ofGroup, upTo: ofFile, form: section{ofQueue, "none", `{ "size": 100 }`, true},
		doc: "when all hosts are at their `max_conns`, clients wait here, see [bounds](#bounds-and-queues)"},
	{name: "retry", of: ofGroup, upTo: ofFile, form: section{ofRetry, "one retry", `{ "attempts": 2 }`, true},
		doc: "when a request is retried on another host, see [retries](#retries); `false`: never"},
	{name: "sticky", of: ofGroup, upTo: ofFile, modes: inHTTP, form: section{ofSticky, "none", `{ "cookie": "kroxy" }`, true},
		doc: "a client keeps going to the same host, see [sticky clients](#sticky-clients)"},
	{name: "connect_timeout", of: ofGroup, upTo: ofFile, form: duration{usual: 60000, zero: "for no limit"},
		doc:  "how long to look for a host that accepts, over all hosts tried, see [hosts that are down](#hosts-that-are-down)",
		into: func(t *target) any { return &t.group.ConnectTimeout }},
	{name: "resolve_timeout", of: ofGroup, upTo: ofFile, form: duration{usual: 60000, zero: "for no limit"},
		doc:  "how long resolving a host's name may take",
		into: func(t *target) any { return &t.group.ResolveTimeout }},
	{name: "upstream_keepalive", of: ofGroup, upTo: ofFile, modes: inHTTP, form: keepalive{integer{0, math.MaxInt32, 0, `write "auto", a number of connections, or 0 to keep none`, ""}},
		doc:  "idle connections that each event loop keeps to each host: a number, or `\"auto\"`: as many as were recently in use at once",
		into: func(t *target) any { return &t.group.UpstreamKeepalive }},
	{name: "upstream_keepalive_timeout", of: ofGroup, upTo: ofFile, modes: inHTTP, form: duration{usual: 60000, zero: "for no limit"},
		doc:  "how long an idle connection to a host is kept. If the host's `Keep-Alive` says less, a second less than that (half, if it says less than 2 s)",
		into: func(t *target) any { return &t.group.UpstreamKeepaliveTimeout }},
	{name: "protocol", of: ofGroup, modes: inHTTP, form: protocol{choice{words: hostProtocols, usual: hostProtocols[0], noun: "protocol"}},
		doc:  "the protocol spoken with hosts: `http/1.1`, `h2` (HTTP/2 with TLS), `h2c` (HTTP/2 without TLS), or `auto`: HTTP/2 with hosts that agree to it by ALPN. See [http2.md](http2.md#to-hosts)",
		into: func(t *target) any { return &t.group.Protocol }},
	{name: "proxy_protocol", of: ofGroup, form: choice{words: []string{"v1", "v2"}, noun: "version", remedy: `write "v1" or "v2"`},
		doc:  "sends hosts a PROXY header (`v1` or `v2`) that names the client; connections to them are then not reused",
		into: func(t *target) any { return &t.group.ProxyProtocol }},
	{name: "tcp_keepalive", of: ofGroup, upTo: ofFile, form: duration{usual: 0, zero: "for none"},
		doc:  "how long a host may be silent before TCP keepalive probes are sent",
		into: func(t *target) any { return &t.group.TCPKeepalive }},
	{name: "proxy_tls_enabled", of: ofGroup, upTo: ofFile, form: boolean{false},
		doc: "speak TLS with the hosts"},
	{name: "proxy_tls_verify", of: ofGroup, upTo: ofFile, form: boolean{false},
		doc: "verify the hosts' certificates"},
	{name: "proxy_tls_ca_path", of: ofGroup, upTo: ofFile, form: textual{"the system's"},
		doc: "PEM file of the CAs to trust"},
	{name: "proxy_tls_server_name", of: ofGroup, upTo: ofFile, form: textual{"the host's name"},
		doc: "the server name that is sent to hosts, and that their certificates must match"},
	{name: "proxy_tls_cert_path", of: ofGroup, upTo: ofFile, form: textual{"none"},
		doc: "PEM file of the client certificate chain sent to hosts"},
	{name: "proxy_tls_key_path", of: ofGroup, upTo: ofFile, form: textual{"none"},
		doc: "PEM file of its private key"},

	{name: "host", of: ofHost, form: textual{"required"},
		doc: "a name, an IPv4 or an IPv6 address"},
	{name: "port", of: ofHost, form: portForm(required),
		doc: "its TCP port"},
	{name: "unix", of: ofHost, form: textual{"none"},
		doc: "path of a Unix socket, instead of `host` and `port`"},
	{name: "name", of: ofHost, form: custom{"`host`", anySchema},
		doc: "the host's name, if it differs from its address, see [a host's name](#a-hosts-name)"},

	{name: "srv", of: ofHost, form: textual{"none"},
		doc: "a DNS service name, instead of `host` and `port`: `_api._tcp.example`. Its SRV records list the hosts, with their ports, weights and priorities"},
	{name: "weight", of: ofHost, form: integer{0, 1000, 1, "write a number from 0 to 1000", ""},
		doc:  "its share of the sum of all weights; with 0 it gets no clients",
		into: func(t *target) any { return &t.host.Weight }},
	{name: "backup", of: ofHost, form: boolean{false},
		doc:  "used only while none of the other hosts can serve",
		into: func(t *target) any { return &t.host.Backup }},
	{name: "max_conns", of: ofHost, upTo: ofFile, form: bound{integer{1, math.MaxInt32, 0, "write a number of connections, or leave the key out for no bound", "none"}},
		doc:  "maximum number of sessions or requests at once, over all workers; the rest go to other hosts, see [bounds](#bounds-and-queues)",
		into: func(t *target) any { return &t.host.MaxConns }},
	{name: "drain", of: ofHost, form: boolean{false},
		doc:  "the host gets no new clients, but keeps its [sticky](#sticky-clients) ones",
		into: func(t *target) any { return &t.host.Drain }},

	{name: "type", of: ofHealthCheck, form: checkType{choice{words: []string{"http", "tcp", "grpc"}, noun: "type", remedy: `write "http", "tcp" or "grpc"`}},
		doc:  "`http`: a request must get the expected response; `grpc`: the host must report by gRPC that it is serving; `tcp`: a connection must succeed, with TLS if the group uses it. The default is `http` in `http` servers, `tcp` in `stream`",
		into: func(t *target) any { return &t.check.Type }},
	{name: "path", of: ofHealthCheck, form: worded{usual: "/", pattern: `^/[^ #]*$`, check: checkPath},
		doc:  "the path to request; it may have a query",
		into: func(t *target) any { return &t.check.Path }},
	{name: "method", of: ofHealthCheck, form: worded{usual: "GET", check: checkMethod},
		doc:  "the request's method",
		into: func(t *target) any { return &t.check.Method }},
	{name: "host", of: ofHealthCheck, form: worded{written: "the host's name", check: checkAuthority},
		doc:  "the request's `Host`, or `:authority` with `grpc`",
		into: func(t *target) any { return &t.check.Host }},
	{name: "status", of: ofHealthCheck, form: statuses{100, Statuses{{200, 399}}, `["200-399"]`},
		doc:  "statuses of a healthy host: `200`, `\"200-399\"`, `\"2xx\"`, or several in an array. Redirects are not followed",
		into: func(t *target) any { return &t.check.Status }},
	{name: "body", of: ofHealthCheck, form: worded{check: checkBody},
		doc:  "a text that must occur in the first 64 KiB of the response's body",
		into: func(t *target) any { return &t.check.Body }},
	{name: "service", of: ofHealthCheck, form: worded{written: "the host as a whole", pattern: `^([^/].{0,255})?$`, check: checkGRPCService},
		doc:  "(`grpc`) the name of the service to check, as in `shop.Cart`",
		into: func(t *target) any { return &t.check.Service }},
	{name: "port", of: ofHealthCheck, form: integer{1, math.MaxUint16, 0, "write a port from 1 to 65535", "the host's"},
		doc:  "TCP port to check instead of the host's own",
		into: func(t *target) any { return &t.check.Port }},
	{name: "interval", of: ofHealthCheck, form: duration{usual: 2000, low: 10},
		doc:  "time between two checks of a host",
		into: func(t *target) any { return &t.check.Interval }},
	{name: "fast_interval", of: ofHealthCheck, form: duration{low: 10, such: 500, written: "`interval`"},
		doc:  "the interval while a host is between up and down",
		into: func(t *target) any { return &t.check.FastInterval }},
	{name: "timeout", of: ofHealthCheck, form: duration{low: 1, such: 2000, written: "`interval`"},
		doc:  "how long a check may take before it fails",
		into: func(t *target) any { return &t.check.Timeout }},
	{name: "rise", of: ofHealthCheck, form: integer{1, 1000, 2, "write a number of checks from 1 to 1000", ""},
		doc:  "successful checks in a row after which a host is up again. At the start one is enough",
		into: func(t *target) any { return &t.check.Rise }},
	{name: "fall", of: ofHealthCheck, form: integer{1, 1000, 3, "write a number of checks from 1 to 1000", ""},
		doc:  "failed checks in a row after which a host is down",
		into: func(t *target) any { return &t.check.Fall }},

	{name: "failures", of: ofPassiveCheck, form: integer{1, 1000000, 1, "write a number of failures from 1 to 1000000", ""},
		doc:  "number of failures within `window` after which a host is ejected: not used as long as there are others",
		into: func(t *target) any { return &t.passive.Failures }},
	{name: "window", of: ofPassiveCheck, form: duration{usual: 10000, low: 1},
		doc:  "how long a failure counts",
		into: func(t *target) any { return &t.passive.Window }},
	{name: "eject", of: ofPassiveCheck, form: duration{usual: 1000, low: 1},
		doc:  "how long a host is ejected the first time. The time doubles with each ejection until the host serves again",
		into: func(t *target) any { return &t.passive.Eject }},
	{name: "max_eject", of: ofPassiveCheck, form: duration{low: 1, such: 10000, written: "10 times `eject`"},
		doc:  "the maximum ejection time",
		into: func(t *target) any { return &t.passive.MaxEject }},
	{name: "status", of: ofPassiveCheck, modes: inHTTP, form: statuses{400, nil, `["500-599"]`},
		doc:  "response statuses that count as failures too: `503`, `\"500-599\"`, `\"5xx\"`, or several in an array",
		into: func(t *target) any { return &t.passive.Status }},

	{name: "size", of: ofQueue, form: integer{1, 1000000, 100, "write a number of clients from 1 to 1000000", ""},
		doc:  "maximum number of waiting clients, over all workers",
		into: func(t *target) any { return &t.queue.Size }},
	{name: "timeout", of: ofQueue, form: duration{usual: 1000, low: 1},
		doc:  "how long a client waits",
		into: func(t *target) any { return &t.queue.Timeout }},

	{name: "attempts", of: ofRetry, form: integer{0, 100, 1, "write a number of further tries from 0 to 100", ""},
		doc:  "maximum number of retries after the first try. Going on to the next host because a connection could not be made is not a retry",
		into: func(t *target) any { return &t.retry.Attempts }},
	{name: "on", of: ofRetry, form: retryOn{},
		doc:  "what is retried: `connect` (no connection; always included unless `retry` is `false`), `reset` (the connection failed before the response), `timeout` (`proxy_read_timeout` or `try_timeout`), and statuses: `502`, `\"500-599\"`, `\"5xx\"`. `stream` has only `connect`",
		into: func(t *target) any { return &t.retry.On }},
	{name: "budget", of: ofRetry, form: integer{0, 100, 20, "write a percentage from 0 to 100", ""},
		doc:  "maximum number of retries in percent of the requests, over time and at any one time; each worker has 10 in reserve for when hosts begin to fail",
		into: func(t *target) any { return &t.retry.Budget }},
	{name: "buffer", of: ofRetry, modes: inHTTP, form: size{usual: 16 << 10, high: 1 << 20, remedy: `write a number of bytes, or a size with a unit, up to "1MiB"`, written: "`\"16KiB\"`"},
		doc:  "bytes of a request's body that are buffered for a retry; a request with a longer body is not retried",
		into: func(t *target) any { return &t.retry.Buffer }},
	{name: "try_timeout", of: ofRetry, modes: inHTTP, form: duration{usual: 0, zero: "for no limit"},
		doc:  "how long one try may take, from the end of the request to the head of the response. Then the next host is tried, or the client gets 504",
		into: func(t *target) any { return &t.retry.TryTimeout }},

	{name: "cookie", of: ofSticky, form: worded{usual: "kroxy", check: checkCookie},
		doc:  "the cookie's name",
		into: func(t *target) any { return &t.sticky.Cookie }},
	{name: "ttl", of: ofSticky, form: duration{usual: 0, zero: "for as long as the browser runs"},
		doc:  "how long browsers keep the cookie",
		into: func(t *target) any { return &t.sticky.TTL }},
	{name: "path", of: ofSticky, form: worded{usual: "/", pattern: `^/[^ ;]*$`, check: checkCookiePath},
		doc:  "the cookie's path: it is sent with this path and those below",
		into: func(t *target) any { return &t.sticky.Path }},
	{name: "domain", of: ofSticky, form: worded{written: "the name asked for", check: checkCookieDomain},
		doc:  "the cookie's domain: it is sent to this domain and all names below",
		into: func(t *target) any { return &t.sticky.Domain }},
	{name: "same_site", of: ofSticky, form: sameSite{},
		doc:  "`Lax`, `Strict` or `None`: whether the cookie is sent with cross-site requests",
		into: func(t *target) any { return &t.sticky.SameSite }},

	{name: "max_streams", of: ofHTTP2, form: integer{1, 10000, 100, "write a number of requests from 1 to 10000", ""},
		doc:  "maximum number of concurrent requests on one connection; further ones are refused, and clients send them again",
		into: func(t *target) any { return &t.http2.MaxStreams }},
	{name: "window", of: ofHTTP2, form: windowForm(64<<10, "`\"64KiB\"`"),
		doc:  "bytes of a request's body that may arrive before the host has taken the earlier ones: what each request to a slow host costs in memory. The window grows, up to a quarter of `connection_window`, while the host takes the bytes as they arrive",
		into: func(t *target) any { return &t.http2.Window }},
	{name: "connection_window", of: ofHTTP2, form: windowForm(1<<20, "`\"1MiB\"`"),
		doc:  "the same for all requests of one connection together",
		into: func(t *target) any { return &t.http2.ConnectionWindow }},

	{name: "servers", of: ofResolver, form: nameServers{},
		doc:  "DNS servers, with a port if it is not 53: `[\"127.0.0.1:5353\", \"::1\"]`",
		into: func(t *target) any { return &t.resolver.Servers }},
	{name: "min_ttl", of: ofResolver, form: duration{usual: 1000, low: 1000},
		doc:  "minimum time for which an answer is used",
		into: func(t *target) any { return &t.resolver.MinTTL }},
	{name: "max_ttl", of: ofResolver, form: duration{usual: 300000, low: 1000},
		doc:  "maximum time for which an answer is used",
		into: func(t *target) any { return &t.resolver.MaxTTL }},
	{name: "search", of: ofResolver, form: searchList{},
		doc:  "domains that are appended to a name without a dot",
		into: func(t *target) any { return &t.resolver.Search }},

	{name: "status", of: ofLogIf, modes: inHTTP, form: statuses{100, nil, `["400-599"]`},
		doc:  "log requests with these values of `$status`: `404`, `\"400-599\"`, `\"5xx\"`, or several in an array",
		into: func(t *target) any { return &t.logIf.Status }},
	{name: "slower_than", of: ofLogIf, form: duration{low: 1, such: 500, written: "none"},
		doc:  "log requests and sessions whose `$processing_time` is longer",
		into: func(t *target) any { return &t.logIf.SlowerThan }},
	{name: "failed", of: ofLogIf, form: boolean{false},
		doc:  "log requests and sessions whose `$end_reason` is not `complete`",
		into: func(t *target) any { return &t.logIf.Failed }},
	{name: "sample", of: ofLogIf, form: share{usual: 0, written: "0, or 1 if there is nothing else"},
		doc:  "the share of all others that is logged, from 0 to 1, chosen at random",
		into: func(t *target) any { return &t.logIf.Sample }},

	{name: "address", of: ofSyslog, form: worded{usual: "unix:/dev/log", pattern: `^(udp:.+:[0-9]+|unix:/.+)$`, check: checkSyslog},
		doc:  "`udp:HOST:PORT`, or `unix:PATH` for a datagram socket",
		into: func(t *target) any { return &t.syslog.Address }},
	{name: "facility", of: ofSyslog, form: choice{words: SyslogFacilities, usual: "daemon", noun: "facility", guess: true},
		doc:  "`daemon`, `user`, `local0` to `local7`, or another of RFC 5424",
		into: func(t *target) any { return &t.syslog.Facility }},
	{name: "severity", of: ofSyslog, form: choice{words: SyslogSeverities, usual: "info", noun: "severity", guess: true},
		doc:  "the severity of access log lines; lines of the error log have their own",
		into: func(t *target) any { return &t.syslog.Severity }},
	{name: "tag", of: ofSyslog, form: worded{usual: "kroxy-ev", pattern: `^[!-~]{1,48}$`, check: checkTag},
		doc:  "the program's name in each message (APP-NAME)",
		into: func(t *target) any { return &t.syslog.Tag }},
	{name: "access_log", of: ofSyslog, form: boolean{true},
		doc:  "send access logs",
		into: func(t *target) any { return &t.syslog.Access }},
	{name: "error_log", of: ofSyslog, form: boolean{true},
		doc:  "send the error log; only in the file's `syslog`",
		into: func(t *target) any { return &t.syslog.Errors }},

	{name: "otlp_http", of: ofTracing, form: worded{written: "required", pattern: `^https?://`, check: checkCollector},
		doc:  "the URL of a collector that accepts OTLP over HTTP: `http://127.0.0.1:4318`. A URL without a path means `/v1/traces`",
		into: func(t *target) any { return &t.tracing.URL }},
	{name: "sampling", of: ofTracing, form: share{usual: 1},
		doc:  "the share of requests, from 0 to 1, whose spans are sent. For a request with a `traceparent` its sender has decided",
		into: func(t *target) any { return &t.tracing.Sampling }},
	{name: "service", of: ofTracing, form: worded{usual: "kroxy-ev", check: checkService},
		doc:  "`service.name` of the spans",
		into: func(t *target) any { return &t.tracing.Service }},

	{name: "listen", of: ofAdmin, form: custom{"required", arrayOf(ofAdminListen)},
		doc: "the addresses to listen on: `[{ \"port\": 9900 }]`"},
	{name: "token_file", of: ofAdmin, form: textual{"none"},
		doc:  "a file with the token that requests must send: `Authorization: Bearer TOKEN`. It is read again at each reload. Only `/healthz`, `/ready` and the dashboard's static files need no token",
		into: func(t *target) any { return &t.admin.TokenFile }},
	{name: "metrics_only", of: ofAdmin, form: boolean{false},
		doc:  "serve only `/metrics`, `/healthz` and `/ready`",
		into: func(t *target) any { return &t.admin.MetricsOnly }},
	{name: "address", of: ofAdminListen, form: textual{"`127.0.0.1`"},
		doc: "an IPv4 or IPv6 address. A warning is logged if other machines can reach it and there is no token"},
	{name: "port", of: ofAdminListen, form: portForm(required),
		doc: "TCP port"},
	{name: "unix", of: ofAdminListen, form: textual{"none"},
		doc: "path of a Unix socket, instead of an address and a port"},
	{name: "mode", of: ofAdminListen, form: custom{"`\"0660\"`", modeSchema},
		doc: "permissions of the Unix socket, octal"},

	{name: "cert_path", of: ofCertificate, form: textual{"required"},
		doc: "PEM file of the certificate chain"},
	{name: "key_path", of: ofCertificate, form: textual{"required"},
		doc: "PEM file of its private key"},
})

// required is the default where absence is an error, which the caller reports.
const required = 0
