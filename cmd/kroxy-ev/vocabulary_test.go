package main_test

import (
	"slices"
	"testing"

	"kroxy-ev/balance"
	"kroxy-ev/config"
)

// The algorithms that the configuration allows are those that package balance knows.
func TestVocabulary(t *testing.T) {
	t.Parallel()
	for _, name := range balance.Algorithms() {
		if !slices.Contains(config.Algorithms, name) {
			t.Errorf("package balance knows %q, which the configuration does not allow", name)
		}
	}
}
