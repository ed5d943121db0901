package config

import (
	stdjson "encoding/json"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/goccy/go-json"
)

func FuzzParse(f *testing.F) {
	files, err := filepath.Glob("../conf/*.json")
	if err != nil {
		f.Fatal(err)
	}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	for _, seed := range []string{
		"", "{", "[1,]", "\xef\xbb\xbf{}", `{"a":1,"a":{"a":-0.5e+7}}`, "{\"\\ud83d\\ude00é\":\n\t[true,false,null,\"\\ud800\\u0041\"]}",
		`{"stream":{"proxy_to":"b","servers":{"b":{"hosts":[{"host":"[::1]","port":1}]}},"format_log":"\u0024x $ $status"}}`,
		`{"http":{"tls_enabled":true,"tls_cert_path":"fuzz_test.go","headers":{"Host":"$host"},"read_timeout":1e3},"stream":5}`,
		`{"stream":{"tls_enabled":true,"tls_verify_client":true,"tls_client_ca_path":"fuzz_test.go","tls_min_version":"1.1","tls_handshake_timeout":0,"certificates":[{"cert_path":"/","key_path":"x"},5,{"tls_cert_path":""}]}}`,
		`{"http":{"certificates":[],"tls_enabled":true,"servers":{"b":{"proxy_tls_enabled":true,"proxy_tls_verify":true,"proxy_tls_ca_path":"fuzz_test.go","proxy_tls_server_name":"[::1]:443"}}}}`,
		`{"http":{"proxy_to":"b","certificates":[{"cert_path":"x"}],"format_log":"$tls_version $tls_cipher $tls_sni","servers":{"b":{"hosts":[{"host":"h","port":1}],"balancing_algo":"sni","proxy_tls_enabled":true,"proxy_tls_ca_path":"x","proxy_tls_server_name":"a.b."}}}}`,
		`{"stream":{"servers":{"":{"hosts":["a:1",{"host":"http://x:1/","weight":"\""}],"proxy_tls_verify":1}}}} //`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		c, warnings, err := Parse("f", data)
		if (c == nil) != (err != nil) {
			t.Fatalf("config %v, error %v", c, err)
		}
		problems := warnings
		if err != nil {
			e, isError := errors.AsType[*Error](err)
			if !isError || len(e.Problems) == 0 {
				t.Fatalf("the error is %#v", err)
			}
			problems = append(problems[:len(problems):len(problems)], e.Problems...)
		}
		lines := strings.Split(string(data), "\n")
		for _, p := range problems {
			if p.File != "f" || p.Path == "" || p.What == "" || p.Remedy == "" ||
				p.Line < 1 || p.Line > len(lines) || p.Column < 1 || p.Column > utf8.RuneCountInString(lines[p.Line-1])+1 ||
				strings.Contains(p.String(), "\n") {
				t.Errorf("%#v", p)
			}
		}
		again, againWarnings, againErr := Parse("f", data)
		if !reflect.DeepEqual(c, again) || !reflect.DeepEqual(warnings, againWarnings) || !reflect.DeepEqual(err, againErr) {
			t.Error("a second parse differs")
		}
		if c != nil {
			if with, _, err := c.Source().ParseWith(c.Files()); err != nil || !reflect.DeepEqual(c, with) {
				t.Errorf("with what it has read, it parses differently: %v", err)
			}
		}
		checkScan(t, data, lines)
	})
}

// checkScan holds the scanner against encoding/json and goccy/go-json.
func checkScan(t *testing.T, data []byte, lines []string) {
	root, faults := scan(data, 0, false)
	if root == nil {
		deep := strings.HasPrefix(faults[len(faults)-1].What, "nested more")
		if stdjson.Valid(data) && utf8.Valid(data) && !deep {
			t.Errorf("valid JSON is refused: %v", faults)
		}
		return
	}
	if !stdjson.Valid(data) || !json.Valid(data) {
		t.Fatal("invalid JSON is accepted")
	}
	var check func(n *node, path string)
	check = func(n *node, path string) {
		if got := root.locate(path); got != n.pos {
			t.Errorf("%s is at %v, not %v", path, n.pos, got)
		}
		rest := string([]rune(lines[n.pos.line-1])[n.pos.column-1:])
		if !strings.HasPrefix(rest, string(n.raw)) || n.kind == kindObject && rest[0] != '{' || n.kind == kindArray && rest[0] != '[' {
			t.Errorf("%s: %q is not at %v", path, n.raw, n.pos)
		}
		if n.kind == kindString {
			checkString(t, n.raw)
		}
		for i := range n.elements {
			check(&n.elements[i], indexPath(path, i))
		}
		for i := range n.members {
			if m := &n.members[i]; !m.repeated {
				check(&m.value, keyPath(path, m.key))
			}
		}
	}
	check(root, Root)
}

func checkString(t *testing.T, raw []byte) {
	var want string
	if err := stdjson.Unmarshal(raw, &want); err != nil || text(raw) != want {
		t.Errorf("%s decodes to %q, not %q (%v)", raw, text(raw), want, err)
	}
	if len(raw) > 200 {
		return // the check below is quadratic
	}
	for n := range want {
		if got := unescape(raw[1 : 1+rawLength(raw[1:], n)]); got != want[:n] {
			t.Errorf("%s: %d bytes are %q, not %q", raw, n, got, want[:n])
		}
	}
}

func FuzzHostName(f *testing.F) {
	for _, seed := range []string{"", "a", "a.b.", "[::1]:80", "::1%e", "http://x:1/y", "1.2.3.4", "é", "a b", "-"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, s string) {
		name, what, remedy := hostName(s)
		switch {
		case what != "" && (name != "" || remedy == ""):
			t.Errorf("%q: %q, %q, %q", s, name, what, remedy)
		case what == "" && (name == "" || remedy != "" || strings.ContainsAny(name, "[]/ @\n\x00") || strings.Trim(s, "[]") != name):
			t.Errorf("%q became %q, %q", s, name, remedy)
		case what == "":
			if again, what, _ := hostName(name); again != name || what != "" {
				t.Errorf("%q became %q, then %q: %s", s, name, again, what)
			}
		}
	})
}
