package config_test

import (
	"errors"
	"io/fs"
	"strings"
	"testing"

	"kroxy-ev/config"
	"kroxy-ev/logformat"
)

// TestGolden checks the message for a file with several errors.
func TestGolden(t *testing.T) {
	t.Parallel()
	_, warnings, err := config.Parse("stream.json", []byte(`{
  "stream": {
    "prot": 8080,
    "workers_num": 0,
    "read_timeout": "1000",
    "format_log": "é $status",
    "proxy_to": "backnd",
    "servers": {
      "backend": {
        "balancing_algo": "host",
        "hosts": [
          { "host": "127.0.0.1", "port": 9001 },
          { "host": "db:5432" }
        ]
      }
    }
  }
}
`))
	want := `stream.json:4:20: stream.workers_num: 0 is outside 1-4096; write a number of processes from 1 to 4096
stream.json:5:21: stream.read_timeout: must be a whole number, not the string "1000"; write 1000, without quotes
stream.json:6:22: stream.format_log: "$status" is known in "http" only; the variables are ` + variables(logformat.Stream) + `
stream.json:7:17: stream.proxy_to: no group named "backnd" in servers; did you mean "backend"?
stream.json:10:27: stream.servers.backend.balancing_algo: "host" chooses by the Host of an HTTP request, and "stream" has none; write "round_robin", "first", "least_conn", "random_two", "least_time", "hash", "ip_hash" or "sni"
stream.json:13:11: stream.servers.backend.hosts[1].port: it is missing; add "port": the TCP port of the host, such as 9001
stream.json:13:21: stream.servers.backend.hosts[1].host: "db:5432" has a port in it; write the host alone: "db", and "port": 5432
7 errors in stream.json`
	if err == nil || err.Error() != want {
		t.Errorf("got\n%v\nwant\n%s", err, want)
	}
	const warning = `stream.json:3:5: stream.prot: unknown key "prot" is ignored; did you mean "port"?`
	if len(warnings) != 1 || warnings[0].String() != warning {
		t.Errorf("got %v", warnings)
	}
}

// TestPositions has '§' at the place of the only error; it is removed for parsing.
func TestPositions(t *testing.T) {
	t.Parallel()
	for _, marked := range []string{
		"{\"stream\":\n\t{" + ok + ",\r\n\"port\": §0}}",
		"{\"é\": 1, \"stream\":{" + ok + ", \"read_timeout\":§-1}}",
		"{\n\n\"http\":{" + ok + ",\"headers\":{\"日本\":\"x\",\"x\":§5}}}",
		"{\"stream\":{" + ok + ",\"format_log\":\"日\\u65e5\\ud83d\\ude00\\ud83d\\n\\\"$client_addr §$x\"}}",
		"{\"stream\":{" + ok + ",\"format_log\":\"$client_addr§\\u0024x\"}}",
		"{\"stream\":{\"日\":\n\"é\" §5}}",
		"{\"stream\":{\"日\": \"é\"\n, \"日\": 1, \"x\":§§",
	} {
		clean := strings.ReplaceAll(marked, "§", "")
		before, _, _ := strings.Cut(marked, "§")
		line := strings.Count(before, "\n") + 1
		column := len([]rune(before[strings.LastIndexByte(before, '\n')+1:])) + 1
		_, _, err := config.Parse("f", []byte(clean))
		e, _ := errors.AsType[*config.Error](err)
		if e == nil {
			t.Errorf("%s: no error", marked)
			continue
		}
		last := e.Problems[len(e.Problems)-1]
		if last.Line != line || last.Column != column {
			t.Errorf("%s: want %d:%d, got %v", marked, line, column, err)
		}
	}
}

func TestConfigProblem(t *testing.T) {
	t.Parallel()
	c, _ := parse(t, `{
  "stream": {
    "port": 8080, "proxy_to": "a",
    "servers": {
      "a": { "hosts": [{ "host": "x", "port": 1 }, { "host": "y", "port": 2 }] },
      "a.hosts": { "hosts": [{ "host": "z", "port": 3 }] }
    }
  }
}`)
	for _, want := range []string{
		"f:1:1: (top level): w; r",
		"f:1:1: http.port: w; r",
		"f:2:13: stream: w; r",
		"f:2:13: stream.nothing[3].here: w; r",
		"f:3:13: stream.port: w; r",
		"f:4:16: stream.servers.ab: w; r",
		"f:5:23: stream.servers.a.hosts: w; r",
		"f:5:62: stream.servers.a.hosts[1].host.x: w; r",
		"f:5:75: stream.servers.a.hosts[1].port: w; r",
		"f:5:23: stream.servers.a.hosts[10]: w; r",
		`f:6:53: stream.servers["a.hosts"].hosts[0].port: w; r`,
	} {
		path := strings.SplitN(want, ": ", 3)[1]
		if got := c.Problem(path, "w", "r").String(); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
	if got := c.Problem("", "w", "r").String(); got != "f:1:1: (top level): w; r" {
		t.Errorf("got %s", got)
	}
	if got := new(config.Config).Problem("stream.port", "w", "r").String(); got != "stream.port: w; r" {
		t.Errorf("got %s", got)
	}
}

// TestAsError turns warnings into errors, ordered by place.
func TestAsError(t *testing.T) {
	t.Parallel()
	for input, want := range map[string]string{
		stream(`"port":1`): "",
		stream(`"port":0`): "f:1:84: stream.port: 0 is outside 1-65535; write a port from 1 to 65535",
		stream(`"prot":1`): `f:1:77: stream.prot: unknown key "prot" is ignored; did you mean "port"?`,
		stream(`"x":0,"port":0,"y":0`): `f:1:77: stream.x: unknown key "x" is ignored; remove it
f:1:90: stream.port: 0 is outside 1-65535; write a port from 1 to 65535
f:1:92: stream.y: unknown key "y" is ignored; remove it
3 errors in f`,
	} {
		_, warnings, err := config.Parse("f", []byte(input))
		before := len(warnings)
		got := ""
		if err = config.AsError(warnings, err); err != nil {
			got = err.Error()
		}
		if got != want || len(warnings) != before {
			t.Errorf("%s: got\n%s\nwant\n%s", input, got, want)
		}
	}
	_, warnings, err := config.Load("/nope")
	if err = config.AsError(warnings, err); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("without a file: %v", err)
	}
}

// TestBounded has documents that are too deep or too big, and texts that are too long to print.
func TestBounded(t *testing.T) {
	t.Parallel()
	deep := func(n int) string { return `{"x":` + strings.Repeat("[", n) + strings.Repeat("]", n) + `}` }
	if got := outcome(t, deep(100)); !strings.Contains(got, "nested more than 100 levels deep") {
		t.Errorf("depth 101: %s", got)
	}
	if got := outcome(t, deep(99)); strings.Contains(got, "nested") {
		t.Errorf("depth 100: %s", got)
	}
	if got := outcome(t, `{"x":[`+strings.Repeat("[],", 200)+"{}]}"); strings.Contains(got, "nested") {
		t.Errorf("depth 3: %s", got)
	}
	if got := outcome(t, strings.Repeat("[", config.MaxFileSize)); len(got) > 1500 {
		t.Errorf("a message of %d bytes", len(got))
	}
	full := stream(`"x":"`)
	full = strings.TrimSuffix(full, "}}")
	full += strings.Repeat("é", (config.MaxFileSize-len(full)-3)/2) + `"}}`
	full += strings.Repeat(" ", config.MaxFileSize-len(full))
	if _, _, err := config.Parse("f", []byte(full)); err != nil {
		t.Errorf("a file of exactly the greatest size: %.200s", err)
	}
	if _, _, err := config.Parse("f", []byte(full+" ")); err == nil {
		t.Error("a file one byte too large was accepted")
	}
	long := strings.Repeat("k", 1<<20)
	if got := outcome(t, stream(`"`+long+`":1,"file_log":`+strings.Repeat("1", 1<<20))); len(got) > 2000 {
		t.Errorf("a message of %d bytes", len(got))
	}
}
