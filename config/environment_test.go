package config_test

import (
	"strings"
	"testing"

	"kroxy-ev/config"
)

func TestEnvironment(t *testing.T) {
	t.Setenv("KROXY_PORT", "81")
	t.Setenv("KROXY_HOST", "a.example")
	t.Setenv("KROXY_EMPTY", "")
	t.Setenv("KROXY_YES", "true")
	c, warnings := parse(t, `{"http":{"port":"${KROXY_PORT}","keepalive_timeout":"${KROXY_PORT}s","max_body_size":"${KROXY_UNSET:-5KB}","forwarded_headers":"${KROXY_YES}",
		"headers":{"A":"<${KROXY_HOST}|${KROXY_EMPTY}|${KROXY_EMPTY:-e}|$${KROXY_HOST}|$host|${KROXY_UNSET:-$host}|$>"},"_note":"${KROXY_UNSET}",
		"proxy_to":"b","servers":{"b":{"hosts":[{"host":"x.${KROXY_HOST}","port":1}]}}}}`)
	s := c.Servers[0]
	if s.Listen[0].Port != 81 || s.KeepaliveTimeout.Seconds() != 81 || s.Unrouted.MaxBodySize != 5000 || !s.ForwardedHeaders ||
		s.Routes[0].RequestHeaders.Set[0].Value != "<a.example||e|${KROXY_HOST}|$host|$host|$>" || c.Groups[0].Hosts[0].Name != "x.a.example" || len(warnings) != 1 {
		t.Errorf("got %+v %v", s, warnings)
	}

	// A Source needs no environment.
	source := c.Source()
	t.Setenv("KROXY_PORT", "82")
	again, _, err := source.ParseWith(nil)
	if err != nil || again.Servers[0].Listen[0].Port != 81 {
		t.Errorf("made again: %v", err)
	}
	if _, set := source.Env["KROXY_UNSET"]; set || len(source.Env) != 4 {
		t.Errorf("used %v", source.Env)
	}

	for in, want := range map[string]string{
		`"${KROXY_UNSET}"`:                     `f:1:86: http.file_log: the environment variable "KROXY_UNSET" is not set; set it, or write "${KROXY_UNSET:-default}"`,
		`"/x","port":"${KROXY_UNSET}"`:         `f:1:98: http.port: the environment variable "KROXY_UNSET" is not set; set it, or write "${KROXY_UNSET:-default}"`,
		`"a${KROXY_HOST"`:                      `f:1:86: http.file_log: "${KROXY_HOST" is not a reference to an environment variable; write "${NAME}" or "${NAME:-default}", or "$${" for the text "${"`,
		`"${}"`:                                `f:1:86: http.file_log: "${}" is not a reference to an environment variable; write "${NAME}" or "${NAME:-default}", or "$${" for the text "${"`,
		`"${KROXY_UNSET:-${KROXY_HOST}}"`:      `f:1:86: http.file_log: a reference within a reference: "${KROXY_UNSET:-${KROXY_HOST}}"; write the default itself; it cannot contain variables`,
		`"${1}"`:                               `f:1:86: http.file_log: "${1}" is not a reference to an environment variable; write "${NAME}" or "${NAME:-default}", or "$${" for the text "${"`,
		`"/x","port":"x${KROXY_PORT}"`:         `f:1:98: http.port: must be a whole number, not the string "x82"; write a port from 1 to 65535`,
		`"/x","format_log":"${KROXY_HOST} $x"`: `f:1:104: http.format_log: unknown variable "$x"`,
	} {
		got := outcome(t, `{"http":{"proxy_to":"b","servers":{"b":{"hosts":[{"host":"h","port":1}]}},"file_log":`+in+`}}`)
		if !strings.HasPrefix(got, want) || strings.Contains(got, "\n") {
			t.Errorf("%s: got\n%s\nwant\n%s", in, got, want)
		}
	}
	if _, _, err := config.Parse("f", []byte(`{"http":{"port":"81"}}`)); err == nil {
		t.Error("a string is no number")
	}
}
