package config_test

import (
	"bytes"
	"maps"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"

	"kroxy-ev/config"
)

// everyFile returns a file that names three certificates, one of them twice, a key
// for each, and an unused file; and their contents.
func everyFile(t *testing.T) (input string, files config.Files) {
	t.Helper()
	p, q := writePair(t), writePair(t)
	input = `{"http":{"proxy_to":"b","tls_enabled":true,"tls_verify_client":true,
		"tls_cert_path":"` + p.CertPath + `","tls_key_path":"` + p.KeyPath + `","tls_client_ca_path":"` + p.CertPath + `",
		"servers":{
			"b":{"hosts":[{"host":"h","port":1}],"proxy_tls_enabled":true,"proxy_tls_verify":true,
				"proxy_tls_cert_path":"` + q.CertPath + `","proxy_tls_key_path":"` + q.KeyPath + `","proxy_tls_ca_path":"` + p.CertPath + `"},
			"c":{"hosts":[{"host":"h","port":1}],"proxy_tls_ca_path":"/nope"}
		}}}`
	return input, config.Files{p.CertPath: p.Cert, p.KeyPath: p.Key, q.CertPath: q.Cert, q.KeyPath: q.Key}
}

func TestFiles(t *testing.T) {
	t.Parallel()
	input, files := everyFile(t)
	c, warnings := parse(t, input)
	if got := c.Files(); !reflect.DeepEqual(got, files) {
		t.Errorf("read %v, want %v", slices.Sorted(maps.Keys(got)), slices.Sorted(maps.Keys(files)))
	}
	if got := string(c.Source().Text); got != input {
		t.Errorf("the text is %s", got)
	}
	// Read once: the bytes are identical, not only equal.
	for _, ca := range [][]byte{c.Servers[0].TLS.ClientCA, c.Groups[0].ProxyTLS.CA} {
		if &ca[0] != &c.Servers[0].TLS.Certificates[0].Cert[0] {
			t.Error("a file that is used twice was read twice")
		}
	}

	// With the contents, neither the files nor what was not read are needed.
	for path := range files {
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
	}
	again, againWarnings, err := config.Source{Path: "f", Text: []byte(input)}.ParseWith(c.Files())
	if err != nil || !reflect.DeepEqual(exported(again), exported(c)) || !reflect.DeepEqual(again.Files(), files) || !reflect.DeepEqual(againWarnings, warnings) {
		t.Errorf("with its files: %+v, %v, %v", again, againWarnings, err)
	}
	if _, _, err := config.Parse("f", []byte(input)); err == nil {
		t.Error("files that are gone were read")
	}
}

// TestGivenFiles checks that only the given files exist, although there are others
// on the disk, and that their given contents are used, although the
// disk has other contents.
func TestGivenFiles(t *testing.T) {
	t.Parallel()
	input, files := everyFile(t)
	const open = `" cannot be opened: no such file or directory; give a readable PEM file; a relative path begins at the working directory`
	problems := func(files config.Files) string {
		_, _, err := config.Source{Path: "f", Text: []byte(input)}.ParseWith(files)
		if err == nil {
			return ""
		}
		return err.Error()
	}
	for path, content := range files {
		less := maps.Clone(files)
		delete(less, path)
		uses := strings.Count(input, path)
		if got := problems(less); strings.Count(got, `"`+path+open) != uses || strings.Count(got, "; ") != 2*uses {
			t.Errorf("without %s: %s", path, got)
		}
		less[path] = []byte{}
		if got := problems(less); strings.Count(got, `"`+path+`" is empty; give a PEM file`) != uses {
			t.Errorf("%s is empty: %s", path, got)
		}
		less[path] = bytes.Repeat([]byte("x"), 1<<20+1)
		if got := problems(less); strings.Count(got, `"`+path+`" is larger than 1 MiB; give a PEM file`) != uses {
			t.Errorf("%s is large: %s", path, got)
		}
		more := maps.Clone(files)
		more["/dev/zero"] = content
		c, _, err := config.Source{Path: "f", Text: []byte(input)}.ParseWith(more)
		if err != nil || !reflect.DeepEqual(c.Files(), files) {
			t.Errorf("with one too many: %+v, %v", c, err)
		}
	}
	if got := problems(nil); strings.Count(got, open) != 6 {
		t.Errorf("without any: %s", got)
	}

	for path := range files {
		write(t, path, []byte("x"))
	}
	if got := problems(files); got != "" {
		t.Errorf("the disk has others: %s", got)
	}
}

func TestNoFiles(t *testing.T) {
	t.Parallel()
	if c, _ := parse(t, stream(`"file_log":"/dev/null"`)); len(c.Files()) != 0 {
		t.Errorf("read %v", c.Files())
	}
}
