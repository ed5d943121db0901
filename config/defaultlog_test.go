package config_test

import (
	"testing"

	"kroxy-ev/config"
)

func TestDefaultLog(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ members, stream, http string }{
		{`"file_log":"/dev/null"`, config.DefaultStreamLog, config.DefaultHTTPLog},
		{`"file_log":"/dev/null","format_log":""`, config.DefaultStreamLog, config.DefaultHTTPLog},
		{`"file_log":"/dev/null","format_log":" "`, " ", " "},
		{`"file_log":"/dev/null","format_log":"x"`, "x", "x"},
		{`"file_log":"","format_log":""`, "", ""},
		{`"format_log":"x"`, "x", "x"},
		{`"port":1`, "", ""},
	} {
		for want, wrap := range map[*string]func(string) string{&test.stream: stream, &test.http: http} {
			c, warnings := parse(t, wrap(test.members))
			if c.Servers[0].FormatLog != *want || len(warnings) > 0 {
				t.Errorf("%s: got %q, %v, want %q", wrap(test.members), c.Servers[0].FormatLog, warnings, *want)
			}
		}
	}
	// The default formats themselves are valid.
	parse(t, stream(`"format_log":"`+config.DefaultStreamLog+`"`))
	c, _ := parse(t, http(`"format_log":"$client_addr \"$request_method $request_uri $protocol\" $status $bytes_sent_downstream \"$http_user_agent\" $upstream_addr $processing_time $end_reason"`))
	if c.Servers[0].FormatLog != config.DefaultHTTPLog {
		t.Errorf("the default has become %s", config.DefaultHTTPLog)
	}
}
