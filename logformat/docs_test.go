package logformat

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the tables in docs/logging.md anew")

// The tables in docs/logging.md are made from the declarations.
func TestDocumentation(t *testing.T) {
	t.Parallel()
	const file = "../docs/logging.md"
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var vars, texts, reasons strings.Builder
	fmt.Fprint(&vars, "| variable | in | in JSON | meaning |\n|---|---|---|---|\n")
	fmt.Fprint(&texts, "| variable | in | meaning |\n|---|---|---|\n")
	for _, v := range variables {
		if in := places(v.modes & templates); in != "" {
			fmt.Fprintf(&texts, "| `$%s` | %s | %s |\n", v.name, in, v.doc)
		}
		if v.modes&both == 0 {
			continue
		}
		in, kind := "both", "string"
		if v.modes&both == HTTP {
			in = "`http`"
		}
		switch {
		case v.number != nil:
			kind = "number"
		case v.millis != nil:
			kind = "number, ms"
		case v.named != nil || v.hidden:
			kind = "-"
		}
		fmt.Fprintf(&vars, "| `$%s` | %s | %s | %s |\n", v.name, in, kind, v.doc)
	}
	fmt.Fprint(&reasons, "| word | meaning |\n|---|---|\n")
	for _, e := range ends {
		fmt.Fprintf(&reasons, "| `%s` | %s |\n", e.word, e.doc)
	}
	want := string(text)
	for name, table := range map[string]string{"variables": vars.String(), "texts": texts.String(), "reasons": reasons.String()} {
		before, rest, ok := strings.Cut(want, "<!-- "+name+": ")
		comment, rest, ok2 := strings.Cut(rest, "-->\n")
		_, after, ok3 := strings.Cut(rest, "<!-- end -->")
		if !ok || !ok2 || !ok3 {
			t.Fatalf("%s has no place for the %s", file, name)
		}
		want = before + "<!-- " + name + ": " + comment + "-->\n" + table + "<!-- end -->" + after
	}
	if want == string(text) {
		return
	}
	if !*update {
		t.Fatalf("the tables in %s are old; run: go test ./logformat -update", file)
	}
	if err := os.WriteFile(file, []byte(want), 0o644); err != nil {
		t.Fatal(err)
	}
}

// places lists the texts in which a variable may be used.
func places(m Mode) string {
	if m == templates {
		return "all"
	}
	var list []string
	for _, place := range []Mode{OnRequest, ToHost, ToClient, Kroxy} {
		if m&place != 0 && place == OnRequest {
			list = append(list, "requests")
		} else if m&place != 0 {
			list = append(list, "`"+place.String()+"`")
		}
	}
	return strings.Join(list, ", ")
}

// Each variable is declared once per place, has exactly one kind and an explanation; each reason has its own word.
func TestDeclarations(t *testing.T) {
	t.Parallel()
	seen, in := map[string]bool{}, map[string]Mode{}
	for _, v := range variables {
		kinds := 0
		for _, is := range []bool{v.bytes != nil, v.named != nil, v.word != nil, v.plain != nil, v.number != nil, v.millis != nil} {
			if is {
				kinds++
			}
		}
		if kinds != 1 || v.doc == "" || v.modes == 0 || in[v.name]&v.modes != 0 || (v.named != nil) != strings.HasSuffix(v.name, family) ||
			strings.Trim(strings.TrimSuffix(v.name, family), "abcdefghijklmnopqrstuvwxyz_0123456789") != "" {
			t.Errorf("the declaration of %q", v.name)
		}
		in[v.name] |= v.modes
	}
	for i, e := range ends {
		if e.word == "" || e.doc == "" || seen["end "+e.word] || End(i).String() != e.word {
			t.Errorf("the declaration of reason %d", i)
		}
		seen["end "+e.word] = true
	}
}
