package config

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// Every key is in the reference, and the reference has no others.
func TestReferenceHasAllKeys(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../docs/configuration.md")
	if err != nil {
		t.Fatal(err)
	}
	// Those that the text explains, and the tables do not.
	documented := map[string]bool{"http": true, "stream": true, "servers": true, "host": true, "name": true, "cert_path": true, "key_path": true}
	for line := range strings.Lines(string(text)) {
		cells := strings.Split(line, "|")
		if len(cells) < 4 {
			continue
		}
		for _, key := range regexp.MustCompile("`(?:servers\\.X\\.)?([a-z_]+)`").FindAllStringSubmatch(cells[1], -1) {
			documented[key[1]] = true
		}
	}
	known := map[string]bool{}
	for _, k := range keys {
		key := k.name
		if known[key] = true; !documented[key] {
			t.Errorf("%s is not in docs/configuration.md", key)
		}
	}
	for key := range documented {
		if !known[key] && !slices.Contains(Algorithms, key) {
			t.Errorf("docs/configuration.md has %s, which is no key", key)
		}
	}
}
