package main_test

import (
	"slices"
	"testing"

	"kroxy-ev/balance"
	"kroxy-ev/config"
	"kroxy-ev/engine/accesslog"
)

// The words that the configuration allows are those that the packages behind it know.
func TestVocabulary(t *testing.T) {
	t.Parallel()
	for name, v := range map[string]struct{ allowed, known []string }{
		"stream log variables": {config.StreamLogVariables, accesslog.StreamVariables()},
		"http log variables":   {config.HTTPLogVariables, accesslog.HTTPVariables()},
	} {
		if a, k := slices.Sorted(slices.Values(v.allowed)), slices.Sorted(slices.Values(v.known)); !slices.Equal(a, k) {
			t.Errorf("%s: allowed %v, known %v", name, a, k)
		}
	}
	for _, name := range balance.Algorithms() {
		if !slices.Contains(config.Algorithms, name) {
			t.Errorf("package balance knows %q, which the configuration does not allow", name)
		}
	}
}
