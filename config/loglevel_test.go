package config_test

import (
	"log/slog"
	"testing"
)

func TestLogLevel(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]slog.Level{
		`"log_level":"error"`: slog.LevelError, `"log_level":"warn"`: slog.LevelWarn, `"log_level":"info"`: slog.LevelInfo,
		`"log_level":"debug"`: slog.LevelDebug, `"log_level":""`: slog.LevelInfo, `"port":1`: slog.LevelInfo,
	} {
		for _, wrap := range []func(string) string{stream, http} {
			if c, _ := parse(t, wrap(in)); c.LogLevel != want {
				t.Errorf("%s became %v", in, c.LogLevel)
			}
		}
	}
	checkOutcomes(t, []outcomeCase{
		{stream(`"log_level":"Warning"`), `f:1:89: stream.log_level: unknown level "Warning"; did you mean "warn"?`},
		{stream(`"log_level":"notice"`), `f:1:89: stream.log_level: unknown level "notice"; write "error", "warn", "info" or "debug"`},
		{http(`"log_level":5,"error_log":6`), `f:1:87: http.log_level: must be a string, not the number 5; write "error", "warn", "info" or "debug"
f:1:101: http.error_log: must be a string, not the number 6; put it in double quotes: "6"`},
	})
}
