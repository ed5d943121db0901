package config_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/tailscale/hujson"

	"kroxy-ev/config"
)

// Every complete file in the documents is valid, without a warning, and valid by the schema.
func TestDocumentedFiles(t *testing.T) {
	t.Parallel()
	docs, err := filepath.Glob("../docs/*.md")
	if err != nil {
		t.Fatal(err)
	}
	p := writePair(t)
	found := 0
	for _, doc := range append(docs, "../README.md") {
		text, err := os.ReadFile(doc)
		if err != nil {
			t.Fatal(err)
		}
		for _, block := range regexp.MustCompile("(?s)\n```jsonc?\n(\\{\n.*?)\n```\n").FindAllStringSubmatch(string(text), -1) {
			found++
			example := []byte(strings.NewReplacer(
				"/etc/letsencrypt/live/www.example/fullchain.pem", p.CertPath, "/etc/letsencrypt/live/www.example/privkey.pem", p.KeyPath,
			).Replace(block[1]))
			if _, warnings, err := config.Parse("f.jsonc", example); err != nil || len(warnings) > 0 {
				t.Errorf("%s: %v %v in\n%s", doc, err, warnings, example)
			}
			standard, err := hujson.Standardize(example)
			if err != nil {
				t.Fatalf("%s: %v in\n%s", doc, err, example)
			}
			if err, ok := validate(t, standard); err != nil || !ok {
				t.Errorf("%s: the schema refuses\n%s\n%v", doc, example, err)
			}
		}
	}
	if found < 9 {
		t.Errorf("%d files were found", found)
	}
}
