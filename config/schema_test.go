package config_test

import (
	"bytes"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/tailscale/hujson"

	"kroxy-ev/config"
)

var compiledSchema = sync.OnceValues(func() (*jsonschema.Schema, error) {
	document, err := jsonschema.UnmarshalJSON(bytes.NewReader(config.Schema()))
	if err != nil {
		return nil, err
	}
	c := jsonschema.NewCompiler()
	c.DefaultDraft(jsonschema.Draft4) // so that the schema must name its draft
	if err := c.AddResource("kroxy-ev.json", document); err != nil {
		return nil, err
	}
	return c.Compile("kroxy-ev.json")
})

// validate returns the schema's verdict on a document; ok is false if it is not
// JSON.
func validate(t *testing.T, text []byte) (err error, ok bool) {
	t.Helper()
	s, err := compiledSchema()
	if err != nil {
		t.Fatal(err)
	}
	document, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		return nil, false
	}
	return s.Validate(document), true
}

// beyondSchema matches errors that a schema cannot express: they depend on several
// values, on files, or on the meaning of a string.
var beyondSchema = regexp.MustCompile(`the key is given twice|no group named|it is missing, and |it is empty|cannot be opened|is not a regular file|` +
	`known in "http" only|unknown variable|is not known yet|describes one connection|is a URL|has a port|has a path|has white space|has brackets|is not an IP|has an impossible|` +
	`has an empty part|begins or ends with|has the character|has letters outside|is listened on twice|overlaps|is not a regular expression|` +
	`means every name|has a "\*" that|is not a name|has an address|all weights are 0|a control character, which|is neither a URL|is not a method|has no content|is not an absolute path|has a scheme before|longer than the 107|there are no networks|is a mode|is not an address|` +
	`differs from|is longer than 100 years|is less than a millisecond|, not null|all hosts are backups|is less than \d|it is less than|more than "max_ttl"|only "stream" uses the group|is more than \d|has no variable in it|is not the name of a|has no content|hosts know|asks for a tunnel|ends before it begins|is an address|is a URL, and DNS|has the port 0|is not an address|nothing to send traffic to|"stream" has none|without a fraction or an exponent|has no effect, because nothing reads|is a pattern|must be a string, not (the number|null).*(name|host)|there are no certificates|is HTTP/2 over TLS|is HTTP/2 without TLS|cannot be combined with`)

// checkSchema compares the schema's verdict with the outcome of Parse.
func checkSchema(t *testing.T, text []byte, outcome string) {
	t.Helper()
	err, ok := validate(t, text)
	if !ok {
		return
	}
	var wrong, beyond []string
	for line := range strings.SplitSeq(outcome, "\n") {
		switch {
		case line == "" || strings.HasPrefix(line, "W "):
		case beyondSchema.MatchString(line):
			beyond = append(beyond, line)
		default:
			wrong = append(wrong, line)
		}
	}
	switch {
	case err == nil && len(wrong) > 0:
		t.Errorf("the schema takes %s, which has\n%s", text, strings.Join(wrong, "\n"))
	case err != nil && len(wrong)+len(beyond) == 0 && !strings.Contains(outcome, "it is ignored without"):
		t.Errorf("the schema refuses %s: %v", text, err)
	}
}

// Every example, in whatever file, is valid by the schema.
func TestSchemaAndExamples(t *testing.T) {
	t.Parallel()
	var files []string
	for _, pattern := range []string{"../conf/*.example.json", "testdata/*.json*"} {
		found, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, found...)
	}
	if len(files) < 3 {
		t.Fatal(files)
	}
	for _, f := range files {
		text, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		if text, err = hujson.Standardize(text); err != nil {
			t.Errorf("%s: %v", f, err)
		}
		if err, ok := validate(t, text); err != nil || !ok {
			t.Errorf("%s: %v", f, err)
		}
	}
}
