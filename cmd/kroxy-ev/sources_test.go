package main_test

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// A configuration in several files that uses environment variables. A reload adopts changes of every file, also for workers, which read none of them.
func TestSourcesOfConfiguration(t *testing.T) {
	t.Parallel()
	modes(t, func(t *testing.T, multi bool) {
		a, b := listen(t, "127.0.0.1", answer("A")), listen(t, "127.0.0.1", answer("B"))
		prepare := func(c *exec.Cmd) { c.Env = append(os.Environ(), fmt.Sprintf("KROXY_EV_TEST_HOST=%d", b.Port)) }
		p := start(t, setup{hosts: endpoints(a), multi: multi, prepare: prepare})
		expect(t, p.dial(), "A")
		write := func(host string) {
			t.Helper()
			text := fmt.Sprintf(`{ /* a group */ "servers": { "g": { "hosts": [{ "host": "127.0.0.1", "port": %s },] } }, }`, host)
			if err := os.WriteFile(filepath.Join(filepath.Dir(p.file), "group.jsonc"), []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		p.replace(fmt.Appendf(nil, `{"include":"group.*c","shutdown_timeout":"5s","stream":{"port":%d,"proxy_to":"g"}}`, p.port))
		write(`"${KROXY_EV_TEST_HOST}"`)
		p.mustOrder("reload")
		expect(t, p.dial(), "B")
		write(fmt.Sprint(a.Port))
		expect(t, p.dial(), "B") // not reloaded yet
		p.mustOrder("reload")
		expect(t, p.dial(), "A")
		write(`"${KROXY_EV_TEST_NONE}"`)
		p.refuses("reload", `group\.jsonc:1:\d+: servers\.g\.hosts\[0\]\.port: the environment variable \\?"KROXY_EV_TEST_NONE\\?" is not set; `)
		expect(t, p.dial(), "A")
	})
}

func TestSchemaCommand(t *testing.T) {
	t.Parallel()
	out, err := exec.Command(program, "schema").Output()
	if err != nil {
		t.Fatal(err)
	}
	var schema struct {
		Schema     string `json:"$schema"`
		Properties map[string]any
	}
	if err := json.Unmarshal(out, &schema); err != nil || !strings.HasSuffix(schema.Schema, "draft/2020-12/schema") || schema.Properties["http"] == nil {
		t.Errorf("%v: %.200s", err, out)
	}
	expectOutcome(t, outcome{1, "", `^kroxy-ev: schema takes no arguments, and there is "x"\n`}, "schema", "x")
}
