package config_test

import (
	"errors"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"kroxy-ev/balance"
	"kroxy-ev/config"
	"kroxy-ev/logformat"
)

// parse parses a file that must be valid, and returns the warnings.
func parse(t *testing.T, input string) (*config.Config, []config.Problem) {
	t.Helper()
	c, warnings, err := config.Parse("f", []byte(input))
	if err != nil {
		t.Fatal(err)
	}
	return c, warnings
}

// exported clears the unexported fields, for comparison.
func exported(c *config.Config) config.Config {
	var out config.Config
	from, to := reflect.ValueOf(c).Elem(), reflect.ValueOf(&out).Elem()
	for i := range from.NumField() {
		if from.Type().Field(i).IsExported() {
			to.Field(i).Set(from.Field(i))
		}
	}
	return out
}

// Defaults of checks, retries and names.
var (
	usualPassive  = config.PassiveCheck{Enabled: true, Failures: 1, Window: 10 * time.Second, Eject: time.Second, MaxEject: 10 * time.Second}
	usualHTTP2    = config.HTTP2{MaxStreams: 100, Window: 64 << 10, ConnectionWindow: 1 << 20}
	usualRetry    = config.Retry{Attempts: 1, On: config.RetryOn{Connect: true, Reset: true}, Budget: 20, Buffer: 16 << 10}
	usualResolver = config.Resolver{MinTTL: time.Second, MaxTTL: 5 * time.Minute}
)

func TestDefaults(t *testing.T) {
	t.Parallel()
	const minute = 60 * time.Second
	process := config.Process{WorkersNum: 1, ShutdownTimeout: 8 * time.Second, WatchdogTimeout: 10 * time.Second}
	group := &config.Group{
		Name: "b", Path: "stream.servers.b", Algorithm: "round_robin", Hosts: []config.Host{{Name: "h", Port: 1, Weight: 1}}, ConnectTimeout: minute, ResolveTimeout: minute,
		PassiveCheck: usualPassive, Retry: config.Retry{Attempts: 1, On: config.RetryOn{Connect: true}, Budget: 20},
	}
	route := config.Route{
		Path: "stream", Name: "stream", To: []config.Target{{Group: group, Weight: 1}},
		SendTimeout: minute, ProxyReadTimeout: minute, ProxySendTimeout: minute, ReadTimeout: minute,
	}
	server := &config.Server{
		Mode: config.ModeStream, Path: "stream", Name: "stream", Listen: []config.Listen{{Path: "stream.port", Port: 8080}},
		TLSHandshakeTimeout: 10 * time.Second,
	}
	whole := func() config.Config {
		server.Routes, server.Unrouted = []config.Route{route}, route
		server.Unrouted.Name, server.Unrouted.To = "", nil
		return config.Config{Process: process, Servers: []*config.Server{server}, Groups: []*config.Group{group}, Resolver: usualResolver}
	}
	want := whole()
	c, warnings := parse(t, `{"stream":{`+ok+`}}`)
	if got := exported(c); !reflect.DeepEqual(got, want) || len(warnings) > 0 {
		t.Errorf("stream: got\n%+v\nwant\n%+v\nwarnings %v", got, want, warnings)
	}

	server.Mode, server.Path, server.Name, server.Listen[0].Path = config.ModeHTTP, "http", "http", "http.port"
	server.ClientHeaderTimeout, server.KeepaliveTimeout = minute, 75*time.Second
	server.ForwardedHeaders = true
	server.Listen[0].Protocols, server.HTTP2 = []string{"http/1.1"}, usualHTTP2
	route.Path, route.Name, route.ReadTimeout, route.ClientBodyTimeout = "http", "http", 0, minute
	group.Path, group.UpstreamKeepalive, group.UpstreamKeepaliveTimeout = "http.servers.b", config.KeepaliveAuto, minute
	group.Retry, group.Protocol = usualRetry, "http/1.1"
	want = whole()
	c, warnings = parse(t, `{"http":{`+ok+`}}`)
	if got := exported(c); !reflect.DeepEqual(got, want) || len(warnings) > 0 {
		t.Errorf("http: got\n%+v\nwant\n%+v\nwarnings %v", got, want, warnings)
	}
}

func TestEveryKey(t *testing.T) {
	t.Parallel()
	pair, pair2, ca := writePair(t), writePair(t), writePair(t)
	ms := func(n int64) time.Duration { return time.Duration(n) * time.Millisecond }
	c, warnings := parse(t, `{"http":{
		"port":1,"workers_num":2,"reactors_num":3,"max_connections":4,"proxy_to":"two",
		"send_timeout":5,"connect_timeout":6,"resolve_timeout":7,"proxy_read_timeout":8,
		"proxy_send_timeout":9,"shutdown_timeout":0,"watchdog_timeout":140,"pid_file":"p","user":"u","group":"g","client_header_timeout":0,
		"client_body_timeout":3153600000000,"keepalive_timeout":10,"upstream_keepalive":11,
		"upstream_keepalive_timeout":12,"max_body_size":13,"forwarded_headers":false,"proxy_set_host":"upstream",
		"trusted_proxies":["10.1.2.3/8","::1"],
		"headers":{"Host":"$host","A":"\tx é","B":""},
		"tls_enabled":true,"tls_cert_path":"`+pair.CertPath+`","tls_key_path":"`+pair.KeyPath+`","tls_verify_client":true,
		"tls_client_ca_path":"`+ca.CertPath+`","tls_min_version":"1.3","tls_handshake_timeout":15,"tls_ticket_rotation":16,
		"certificates":[{"cert_path":"`+pair2.CertPath+`","key_path":"`+pair2.KeyPath+`"}],
		"file_log":"/dev/null","format_log":"$ $1 $client_addr$status.$http_user_agent",
		"servers":{
			"two":{"balancing_algo":"host","hosts":[{"port":2,"host":"[::1]"},{"host":"b","port":3},{"host":"b","port":3}],
				"proxy_tls_enabled":true,"proxy_tls_verify":true,"proxy_tls_ca_path":"`+ca.CertPath+`","proxy_tls_server_name":"[::2]",
				"proxy_tls_cert_path":"`+pair2.CertPath+`","proxy_tls_key_path":"`+pair2.KeyPath+`"},
			"one":{"balancing_algo":"","hosts":[{"host":"c","port":4}],"proxy_tls_enabled":true}
		}}}`)
	two := &config.Group{
		Name: "two", Path: "http.servers.two", Algorithm: "host", Hosts: []config.Host{{Name: "::1", Port: 2, Weight: 1}, {Name: "b", Port: 3, Weight: 1}, {Name: "b", Port: 3, Weight: 1}},
		ProxyTLS: config.ProxyTLS{
			Enabled: true, Verify: true, CAPath: ca.CertPath, CA: ca.Cert, ServerName: "::2", KeyPair: pair2,
		},
	}
	one := &config.Group{
		Name: "one", Path: "http.servers.one", Algorithm: "round_robin", Hosts: []config.Host{{Name: "c", Port: 4, Weight: 1}}, ProxyTLS: config.ProxyTLS{Enabled: true},
	}
	for _, g := range []*config.Group{one, two} {
		g.ConnectTimeout, g.ConnectTimeoutSet, g.ResolveTimeout, g.UpstreamKeepalive, g.UpstreamKeepaliveTimeout = ms(6), true, ms(7), 11, ms(12)
		g.PassiveCheck, g.Retry, g.Protocol = usualPassive, usualRetry, "http/1.1"
	}
	want := config.Config{
		Process: config.Process{
			WorkersNum: 2, ReactorsNum: 3, MaxConnections: 4, WatchdogTimeout: ms(140), PIDFile: "p", User: "u", GroupName: "g",
		},
		Servers: []*config.Server{{
			Mode: config.ModeHTTP, Path: "http", Name: "http", Listen: []config.Listen{{Path: "http.port", Port: 1, TLS: true, Protocols: []string{"h2", "http/1.1"}}},
			HTTP2: usualHTTP2,
			Routes: []config.Route{{
				Path: "http", Name: "http", To: []config.Target{{Group: two, Weight: 1}},
				RequestHeaders: config.HeaderEdits{Set: []config.Header{{"Host", "$host", true}, {"A", "\tx é", true}, {"B", "", true}}},
				SendTimeout:    ms(5), ProxyReadTimeout: ms(8), ProxySendTimeout: ms(9), ClientBodyTimeout: config.MaxTimeout, MaxBodySize: 13, UpstreamHost: true,
			}},
			Unrouted: config.Route{
				Path: "http", SendTimeout: ms(5), ProxyReadTimeout: ms(8), ProxySendTimeout: ms(9), ClientBodyTimeout: config.MaxTimeout, MaxBodySize: 13, UpstreamHost: true,
			},
			KeepaliveTimeout: ms(10),
			TrustedProxies:   []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("::1/128")},
			TLS: config.TLS{
				Enabled: true, Certificates: []config.KeyPair{pair, pair2}, VerifyClient: true,
				ClientCAPath: ca.CertPath, ClientCA: ca.Cert, MinVersion: "1.3", TicketRotation: ms(16),
			},
			TLSHandshakeTimeout: ms(15),
			FileLog:             "/dev/null", FormatLog: "$ $1 $client_addr$status.$http_user_agent",
		}},
		Groups:   []*config.Group{two, one},
		Resolver: usualResolver,
	}
	const ignored = `f:6:80: http.proxy_set_host: it is ignored: "Host" is among the fields that are set; remove one of the two`
	const unused = `f:17:10: http.servers.one: no route uses this group; remove it, or name it in "proxy_to"`
	if got := exported(c); !reflect.DeepEqual(got, want) || len(warnings) != 2 || warnings[0].String() != ignored || warnings[1].String() != unused {
		t.Errorf("got\n%+v\nwant\n%+v\nwarnings %v", got, want, warnings)
	}
	if g := c.Group("one"); g != c.Groups[1] {
		t.Errorf("Group returned %+v", g)
	}
	if g := c.Group("three"); g != nil {
		t.Errorf("Group invented %+v", g)
	}
	c, _ = parse(t, group(`"hosts":[{"host":"h","port":1}],"proxy_tls_enabled":false,"proxy_tls_verify":true,"proxy_tls_cert_path":"/none","proxy_tls_ca_path":"/none","proxy_tls_server_name":"x"`))
	if got := c.Groups[0].ProxyTLS; !reflect.DeepEqual(got, config.ProxyTLS{}) || len(c.Files()) > 0 {
		t.Errorf("ignored options are kept: %+v", got)
	}
	c, _ = parse(t, stream(`"tls_cert_path":"/none","tls_key_path":"/none","tls_verify_client":true,"tls_client_ca_path":"/none","tls_min_version":"1.3","tls_ticket_rotation":1,`+
		`"certificates":[{"cert_path":"/none","key_path":"/none"}]`))
	if !reflect.DeepEqual(c.Servers[0].TLS, config.TLS{}) || len(c.Files()) > 0 {
		t.Errorf("ignored options are kept: %+v", c.Servers[0].TLS)
	}
	for _, a := range balance.Algorithms() {
		in := `{"http":{"proxy_to":"b","servers":{"b":{"balancing_algo":"` + a.Name + `","hash_key":"$path","hosts":[{"host":"h","port":1}]}}}}`
		if c, _ := parse(t, in); c.Groups[0].Algorithm != a.Name {
			t.Errorf("%s became %s", a.Name, c.Groups[0].Algorithm)
		}
	}
	for mode, wrap := range map[logformat.Mode]func(string) string{logformat.Stream: stream, logformat.HTTP: http} {
		parse(t, wrap(`"format_log":"$`+strings.Join(logformat.Names(mode), " $")+`"`))
	}
}

// TestExamples loads the repository's examples and a typical existing file, which
// has a key that never did anything.
func TestExamples(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("../conf/*.example.json")
	if err != nil || len(files) < 2 {
		t.Fatal(files, err)
	}
	for _, f := range files {
		c, warnings, err := config.Load(f)
		if err != nil || len(warnings) > 0 {
			t.Errorf("%s: %v %v", f, warnings, err)
			continue
		}
		if want := []config.Host{{Name: "127.0.0.1", Port: 9001, Weight: 1}, {Name: "127.0.0.1", Port: 9002, Weight: 1}}; c.Servers[0].Listen[0].Port != 8080 ||
			c.Servers[0].FileLog != "/dev/stdout" || !slices.Equal(c.Servers[0].Routes[0].To[0].Group.Hosts, want) {
			t.Errorf("%s: %+v", f, exported(c))
		}
	}
	_, warnings := parse(t, `{"stream":{`+ok+`,"port":8080,"timeout_ms":500,"tls_enabled":false,"tls_cert_path":"/none","tls_key_path":"/none"}}`)
	if len(warnings) != 1 || warnings[0].Path != "stream.timeout_ms" {
		t.Errorf("got %v", warnings)
	}
}

func TestLoadErrors(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	huge := filepath.Join(dir, "huge.json")
	if err := os.WriteFile(huge, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(huge, 100<<20); err != nil {
		t.Fatal(err)
	}
	missing := filepath.Join(dir, "missing.json")
	const retry = "; check the path given with --config"
	for path, want := range map[string]string{
		missing:          ": there is no such file" + retry,
		dir:              ": it is a directory; give the path of a file in it with --config",
		huge + "/x":      ": cannot open the file: not a directory" + retry,
		huge:             ":1:1: (top level): the file is larger than 4 MiB; a configuration is a few kilobytes: check the path given with --config",
		"/dev/zero":      ":1:1: (top level): the file is larger than 4 MiB; a configuration is a few kilobytes: check the path given with --config",
		"/dev/null":      `:1:1: (top level): the file is empty; write { "stream": { ... } } or { "http": { ... } }`,
		"/proc/self/mem": ": cannot read the file: input/output error; give a readable JSON file with --config",
	} {
		c, _, err := config.Load(path)
		if c != nil || err == nil || err.Error() != path+want {
			t.Errorf("%s: got %v", path, err)
		}
	}
	if _, _, err := config.Load(missing); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("%v is not an ErrNotExist", err)
	}
}

func TestLoadWithoutPermission(t *testing.T) {
	t.Parallel()
	if os.Geteuid() == 0 {
		t.Skip("root may read every file")
	}
	path := filepath.Join(t.TempDir(), "f.json")
	if err := os.WriteFile(path, []byte("{}"), 0); err != nil {
		t.Fatal(err)
	}
	_, _, err := config.Load(path)
	if !errors.Is(err, fs.ErrPermission) || !strings.HasPrefix(err.Error(), path+": no permission to read the file; make it readable for user ") {
		t.Errorf("got %v", err)
	}
}
