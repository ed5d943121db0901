package config

import (
	"log/slog"
	"slices"
	"strings"
)

// LogLevels are the values of log_level, the one that says least first.
var LogLevels = []string{"error", "warn", "info", "debug"}

// logLevel decodes log_level.
func (o object) logLevel() slog.Level {
	const key = "log_level"
	level := slog.LevelInfo
	name := o.text(key)
	switch {
	case name == "":
	case slices.Contains(LogLevels, name):
		_ = level.UnmarshalText([]byte(name)) // slog knows them
	default:
		remedy := "write " + list(LogLevels)
		for _, level := range LogLevels {
			if strings.HasPrefix(strings.ToLower(name), level) { // such as "warning"
				remedy = didYouMean([]string{level})
			}
		}
		n, path := o.child(key)
		o.fail(n, path, "unknown level "+quote(name), remedy)
	}
	return level
}
