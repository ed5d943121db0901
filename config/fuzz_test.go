package config

import (
	stdjson "encoding/json"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/goccy/go-json"
	"github.com/tailscale/hujson"
)

func FuzzParse(f *testing.F) {
	files, err := filepath.Glob("../conf/*.example.json")
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
	for _, seed := range moreSeeds {
		f.Add([]byte(seed))
	}
	grammar, err := os.ReadFile("testdata/grammar.jsonc")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(grammar)
	f.Fuzz(func(t *testing.T, data []byte) {
		lines := strings.Split(string(data), "\n")
		for _, name := range []string{"f", "f.jsonc"} {
			// Includes are the file itself again, and valid and invalid files.
			s := Source{Path: name, Text: data, Included: map[string][]byte{
				"x.json": data, "sites/a.json": []byte(`{"servers":{"b":{"hosts":[{"host":"h","port":1}]}},"http":{"routes":[{"proxy_to":"b"}]}}`),
				"sites/b.json": []byte(`{"include":"a.json","http":[{"port":1,"respond":{}}],"send_timeout":"${N}"}`),
			}, Found: map[string][]string{"sites/*.json": {"sites/a.json", "sites/b.json"}}, Env: map[string]string{"N": "5s", "E": ""}}
			checkParse(t, s, lines)
			checkScan(t, data, lines, lenient(name))
		}
	})
}

// moreSeeds have what Kroxy's files do not have.
var moreSeeds = []string{
	`{"include":["sites/*.json","x.json"],"http":{"port":2,"routes":[{"match":{"host":"a"},"redirect":{"to":"/x"}}]}}`,
	`{"include":"x.json","stream":{"routes":[{"match":{"sni":["*.a"],"client":"::1"},"proxy_to":[{"group":"b","weight":0}]}]}}`,
	`{"send_timeout":"1.5s","max_body_size":"1MB","http":[{"listen":[{"address":"::","port":"${N}"},{"unix":"/x","mode":"0600"}],"proxy_to":"b"}],"servers":{"b":{"hosts":[{"unix":"/y"}]}}}`,
	"{ // c\n\"http\":/**/{\"port\":\"${P:-80}\",\"headers\":{\"A\":null},\"format_log\":\"${N}$status\",},}",
	`{"headers":{"A":"a"},"http":{"headers":{"a":null},"request_headers":{"set":{"B":"$${"},"remove":null},"rewrite":null,"tls_enabled":null,"file_log":null,"proxy_to":null}}`,
	`{"http":{"routes":[{"respond":{"status":204,"body":"x"}},{"redirect":{"to":"https://$host$request_uri","status":301},"match":{"header":{"a":{"regex":"("}},"path_regex":"/(a)"}}]},"workers_num":1}`,
	`{"http2":{"window":"1MiB"},"http":{"http2":{"max_streams":0,"connection_window":65535},"listen":[{"port":1,"protocols":["h2c","h2","x",1,"h2c"]},{"port":2,"tls":true,"protocols":[]}],"servers":{"b":{"protocol":"auto","proxy_protocol":"v2"}}}}`,
	`{"upstream":{},"bind":":80","http":{"listen":"[::]:80","server":{},"reverse_proxy":"x","proxy_to":"${E}"}}`,
}

// checkParse makes a configuration and checks the result.
func checkParse(t *testing.T, s Source, lines []string) {
	parse := func(s Source) (*Config, []Problem, error) { return parse(s, s, decoder{open: readPEM}) }
	c, warnings, err := parse(s)
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
	for _, p := range problems {
		if p.File == "" || p.Path == "" || p.What == "" || p.Remedy == "" || p.Line < 1 || p.Column < 1 || strings.Contains(p.String(), "\n") ||
			p.File == s.Path && (p.Line > len(lines) || p.Column > utf8.RuneCountInString(lines[p.Line-1])+1) {
			t.Errorf("%#v", p)
		}
	}
	again, againWarnings, againErr := parse(s)
	if !reflect.DeepEqual(c, again) || !reflect.DeepEqual(warnings, againWarnings) || !reflect.DeepEqual(err, againErr) {
		t.Error("a second parse differs")
	}
	if c == nil {
		return
	}
	if with, _, err := c.Source().ParseWith(c.Files()); err != nil || !reflect.DeepEqual(c, with) {
		t.Errorf("with what it has read, it parses differently: %v", err)
	}
	for _, s := range c.Servers {
		if len(s.Listen) == 0 || len(s.Routes) == 0 {
			t.Errorf("%s has nothing to do: %+v", s.Path, s)
		}
		for _, r := range s.Routes {
			n := 0
			for _, is := range []bool{r.To != nil, r.Redirect != nil, r.Respond != nil} {
				if is {
					n++
				}
			}
			if n != 1 {
				t.Errorf("%s does %d things", r.Path, n)
			}
			for _, to := range r.To {
				if !slices.Contains(c.Groups, to.Group) || len(to.Group.Hosts) == 0 {
					t.Errorf("%s goes to a group that is not there, or has no hosts", r.Path)
				}
			}
		}
	}
}

// checkScan compares the scanner with encoding/json and goccy/go-json, and with
// tailscale/hujson if comments are allowed.
func checkScan(t *testing.T, data []byte, lines []string, lenient bool) {
	root, faults := scan(data, 0, lenient)
	plain := data
	if lenient {
		// hujson requires the end of a line after //, and we do not.
		if standard, err := hujson.Standardize(append(data[:len(data):len(data)], '\n')); err == nil {
			plain = standard
		}
	}
	if root == nil {
		deep := strings.HasPrefix(faults[len(faults)-1].What, "nested more")
		if stdjson.Valid(plain) && utf8.Valid(data) && !deep {
			t.Errorf("valid JSON is refused: %v", faults)
		}
		return
	}
	if !stdjson.Valid(plain) || !json.Valid(plain) {
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
