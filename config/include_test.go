package config_test

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"kroxy-ev/config"
)

// tree writes files under a new directory and returns it.
func tree(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		write(t, path, []byte(text))
	}
	return dir
}

// said returns everything that Load reports about main.json, one line each, without the directory.
func said(t *testing.T, dir string) (*config.Config, string) {
	t.Helper()
	c, warnings, err := config.Load(filepath.Join(dir, "main.json"))
	var lines []string
	for _, w := range warnings {
		lines = append(lines, "W "+w.String())
	}
	if err != nil {
		lines = append(lines, err.Error())
	}
	return c, strings.ReplaceAll(strings.Join(lines, "\n"), dir+"/", "")
}

const oneGroup = `{"hosts":[{"host":"h","port":1}]}`

func TestInclude(t *testing.T) {
	t.Parallel()
	dir := tree(t, map[string]string{
		"main.json":     `{"$schema":"s.json","include":["sites/*.json","more.jsonc"],"servers":{"a":` + oneGroup + `},"http":{"port":1,"routes":[{"proxy_to":"a","match":{"host":"a"}}]}}`,
		"sites/2.json":  `{"$schema":"s.json","servers":{"c":` + oneGroup + `},"http":{"routes":[{"proxy_to":"c"}],"keepalive_timeout":5}}`,
		"sites/1.json":  `{"servers":{"b":` + oneGroup + `},"http":{"routes":[{"proxy_to":"b","match":{"host":"b"}}]}}`,
		"more.jsonc":    "// more\n{\"include\":\"deep/d.json\",\"http\":{\"listen\":[{\"port\":2},],\"proxy_to\":\"d\"},}",
		"deep/d.json":   `{"servers":{"d":` + oneGroup + `},"stream":[{"port":3,"proxy_to":"d"}],"workers_num":5}`,
		"sites/x.other": `{`,
	})
	c, got := said(t, dir)
	if got != "" {
		t.Fatal(got)
	}
	check := func(c *config.Config) {
		var list []string
		for _, s := range c.Servers {
			for _, r := range s.Routes {
				list = append(list, fmt.Sprintf("%s %d %s %v", s.Path, s.Listen[0].Port, r.To[0].Group.Name, s.KeepaliveTimeout))
			}
		}
		want := []string{"http[0] 1 a 5ms", "http[0] 1 b 5ms", "http[0] 1 c 5ms", "http[1] 2 d 1m15s", "stream[0] 3 d 0s"}
		if !slices.Equal(list, want) || c.WorkersNum != 5 || len(c.Groups) != 5 {
			t.Errorf("got %q, want %q", list, want)
		}
		if p := c.Problem("http[0].routes[2].proxy_to", "w", "r"); p.File != filepath.Join(dir, "sites/2.json") {
			t.Errorf("the place is %v", p)
		}
	}
	check(c)

	// A Source needs no files.
	source := c.Source()
	if paths := slices.Sorted(maps.Keys(source.Included)); len(paths) != 4 {
		t.Errorf("included %q", paths)
	}
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	for _, again := range []func() (*config.Config, []config.Problem, error){source.Parse, func() (*config.Config, []config.Problem, error) { return source.ParseWith(nil) }} {
		c, warnings, err := again()
		if err != nil || len(warnings) > 0 {
			t.Fatal(err, warnings)
		}
		check(c)
	}
}

func TestIncludeErrors(t *testing.T) {
	t.Parallel()
	const main = `"http":{"proxy_to":"a"},"servers":{"a":` + oneGroup + `}}`
	for name, test := range map[string]struct {
		files map[string]string
		want  string
	}{
		"same key": {map[string]string{"main.json": `{"include":["x.json"],"workers_num":2,` + main, "x.json": "{\n \"workers_num\": 2}"},
			`x.json:2:2: workers_num: the key is given twice, first in main.json:1:23; remove one of the two`},
		"same group": {map[string]string{"main.json": `{"include":["x.json"],` + main, "x.json": `{"servers":{"a":` + oneGroup + `}}`},
			`x.json:1:13: servers.a: the key is given twice, first in main.json:1:58; remove one of the two`},
		"same key of a server": {map[string]string{"main.json": `{"include":["x.json"],` + main, "x.json": `{"http":{"proxy_to":"a"}}`},
			`x.json:1:10: http.proxy_to: the key is given twice, first in main.json:1:31; remove one of the two`},
		"same port": {map[string]string{"main.json": `{"include":["x.json"],` + main, "x.json": `{"http":{"port":8080,"proxy_to":"a"}}`},
			`x.json:1:17: http[1].port: port 8080 of all IPv4 addresses is listened on twice, first in http[0].port (main.json:1:30); remove one of the two, or give it another port: routes can distinguish requests for several names on one port`},
		"cycle": {map[string]string{"main.json": `{"include":["x.json"],` + main, "x.json": `{"include":"y.json"}`, "y.json": "{\"include\":\n[\"x.json\"]}"},
			`y.json:2:2: include[0]: an include cycle: "x.json" includes "y.json" includes "x.json"; remove one of the includes`},
		"itself": {map[string]string{"main.json": `{"include":["*.json"],` + main},
			`main.json:1:13: include[0]: an include cycle: "main.json" includes "main.json"; remove one of the includes`},
		"twice": {map[string]string{"main.json": `{"include":["x.json","./x.json"],` + main, "x.json": `{}`},
			`main.json:1:22: include[1]: "x.json" is included already; remove one of the includes`},
		"not there": {map[string]string{"main.json": `{"include":["x.json"],` + main},
			`main.json:1:13: include[0]: "x.json": there is no such file; correct the path, which is relative to the file that names it, or remove it`},
		"no match":    {map[string]string{"main.json": `{"include":["sites/*.json"],` + main}, ``},
		"bad pattern": {map[string]string{"main.json": `{"include":["[.json"],` + main}, `main.json:1:13: include[0]: "[.json" is not a pattern: syntax error in pattern; write one such as "sites/*.json"`},
		"empty":       {map[string]string{"main.json": `{"include":"",` + main}, `main.json:1:12: include: it is empty; write the path of a file, or a pattern such as "sites/*.json"`},
		"no string":   {map[string]string{"main.json": `{"include":[5],` + main}, `main.json:1:13: include[0]: must be a string, not the number 5; write ["sites/*.json"]`},
		"no object":   {map[string]string{"main.json": `{"include":"x.json",` + main, "x.json": `[]`}, `x.json:1:1: (top level): must be an object, not an array; write { "servers": { ... } } or what else is to be a part of "main.json"`},
		"broken":      {map[string]string{"main.json": `{"include":"x.json",` + main, "x.json": "{\n"}, `x.json:2:1: (top level): expected a key in double quotes, found the end of the file; end the object that begins in line 1 with '}'`},
		"environment": {map[string]string{"main.json": `{"include":"${KROXY_EV_NONE:-x}.json",` + main, "x.json": `{"workers_num":0}`}, `x.json:1:16: workers_num: 0 is outside 1-4096; write a number of processes from 1 to 4096`},
		"unset part":  {map[string]string{"main.json": `{"include":["${KROXY_EV_NONE}*.json"],` + main, "other.json": "{"}, `main.json:1:13: include[0]: the environment variable "KROXY_EV_NONE" is not set; set it, or write "${KROXY_EV_NONE:-default}"`},
		"unset":       {map[string]string{"main.json": `{"include":"${KROXY_EV_NONE}",` + main}, `main.json:1:12: include: the environment variable "KROXY_EV_NONE" is not set; set it, or write "${KROXY_EV_NONE:-default}"`},
		"comment":     {map[string]string{"main.json": `{"include":"x.json",` + main, "x.json": "// x\n{}"}, `x.json:1:1: (top level): JSON has no comments; remove the comment, or have the file's name end in .jsonc`},
		"in two files": {map[string]string{"main.json": `{"include":"x.json","send_timeout":-1,"prot":1,` + main, "x.json": "{\"keepalive_timeout\":\n-1,\"prto\":1}"},
			`W main.json:1:39: prot: unknown key "prot" is ignored; did you mean "port"? It belongs in "http"
W x.json:2:4: prto: unknown key "prto" is ignored; remove it
main.json:1:36: send_timeout: -1 is negative; write whole milliseconds, such as 60000, a time with a unit, such as "1.5s", or 0 for no limit
x.json:2:1: keepalive_timeout: -1 is negative; write whole milliseconds, such as 75000, a time with a unit, such as "1.5s", or 0 for no limit
2 errors in 2 files`},
	} {
		if _, got := said(t, tree(t, test.files)); got != test.want {
			t.Errorf("%s: got\n%s\nwant\n%s", name, got, test.want)
		}
	}
}

// A part of a server must say to which server it belongs if there are several.
func TestIncludeAmbiguous(t *testing.T) {
	t.Parallel()
	dir := tree(t, map[string]string{
		"main.json": `{"include":["a.json","b.json"],"http":[{"port":1,"proxy_to":"a"},{"port":2,"proxy_to":"a"}]}`,
		"a.json":    `{"servers":{"a":` + oneGroup + `},"http":{"routes":[{"proxy_to":"a"}]}}`,
		"b.json":    `{"http":[{"port":3,"proxy_to":"a"}]}`,
	})
	const want = `a.json:1:59: http: it should be added to a server, but does not say to which of 2; write "port" or "listen" into it if it is a server of its own, or put it into the file of the server that it belongs to`
	if _, got := said(t, dir); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}
