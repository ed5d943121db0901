package config_test

import (
	"errors"
	"strings"
	"testing"

	"kroxy-ev/config"
)

// ok is the minimum that a mode needs, to be put before other members.
const ok = `"proxy_to":"b","servers":{"b":{"hosts":[{"host":"h","port":1}]}}`

// group wraps the members of a group, and hosts the entries of its hosts.
func group(members string) string {
	return `{"stream":{"proxy_to":"b","servers":{"b":{` + members + `}}}}`
}

func hosts(entries string) string { return group(`"hosts":[` + entries + `]`) }

func stream(members string) string { return `{"stream":{` + ok + "," + members + `}}` }
func http(members string) string   { return `{"http":{` + ok + "," + members + `}}` }

// outcome returns everything that Parse reports, one line each: "W" and warnings, then errors.
func outcome(t *testing.T, input string) string {
	t.Helper()
	_, warnings, err := config.Parse("f", []byte(input))
	var lines []string
	for _, w := range warnings {
		lines = append(lines, "W "+w.String())
	}
	if err != nil {
		e, isError := errors.AsType[*config.Error](err)
		if !isError {
			t.Fatalf("the error is a %T, not an *Error", err)
		}
		for _, p := range e.Problems {
			lines = append(lines, p.String())
		}
	}
	return strings.Join(lines, "\n")
}

type outcomeCase struct{ input, want string }

func checkOutcomes(t *testing.T, cases []outcomeCase) {
	t.Helper()
	for _, c := range cases {
		t.Run(c.input, func(t *testing.T) {
			t.Parallel()
			if got := outcome(t, c.input); got != c.want {
				t.Errorf("got\n%s\nwant\n%s", got, c.want)
			}
			checkSchema(t, []byte(c.input), c.want)
		})
	}
}

func TestModeErrors(t *testing.T) {
	t.Parallel()
	checkOutcomes(t, []outcomeCase{
		{`{"stream":{}}`,
			`f:1:11: stream.servers: it is missing: there is nothing to send traffic to; add "servers": { "backend": { "hosts": [{ "host": "127.0.0.1", "port": 9001 }] } }
f:1:11: stream.proxy_to: it is missing; add "proxy_to": the name of a group in servers`},
		{`{"watchdog_timeout":10,"stream":{` + ok + `}}`,
			`W f:1:21: watchdog_timeout: a worker that only waits for a CPU may be silent for 10ms, and is then killed; write 1000 (milliseconds) or more, or 0 for no limit`},
		{`{"stream":{"watchdog_timeout":"99ms",` + ok + `},"http":{"watchdog_timeout":99,"port":1,` + ok + `}}`,
			`W f:1:31: stream.watchdog_timeout: a worker that only waits for a CPU may be silent for 99ms, and is then killed; write 1000 (milliseconds) or more, or 0 for no limit`},
		{`{"http":{}}`,
			`f:1:9: http.servers: it is missing: there is nothing to send traffic to; add "servers": { "backend": { "hosts": [{ "host": "127.0.0.1", "port": 9001 }] } }
f:1:9: http.proxy_to: it is missing; add "proxy_to": the name of a group in servers`},
		{`{"strem":{` + ok + `}}`,
			`W f:1:2: strem: unknown key "strem" is ignored; did you mean "stream"?
f:1:1: (top level): neither "stream" nor "http" is present; write { "stream": { ... } } for TCP or { "http": { ... } } for HTTP`},
		{`{"stream":{` + ok + `},"http":{` + ok + `}}`,
			`f:1:85: http.port: port 8080 of all IPv4 addresses is listened on twice, first in stream.port (f:1:11); remove one of the two, or give it another port: routes can distinguish requests for several names on one port`},
		{`{"stream":{` + ok + `},"stream":{}}`,
			`f:1:78: stream: the key is given twice, first in line 1; remove one of the two`},
		{`{"stream":5}`,
			`f:1:11: stream: must be an object, not the number 5; write an object: { "proxy_to": ..., "servers": { ... } }`},
		{`{"stream":{` + ok + `},"port":5,"x":1}`,
			`W f:1:78: port: unknown key "port" is ignored here; it belongs in "stream", an entry of "hosts" or an entry of "listen"
W f:1:87: x: unknown key "x" is ignored; remove it`},
	})
}

func TestNumberErrors(t *testing.T) {
	t.Parallel()
	checkOutcomes(t, []outcomeCase{
		{stream(`"port":0`),
			`f:1:84: stream.port: 0 is outside 1-65535; write a port from 1 to 65535`},
		{stream(`"port":65536`),
			`f:1:84: stream.port: 65536 is outside 1-65535; write a port from 1 to 65535`},
		{stream(`"port":-1`),
			`f:1:84: stream.port: -1 is outside 1-65535; write a port from 1 to 65535`},
		{stream(`"port":"8080"`),
			`f:1:84: stream.port: must be a whole number, not the string "8080"; write 8080, without quotes`},
		{stream(`"port":"x"`),
			`f:1:84: stream.port: must be a whole number, not the string "x"; write a port from 1 to 65535`},
		{stream(`"port":8080.0`),
			`f:1:84: stream.port: must be a whole number, not the number 8080.0; write 8080, without a fraction or an exponent`},
		{stream(`"port":1e4`),
			`f:1:84: stream.port: must be a whole number, not the number 1e4; write 10000, without a fraction or an exponent`},
		{stream(`"port":1e999`),
			`f:1:84: stream.port: must be a whole number, not the number 1e999; write a port from 1 to 65535`},
		{stream(`"port":80.5`),
			`f:1:84: stream.port: must be a whole number, not the number 80.5; write a port from 1 to 65535`},
		{stream(`"port":99999999999999999999999`),
			`f:1:84: stream.port: 99999999999999999999999 is outside 1-65535; write a port from 1 to 65535`},
		{stream(`"port":-99999999999999999999999`),
			`f:1:84: stream.port: -99999999999999999999999 is outside 1-65535; write a port from 1 to 65535`},
		{stream(`"port":18446744073709559696`),
			`f:1:84: stream.port: 18446744073709559696 is outside 1-65535; write a port from 1 to 65535`},
		{stream(`"port":null`),
			`f:1:84: stream.port: must be a whole number, not null; remove the key to have the default, 8080`},
		{stream(`"port":true`),
			`f:1:84: stream.port: must be a whole number, not true; write a port from 1 to 65535`},
		{stream(`"port":{}`),
			`f:1:84: stream.port: must be a whole number, not an object; write a port from 1 to 65535`},
		{stream(`"port":[80]`),
			`f:1:84: stream.port: must be a whole number, not an array; write a port from 1 to 65535`},
		{stream(`"port":-0`),
			`f:1:84: stream.port: -0 is outside 1-65535; write a port from 1 to 65535`},
		{stream(`"workers_num":0`),
			`f:1:91: stream.workers_num: 0 is outside 1-4096; write a number of processes from 1 to 4096`},
		{stream(`"workers_num":5000`),
			`f:1:91: stream.workers_num: 5000 is outside 1-4096; write a number of processes from 1 to 4096`},
		{stream(`"reactors_num":-1`),
			`f:1:92: stream.reactors_num: -1 is negative; write a number of event loops, or 0 for one per CPU`},
		{stream(`"max_connections":-5`),
			`f:1:95: stream.max_connections: -5 is negative; write a number of connections, or 0 for as many as the open file limit allows`},
		{stream(`"max_connections":99999999999`),
			`f:1:95: stream.max_connections: 99999999999 is outside 0-2147483647; write a number of connections, or 0 for as many as the open file limit allows`},
		{stream(`"read_timeout":-1`),
			`f:1:92: stream.read_timeout: -1 is negative; write whole milliseconds, such as 60000, a time with a unit, such as "1.5s", or 0 for no limit`},
		{stream(`"read_timeout":1.5`),
			`f:1:92: stream.read_timeout: must be a whole number, not the number 1.5; write whole milliseconds, such as 60000, a time with a unit, such as "1.5s", or 0 for no limit`},
		{stream(`"read_timeout":1e3`),
			`f:1:92: stream.read_timeout: must be a whole number, not the number 1e3; write 1000, without a fraction or an exponent`},
		{stream(`"read_timeout":"1000"`),
			`f:1:92: stream.read_timeout: must be a whole number, not the string "1000"; write 1000, without quotes`},
		{stream(`"read_timeout":"10x"`),
			`f:1:92: stream.read_timeout: "10x" is not a time; the units are "ms", "s", "m" and "h"; write whole milliseconds, such as 60000, a time with a unit, such as "1.5s", or 0 for no limit`},
		{stream(`"read_timeout":9223372036854775807`),
			`f:1:92: stream.read_timeout: 9223372036854775807 is outside 0-3153600000000; write whole milliseconds, such as 60000, a time with a unit, such as "1.5s", or 0 for no limit`},
		{stream(`"tls_handshake_timeout":-1`),
			`f:1:101: stream.tls_handshake_timeout: -1 is negative; write whole milliseconds, such as 10000, a time with a unit, such as "1.5s", or 0 for no limit`},
		{http(`"tls_handshake_timeout":"10"`),
			`f:1:99: http.tls_handshake_timeout: must be a whole number, not the string "10"; write 10, without quotes`},
		{stream(`"shutdown_timeout":-1`),
			`f:1:96: stream.shutdown_timeout: -1 is negative; write whole milliseconds, such as 8000, a time with a unit, such as "1.5s", or 0 to end sessions at once`},
		{stream(`"shutdown_timeout":null`),
			`f:1:96: stream.shutdown_timeout: must be a whole number, not null; remove the key to have the default, 8000`},
	})
}
