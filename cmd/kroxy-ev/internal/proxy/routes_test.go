package proxy

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Routes are compiled once, when they are checked: snapshots use the result. If a configuration was not checked, which is the case in workers,
// whoever needs the routes first compiles them.
func TestRoutesAreCompiledOnce(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "f.json")
	const file = `{"http":{"routes":[{"match":{"path":"/x"},"respond":{"status":204}},{"proxy_to":"b","rewrite":{"add_prefix":"/y"}}]},` +
		`"stream":{"port":1,"proxy_to":"b"},"servers":{"b":{"hosts":[{"host":"127.0.0.1","port":2}]}}}`
	if err := os.WriteFile(path, []byte(file), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg, warnings, err := ReadConfig(path)
	if err != nil || len(warnings) > 0 {
		t.Fatal(err, warnings)
	}
	unchecked, _, err := cfg.Source().ParseWith(cfg.Files())
	if err != nil {
		t.Fatal(err)
	}
	for i, s := range cfg.Servers {
		first, err := compileRoutes(cfg, s)
		if err != nil {
			t.Fatal(err)
		}
		if again, _ := compileRoutes(cfg, s); again != first || s.Compiled != any(first) {
			t.Errorf("%s is compiled again", s.Path)
		}
		own, err := compileRoutes(unchecked, unchecked.Servers[i])
		if err != nil || own == first || len(own.policies) != len(first.policies) || own.table.TakesAll() != first.table.TakesAll() {
			t.Errorf("%s, unchecked: %+v, %v", s.Path, own, err)
		}
	}
	if p := cfg.Servers[0].Compiled.(*compiled).policies; len(p) != 2 || p[0].Respond == nil || p[1].Rewrite == nil {
		t.Errorf("policies are %+v", p)
	}
}

// Problems with routes and their actions are all reported at once, in the order of the file.
func TestRouteProblems(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "f.json")
	const file = `{"http":[{"port":1,"routes":[{"match":{"path":"/%zz"},"respond":{}}]},
{"port":2,"routes":[{"respond":{}},{"match":{"path":"/a"},"respond":{}},{"match":{"path_regex":"/a"},"rewrite":{"path":"/$1"},"proxy_to":"b"}]}],
"servers":{"b":{"hosts":[{"host":"127.0.0.1","port":2}]}}}`
	if err := os.WriteFile(path, []byte(file), 0o600); err != nil {
		t.Fatal(err)
	}
	_, _, err := ReadConfig(path)
	const want = `:1:47: http[0].routes[0].match.path: "/%zz": a percent sign must be followed by two hexadecimal digits; write "%25" for the sign itself
:2:120: http[1].routes[2].rewrite.path: path_regex has no group for $1; put it in parentheses there
2 errors in `
	if err == nil || strings.ReplaceAll(err.Error(), path, "") != want {
		t.Errorf("got\n%v\nwant\n%s", err, want)
	}
}
