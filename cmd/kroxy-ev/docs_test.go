package main_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// Every whole configuration in the documentation is valid and causes no warning.
func TestDocumentedConfigurations(t *testing.T) {
	t.Parallel()
	id := newAuthority(t).issue("www.example")
	docs, err := filepath.Glob("../../docs/*.md")
	if err != nil {
		t.Fatal(err)
	}
	found := 0
	for _, doc := range append(docs, "../../README.md") {
		text, err := os.ReadFile(doc)
		if err != nil {
			t.Fatal(err)
		}
		for _, block := range regexp.MustCompile("(?s)\n```json\n(\\{\n.*?)\n```\n").FindAllStringSubmatch(string(text), -1) {
			found++
			example := strings.NewReplacer(
				"/etc/letsencrypt/live/www.example/fullchain.pem", id.cert,
				"/etc/letsencrypt/live/www.example/privkey.pem", id.key,
				"/var/log/kroxy-ev", t.TempDir(),
			).Replace(block[1])
			expectOutcome(t, outcome{0, `is good\n$`, ""}, "--test", "--strict", "--config", writeConfig(t, t.TempDir(), []byte(example)))
		}
	}
	if found < 4 {
		t.Errorf("only %d configurations were found", found)
	}
}
