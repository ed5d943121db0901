package config

import (
	"fmt"
	"log/slog"
	"net/netip"
	"reflect"
	"strconv"
	"strings"
	"time"
	"unicode"
)

// differences lists the keys in which two values of a type differ, and how, as in
// "send_timeout 60s -> 30s". It omits what has lines of its own in
// changes.
func differences[T any](before, after *T) []string {
	var d differ
	d.structs("", reflect.ValueOf(before).Elem(), reflect.ValueOf(after).Elem())
	return d.list
}

type differ struct{ list []string }

// notCompared are fields that are not keys, or have lines of their own in changes.
var notCompared = map[string]bool{
	"Config.Servers": true, "Config.Groups": true, "Config.Admin": true,
	"Server.Path": true, "Server.Name": true, "Server.Listen": true, "Server.Routes": true, "Server.Compiled": true,
	"Route.Path": true, "Route.Name": true, "Route.To": true,
	"Group.Path": true, "Group.Name": true, "Group.Hosts": true, "Group.ConnectTimeoutSet": true,
	"Host.Name": true, "Host.Port": true, "Host.Unix": true, "Host.SRV": true, "Host.Tier": true,
	"Listen.Path": true, "Listen.Address": true, "Listen.Port": true, "Listen.Unix": true,
	"PassiveCheck.Requests": true,
}

// keyNames are the keys of fields whose names do not follow the rule of snake.
var keyNames = map[string]string{
	"Process.GroupName":   "group",
	"Server.FormatFields": "format_log", "Server.TLS": "", "Server.Unrouted": "", "Group.ProxyTLS": "",
	"Listen.UnixMode": "mode", "Listen.IPv6Only": "ipv6_only",
	"Route.UpstreamHost": "proxy_set_host",
	"Group.Algorithm":    "balancing_algo",
	"Host.Alias":         "name",
	"TLS.Enabled":        "tls_enabled", "TLS.Certificates": "certificates", "TLS.VerifyClient": "tls_verify_client",
	"TLS.ClientCAPath": "tls_client_ca_path", "TLS.MinVersion": "tls_min_version", "TLS.TicketRotation": "tls_ticket_rotation",
	"ProxyTLS.Enabled": "proxy_tls_enabled", "ProxyTLS.Verify": "proxy_tls_verify", "ProxyTLS.CAPath": "proxy_tls_ca_path",
	"ProxyTLS.ServerName": "proxy_tls_server_name", "ProxyTLS.KeyPair": "proxy_tls_cert_path",
	"PassiveCheck.Enabled": "",
	"Process.ErrorLogJSON": "error_log_format", "Syslog.Access": "access_log", "Syslog.Errors": "error_log", "Tracing.URL": "otlp_http",
}

// closed are fields whose values are not shown, because they may be secret or are long.
var closed = map[string]bool{
	"Server.FormatLog": true, "HealthCheck.Body": true, "HealthCheck.Path": true, "Redirect.To": true,
	"TLS.Certificates": true, "ProxyTLS.KeyPair": true,
	"Process.ErrorLogJSON": true, "Tracing.URL": true,
}

// structs compares two structs of a type, whose keys begin with prefix.
func (d *differ) structs(prefix string, a, b reflect.Value) {
	t := a.Type()
	// If something is switched on or off, all other differences follow from that.
	if f, ok := t.FieldByName("Enabled"); ok && !a.FieldByIndex(f.Index).Equal(b.FieldByIndex(f.Index)) {
		d.field(prefix, fieldKey(t.Name()+".Enabled", "Enabled"), t.Name()+".Enabled", a.FieldByIndex(f.Index), b.FieldByIndex(f.Index))
		return
	}
	for i := range t.NumField() {
		f := t.Field(i)
		id := t.Name() + "." + f.Name
		if !f.IsExported() || notCompared[id] || f.Type == reflect.TypeFor[[]byte]() {
			continue
		}
		if f.Anonymous {
			d.structs(prefix, a.Field(i), b.Field(i))
			continue
		}
		d.field(prefix, fieldKey(id, f.Name), id, a.Field(i), b.Field(i))
	}
}

// fieldKey returns the key of a field; "" if the field belongs to the object around it.
func fieldKey(id, name string) string {
	if key, ok := keyNames[id]; ok {
		return key
	}
	return snake(name)
}

// snake converts MaxConns to max_conns and TLSHandshakeTimeout to tls_handshake_timeout.
func snake(name string) string {
	var b strings.Builder
	runes := []rune(name)
	for i, r := range runes {
		if unicode.IsUpper(r) && i > 0 && (unicode.IsLower(runes[i-1]) || i+1 < len(runes) && unicode.IsLower(runes[i+1])) {
			b.WriteByte('_')
		}
		b.WriteRune(unicode.ToLower(r))
	}
	return b.String()
}

func (d *differ) field(prefix, key, id string, a, b reflect.Value) {
	if equal(a, b) {
		return
	}
	if a.Kind() == reflect.Pointer && a.Type().Elem().Kind() == reflect.Struct {
		if a.IsNil() || b.IsNil() {
			d.change(prefix+key, presence(a), presence(b))
			return
		}
		a, b = a.Elem(), b.Elem()
	}
	if a.Kind() == reflect.Struct && !closed[id] && known(a.Type()) {
		if key != "" {
			prefix += key + "."
		}
		d.structs(prefix, a, b)
		return
	}
	if key == "" { // the key is that of the object around it
		key, prefix = strings.TrimSuffix(prefix, "."), ""
	}
	if id == "Group.UpstreamKeepalive" {
		d.change(prefix+key, autoOr(a.Int()), autoOr(b.Int()))
		return
	}
	was, ok1 := shown(a)
	is, ok2 := shown(b)
	if secret := strings.ToLower(id); closed[id] || !ok1 || !ok2 || was == is ||
		!strings.HasSuffix(secret, "file") && (strings.Contains(secret, "token") || strings.Contains(secret, "secret") || strings.Contains(secret, "password")) {
		d.list = append(d.list, prefix+key)
		return
	}
	d.change(prefix+key, was, is)
}

func (d *differ) change(key, was, is string) { d.list = append(d.list, key+" "+was+" -> "+is) }

func autoOr(n int64) string {
	if n == KeepaliveAuto {
		return "auto"
	}
	return strconv.FormatInt(n, 10)
}

func presence(p reflect.Value) string {
	if p.IsNil() {
		return "none"
	}
	return "set"
}

// known reports whether the fields of a struct are compared one by one. Other
// structs may have secrets.
func known(t reflect.Type) bool {
	switch t {
	case reflect.TypeFor[HeaderEdits](), reflect.TypeFor[Match](), reflect.TypeFor[Respond](), reflect.TypeFor[Rewrite](), reflect.TypeFor[KeyPair](), reflect.TypeFor[RetryOn]():
		return false
	}
	return t.PkgPath() == reflect.TypeFor[Config]().PkgPath()
}

// equal reports whether two values are deeply equal.
func equal(a, b reflect.Value) bool {
	return reflect.DeepEqual(a.Interface(), b.Interface())
}

// shown formats a value if it can be shown in a few words.
func shown(v reflect.Value) (string, bool) {
	switch v := v.Interface().(type) {
	case time.Duration:
		return spelled(v), true
	case slog.Level:
		return strings.ToLower(v.String()), true
	case string:
		return quote(v), true
	case bool:
		return strconv.FormatBool(v), true
	case []string:
		return several(v)
	case []netip.Prefix:
		return several(v)
	case []netip.AddrPort:
		return several(v)
	case fmt.Stringer:
		return v.String(), true
	}
	switch v.Kind() {
	case reflect.Int, reflect.Int64:
		return strconv.FormatInt(v.Int(), 10), true
	case reflect.Uint, reflect.Uint16, reflect.Uint32:
		return strconv.FormatUint(v.Uint(), 10), true
	}
	return "", false
}

// spelled formats 60s as 1m.
func spelled(d time.Duration) string {
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}

// several formats a list of a few values.
func several[T any](list []T) (string, bool) {
	const few = 8
	if len(list) == 0 {
		return "none", true
	}
	return strings.Trim(fmt.Sprint(list), "[]"), len(list) <= few
}
