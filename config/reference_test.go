package config

import (
	"flag"
	"os"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the tables of docs/configuration.md anew")

// sections are the tables of the reference, by the marks around them.
var sections = map[string]func(k *key) bool{
	"file":        func(k *key) bool { return k.of == ofFile },
	"process":     func(k *key) bool { return k.of == ofProcess },
	"server":      func(k *key) bool { return k.of == ofServer && !isTLS(k) },
	"tls":         func(k *key) bool { return k.of == ofServer && isTLS(k) },
	"listen":      func(k *key) bool { return k.of == ofListen },
	"route":       func(k *key) bool { return k.of == ofRoute },
	"match":       func(k *key) bool { return k.of == ofMatch },
	"redirect":    func(k *key) bool { return k.of == ofRedirect },
	"respond":     func(k *key) bool { return k.of == ofRespond },
	"rewrite":     func(k *key) bool { return k.of == ofRewrite },
	"edits":       func(k *key) bool { return k.of == ofEdits },
	"target":      func(k *key) bool { return k.of == ofTarget },
	"group":       func(k *key) bool { return k.of == ofGroup && !isTLS(k) },
	"group tls":   func(k *key) bool { return k.of == ofGroup && isTLS(k) },
	"host":        func(k *key) bool { return k.of == ofHost },
	"certificate": func(k *key) bool { return k.of == ofCertificate },
	"check":       func(k *key) bool { return k.of == ofHealthCheck },
	"passive":     func(k *key) bool { return k.of == ofPassiveCheck },
	"queue":       func(k *key) bool { return k.of == ofQueue },
	"retry":       func(k *key) bool { return k.of == ofRetry },
	"sticky":      func(k *key) bool { return k.of == ofSticky },
	"http2":       func(k *key) bool { return k.of == ofHTTP2 },
	"resolver":    func(k *key) bool { return k.of == ofResolver },
	"log_if":      func(k *key) bool { return k.of == ofLogIf },
	"syslog":      func(k *key) bool { return k.of == ofSyslog },
	"tracing":     func(k *key) bool { return k.of == ofTracing },
	"admin":       func(k *key) bool { return k.of == ofAdmin },
	"admin at":    func(k *key) bool { return k.of == ofAdminListen },
}

func isTLS(k *key) bool { return strings.Contains(k.name, "tls_") || k.name == "certificates" }

// table returns the Markdown of the keys of a section.
func table(is func(k *key) bool) string {
	var rows, defaults, wheres strings.Builder
	for _, k := range keys {
		if !is(k) {
			continue
		}
		defaults.WriteString(k.form.spell())
		wheres.WriteString(k.where())
	}
	head, line := "| key |", "|---|"
	if defaults.Len() > 0 {
		head, line = head+" default |", line+"---|"
	}
	if wheres.Len() > 0 {
		head, line = head+" where |", line+"---|"
	}
	rows.WriteString(head + " meaning |\n" + line + "---|\n")
	for _, k := range keys {
		if !is(k) {
			continue
		}
		rows.WriteString("| `" + k.name + "` |")
		if defaults.Len() > 0 {
			rows.WriteString(" " + k.form.spell() + " |")
		}
		if wheres.Len() > 0 {
			rows.WriteString(" " + k.where() + " |")
		}
		switch k.modes {
		case inHTTP:
			if k.of == ofServer || k.of == ofRoute || k.of == ofGroup || k.of == ofListen || k.of == ofMatch || k.of == ofPassiveCheck || k.of == ofRetry || k.of == ofLogIf {
				rows.WriteString(" (`http`)")
			}
		case inStream:
			rows.WriteString(" (`stream`)")
		}
		rows.WriteString(" " + k.doc + " |\n")
	}
	return rows.String()
}

// algorithmTable returns the Markdown of the algorithms.
func algorithmTable() string {
	var rows strings.Builder
	rows.WriteString("| `balancing_algo` | which host gets the next session or request |\n|---|---|\n")
	for _, a := range algorithms {
		rows.WriteString("| `" + a.Name + "` | " + a.Doc + " |\n")
	}
	return rows.String()
}

// where returns the kinds of objects that may have k, from the innermost outward,
// if there are several.
func (k *key) where() string {
	names := map[level]string{ofFile: "file", ofServer: "server", ofRoute: "route", ofGroup: "group", ofListen: "`listen`", ofHost: "host"}
	if k.upTo == k.of {
		return names[k.of]
	}
	var list []string
	for _, l := range []level{ofListen, ofHost, ofGroup, ofRoute, ofServer, ofFile} {
		if k.mayStandIn(l) {
			list = append(list, names[l])
		}
	}
	return strings.Join(list, ", ")
}

// The tables of the reference are generated from the declarations: go test -run
// TestReference -update writes them.
func TestReference(t *testing.T) {
	t.Parallel()
	const file = "../docs/configuration.md"
	old, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	text, seen := string(old), map[string]bool{}
	for name, is := range sections {
		begin, end := "<!-- keys: "+name+" -->\n", "<!-- end -->"
		before, rest, found := strings.Cut(text, begin)
		_, after, closed := strings.Cut(rest, end)
		if !found || !closed {
			t.Errorf("%s has no %s", file, begin)
			continue
		}
		text = before + begin + table(is) + end + after
	}
	begin, end := "<!-- algorithms -->\n", "<!-- end -->"
	before, rest, found := strings.Cut(text, begin)
	_, after, closed := strings.Cut(rest, end)
	if !found || !closed {
		t.Errorf("%s has no %s", file, begin)
	}
	text = before + begin + algorithmTable() + end + after
	for _, k := range keys {
		n := 0
		for _, is := range sections {
			if is(k) {
				n++
			}
		}
		if seen[k.name] = true; n != 1 && k.of != ofField {
			t.Errorf("%s is in %d tables", k.name, n)
		}
		if k.doc == "" || strings.Contains(k.doc, "|") || strings.HasSuffix(k.doc, ".") {
			t.Errorf("%s is explained badly: %q", k.name, k.doc)
		}
	}
	switch {
	case text == string(old):
	case *update:
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	default:
		t.Errorf("%s is not current: go test ./config -run TestReference -update", file)
	}
}
