package config_test

import (
	"reflect"
	"testing"
	"time"

	"kroxy-ev/config"
	"kroxy-ev/logformat"
)

// The keys of logs and traces over the levels.
func TestLogKeys(t *testing.T) {
	t.Parallel()
	c, warnings := parse(t, `{
		"error_log_format": "json", "log_if": { "status": ["400-599"], "slower_than": "500ms", "sample": 0.25 }, "syslog": { "tag": "edge" },
		"tracing": { "otlp_http": "http://127.0.0.1:4318/", "sampling": 0.5 },
		"servers": { "b": { "hosts": [{ "host": "h", "port": 1 }] } },
		"http": [
			{ "port": 1, "syslog": { "address": "udp:log.example:514", "facility": "local3", "severity": "notice" }, "routes": [
				{ "proxy_to": "b", "match": { "path": "/1" }, "log_if": false },
				{ "proxy_to": "b", "match": { "path": "/2" }, "log_if": { "sample": null, "slower_than": null, "failed": true } },
				{ "proxy_to": "b", "match": { "path": "/3" }, "log_if": null, "request_id": true },
				{ "proxy_to": "b", "log_if": { "status": null, "slower_than": null, "sample": null } } ] },
			{ "port": 2, "syslog": false, "proxy_to": "b", "log_if": true }
		],
		"stream": { "port": 3, "proxy_to": "b", "syslog": { "access_log": false } }
	}`)
	if warnings != nil {
		t.Error(warnings)
	}
	errors := config.Statuses{{Low: 400, High: 599}}
	outer := &config.LogIf{Status: errors, SlowerThan: 500 * time.Millisecond, Sample: 0.25}
	usual := config.Syslog{Address: "unix:/dev/log", Facility: "daemon", Severity: "info", Tag: "edge", Access: true, Errors: true}
	far := config.Syslog{Address: "udp:log.example:514", Facility: "local3", Severity: "notice", Tag: "edge", Access: true, Errors: true}
	one, two, three := c.Servers[0], c.Servers[1], c.Servers[2]
	for i, c := range []struct{ got, want any }{
		{c.ErrorLogJSON, true},
		{c.Syslog, &usual},
		{c.Tracing, &config.Tracing{URL: "http://127.0.0.1:4318/v1/traces", Sampling: 0.5, Service: "kroxy-ev"}},
		{one.Syslog, &far},
		{one.FormatLog, config.DefaultHTTPLog},
		{one.Unrouted.LogIf, outer},
		{one.Routes[0].LogIf, &config.LogIf{}},
		{one.Routes[1].LogIf, &config.LogIf{Status: errors, Failed: true}},
		{one.Routes[2].LogIf, (*config.LogIf)(nil)},
		{one.Routes[3].LogIf, (*config.LogIf)(nil)},
		{[]bool{one.Unrouted.RequestID, one.Routes[1].RequestID, one.Routes[2].RequestID}, []bool{false, false, true}},
		{two.Syslog, (*config.Syslog)(nil)},
		{two.Routes[0].LogIf, (*config.LogIf)(nil)},
		{three.Syslog, (*config.Syslog)(nil)},
		{three.FormatLog, ""},
		{three.Routes[0].LogIf, &config.LogIf{SlowerThan: 500 * time.Millisecond, Sample: 0.25}},
	} {
		if !reflect.DeepEqual(c.got, c.want) {
			t.Errorf("%d: got %+v, want %+v", i, c.got, c.want)
		}
	}
}

func TestLogKeyErrors(t *testing.T) {
	t.Parallel()
	const web = `"http":{"proxy_to":"b"},` + groupB + `}`
	checkOutcomes(t, []outcomeCase{
		{`{"error_log_format":"jsn",` + web, `f:1:21: error_log_format: unknown format "jsn"; did you mean "json"?`},
		{`{"log_if":"errors",` + web,
			`f:1:11: log_if: must be an object, true or false, not the string "errors"; write { "status": ["400-599"], "slower_than": "500ms", "sample": 0.01 }, true for the defaults, or false for none`},
		{`{"log_if":{"status":"700","sample":2,"slower_than":0,"share":1},` + web,
			`f:1:21: log_if.status: 700 is outside 100-599; write a status from 100 to 599, or several as in "200-399" or "2xx"
f:1:36: log_if.sample: 2 is outside 0-1; write a number from 0 to 1, such as 0.01 for one in a hundred
f:1:52: log_if.slower_than: 0s is less than 1ms; write whole milliseconds, such as 500, or a time with a unit, such as "1.5s"
f:1:54: log_if.share: unknown key "share" has no effect; remove it; the keys here are "status", "slower_than", "failed" or "sample"`},
		{`{"log_if":{"sample":"1%"},` + web, `f:1:21: log_if.sample: must be a number, not the string "1%"; write a number from 0 to 1, such as 0.01 for one in a hundred`},
		{`{"stream":{"proxy_to":"b","log_if":{"status":500}},` + groupB + `}`, `W f:1:37: stream.log_if.status: "status" is ignored: it is a key of "http" only; remove it`},
		{`{"syslog":{"address":"10.0.0.1:514"},` + web, `f:1:22: syslog.address: "10.0.0.1:514" begins with neither udp: nor unix:; write "udp:10.0.0.5:514" or "unix:/dev/log"`},
		{`{"syslog":{"address":"tcp:10.0.0.1:514"},` + web, `f:1:22: syslog.address: only datagrams are supported, because they never block; write "udp:10.0.0.5:514" or "unix:/dev/log"`},
		{`{"syslog":{"address":"udp:10.0.0.1"},` + web, `f:1:22: syslog.address: "udp:10.0.0.1" does not name a host and a port; write "udp:10.0.0.5:514" or "unix:/dev/log"`},
		{`{"syslog":{"address":"unix:dev/log"},` + web, `f:1:22: syslog.address: "unix:dev/log" has no absolute path; write "udp:10.0.0.5:514" or "unix:/dev/log"`},
		{`{"syslog":{"facility":"local8","severity":"warn","tag":"a b"},` + web,
			`f:1:23: syslog.facility: unknown facility "local8"; did you mean "local0"?
f:1:43: syslog.severity: unknown severity "warn"; write "emerg", "alert", "crit", "err", "warning", "notice", "info" or "debug"
f:1:56: syslog.tag: "a b" cannot be the name of a program in a syslog; write 1 to 48 printable characters of ASCII without a space`},
		{`{"http":{"proxy_to":"b","syslog":{"error_log":true}},` + groupB + `}`,
			`W f:1:35: http.syslog.error_log: it is ignored here: a process has one error log; write it in syslog at the top of the file`},
		{`{"tracing":{},` + web, `f:1:12: tracing.otlp_http: it is missing; add "otlp_http": "http://127.0.0.1:4318"`},
		{`{"tracing":true,` + web, `f:1:12: tracing: must be an object, not true; write { "otlp_http": "http://127.0.0.1:4318" }`},
		{`{"tracing":{"otlp_http":""},` + web, `f:1:25: tracing.otlp_http: it is empty; write "http://127.0.0.1:4318"`},
		{`{"tracing":{"otlp_http":"127.0.0.1:4318"},` + web, `f:1:25: tracing.otlp_http: "127.0.0.1:4318" is not a URL; write a URL such as "http://127.0.0.1:4318"`},
		{`{"tracing":{"otlp_http":"grpc://collector:4318"},` + web, `f:1:25: tracing.otlp_http: "grpc://collector:4318" is not a URL of http or https; write a URL such as "http://127.0.0.1:4318"`},
		{`{"tracing":{"otlp_http":"http://collector:4317"},` + web,
			`W f:1:25: tracing.otlp_http: port 4317 is usually that of OTLP over gRPC, which is not supported; write the port of OTLP over HTTP, which is 4318 in most collectors`},
		{`{"tracing":{"otlp_http":"http://c","sampling":-1,"service":"","endpoint":1},` + web,
			`f:1:47: tracing.sampling: -1 is outside 0-1; write a number from 0 to 1, such as 0.01 for one in a hundred
f:1:60: tracing.service: "" cannot be a service's name; write up to 255 characters, without control characters
f:1:63: tracing.endpoint: unknown key "endpoint" has no effect; here it is called "otlp_http"`},
		{`{"http":{"proxy_to":"b","tracing":{}},` + groupB + `}`, `W f:1:25: http.tracing: unknown key "tracing" is ignored here; it belongs in the file's top level`},
		{`{"stream":{"proxy_to":"b","request_id":true},` + groupB + `}`, `W f:1:27: stream.request_id: "request_id" is ignored: it is a key of "http" only; remove it`},
	})
}

// LogIf takes everything for which a condition holds, and a share of the rest.
func TestLogIf(t *testing.T) {
	t.Parallel()
	const never, always = uint64(1<<64 - 1), uint64(0) // lots
	all := &config.LogIf{Status: config.Statuses{{Low: 500, High: 599}, {Low: 404, High: 404}}, SlowerThan: time.Second, Failed: true}
	for i, c := range []struct {
		l      *config.LogIf
		status int
		took   time.Duration
		end    logformat.End
		lot    uint64
		want   bool
	}{
		{nil, 200, 0, logformat.Complete, never, true},
		{&config.LogIf{}, 500, time.Hour, logformat.HostCut, always, false},
		{all, 200, time.Second, logformat.Complete, always, false},
		{all, 200, time.Second + time.Millisecond, logformat.Complete, never, true},
		{all, 404, 0, logformat.Complete, never, true},
		{all, 599, 0, logformat.Complete, never, true},
		{all, 499, 0, logformat.Complete, never, false},
		{all, 499, 0, logformat.ClientAbort, never, true},
		{all, 0, 0, logformat.Complete, never, false},
		{&config.LogIf{Sample: 1}, 200, 0, logformat.Complete, never, true},
		{&config.LogIf{Sample: 0.5}, 200, 0, logformat.Complete, 1<<63 - 1, true},
		{&config.LogIf{Sample: 0.5}, 200, 0, logformat.Complete, 1 << 63, false},
		{&config.LogIf{Sample: 0.5, SlowerThan: 1}, 200, 0, logformat.Complete, always, true},
	} {
		if got := c.l.Takes(c.status, c.took, c.end, c.lot); got != c.want {
			t.Errorf("%d: %v", i, got)
		}
	}
}
