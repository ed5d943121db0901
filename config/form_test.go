package config_test

import (
	"testing"
	"time"

	"kroxy-ev/config"
)

func TestUnits(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]time.Duration{
		`0`: 0, `1500`: 1500 * time.Millisecond, `"1.5s"`: 1500 * time.Millisecond, `"10m"`: 10 * time.Minute, `"24h"`: 24 * time.Hour, `"1h30m"`: 90 * time.Minute,
		`"250ms"`: 250 * time.Millisecond, `"0"`: -1, `"0s"`: 0, `"1.5"`: -1, `"10 s"`: -1, `"1us"`: -1, `"0.5ms"`: -1, `"-1s"`: -1, `"1000000h"`: -1, `"1d"`: -1, `"s"`: -1, `""`: -1, `"+1s"`: -1,
	} {
		c, _, err := config.Parse("f", []byte(http(`"keepalive_timeout":`+in)))
		if (err != nil) != (want < 0) || err == nil && c.Servers[0].KeepaliveTimeout != want {
			t.Errorf("%s: %v, want %v", in, err, want)
		}
		checkSchema(t, []byte(http(`"keepalive_timeout":`+in)), problems(err))
	}
	for in, want := range map[string]int64{
		`0`: 0, `65536`: 65536, `"64KiB"`: 65536, `"10MB"`: 10_000_000, `"1.5GiB"`: 3 << 29, `"100B"`: 100, `"1TB"`: 1e12, `"10kB"`: 10000,
		`"10"`: -1, `"10m"`: -1, `"10 MB"`: -1, `"MB"`: -1, `"-1MB"`: -1, `"1e3MB"`: -1, `"99999999TB"`: -1, `"B"`: -1, `"1.MB"`: 1_000_000, `1.5`: -1, `"1KKB"`: -1,
	} {
		c, _, err := config.Parse("f", []byte(http(`"max_body_size":`+in)))
		if (err != nil) != (want < 0) || err == nil && c.Servers[0].Unrouted.MaxBodySize != want {
			t.Errorf("%s: %v, want %v", in, err, want)
		}
	}
}

// problems returns the text of an error that may be nil.
func problems(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}
