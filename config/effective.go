package config

import (
	"io/fs"
	"log/slog"
	"maps"
	"net/netip"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/goccy/go-json"
)

// hidden replaces secrets.
const hidden = "(hidden)"

// display is an object in the result of Effective.
type display map[string]any

// Effective returns c as JSON for people, with the keys of a file: with all
// defaults, and with outer values where they apply. Groups are in the
// servers that use them. Possible secrets are hidden: values of fields, cookies and
// arguments whose names suggest it, passwords in URLs, and the
// values of environment variables whose names suggest it. Of tokens and private
// keys, c has only the paths of the files.
func (c *Config) Effective() ([]byte, error) {
	e := effective{secrets: secretValues(c.Source().Env)}
	file := e.keys(ofProcess, inBoth, &target{process: &c.Process})
	if len(c.Admin) > 0 {
		file["admin"] = each(c.Admin, e.admin)
	}
	file["resolver"] = e.keys(ofResolver, inBoth, &target{resolver: &c.Resolver})
	if c.Syslog != nil {
		file["syslog"] = e.keys(ofSyslog, inBoth, &target{syslog: c.Syslog})
	}
	if c.Tracing != nil {
		file["tracing"] = e.keys(ofTracing, inBoth, &target{tracing: c.Tracing})
	}
	for _, s := range c.Servers {
		list, _ := file[s.Mode.String()].([]display)
		file[s.Mode.String()] = append(list, e.server(s, c.Syslog))
	}
	return json.MarshalIndent(e.hide("", file), "", "  ")
}

func each[T any](list []T, show func(*T) display) []display {
	all := make([]display, len(list))
	for i := range list {
		all[i] = show(&list[i])
	}
	return all
}

// effective converts what was decoded to objects.
type effective struct{ secrets []string }

// keys returns the keys of a level that are declared with a field in t.
func (e *effective) keys(l level, m modes, t *target) display {
	o := display{}
	for _, k := range keys {
		if k.of != l || k.into == nil || k.modes&m == 0 {
			continue
		}
		v := reflect.ValueOf(k.into(t)).Elem()
		if none(k, v) {
			continue
		}
		o[k.name] = plainValue(k, v.Interface())
	}
	return o
}

// none reports whether v is the value that results from leaving k out.
func none(k *key, v reflect.Value) bool {
	switch f := k.form.(type) {
	case bound:
		return v.IsZero()
	case integer:
		return v.IsZero() && f.low > 0
	case duration:
		return v.IsZero() && f.low > 0
	}
	return v.Kind() == reflect.Slice && v.Len() == 0 || v.Kind() == reflect.String && v.Len() == 0
}

// plainValue converts a value to the form that it has in a file.
func plainValue(k *key, v any) any {
	switch v := v.(type) {
	case time.Duration:
		return v.Milliseconds()
	case slog.Level:
		return strings.ToLower(v.String())
	case Statuses:
		return v.words()
	case RetryOn:
		words := []string{}
		for i, on := range []bool{v.Connect, v.Reset, v.Timeout} {
			if on {
				words = append(words, retryWords[i])
			}
		}
		return append(words, v.Status.words()...)
	case int:
		if v == KeepaliveAuto && k.name == "upstream_keepalive" {
			return "auto"
		}
	case bool:
		switch k.form.(type) {
		case setHost:
			return map[bool]string{true: "upstream", false: "client"}[v]
		case jsonOrText:
			return map[bool]string{true: "json", false: "text"}[v]
		}
	}
	return v
}

// words returns the statuses in the form that they have in a file.
func (s Statuses) words() []string {
	list := []string{}
	for _, r := range s {
		if r.Low == r.High {
			list = append(list, strconv.Itoa(r.Low))
		} else {
			list = append(list, strconv.Itoa(r.Low)+"-"+strconv.Itoa(r.High))
		}
	}
	return list
}

func (e *effective) admin(a *Admin) display {
	o := display{"listen": each(a.Listen, func(l *Listen) display { return e.place(l) }), "metrics_only": a.MetricsOnly}
	if a.TokenFile != "" {
		o["token_file"] = a.TokenFile
	}
	return o
}

// place returns the address of l.
func (e *effective) place(l *Listen) display {
	if l.Unix != "" {
		return display{"unix": l.Unix, "mode": octal(l.UnixMode)}
	}
	address := l.Address
	if !address.IsValid() {
		address = netip.IPv4Unspecified()
	}
	return display{"address": address.String(), "port": l.Port}
}

func octal(m fs.FileMode) string { return "0" + strconv.FormatUint(uint64(m), 8) }

// server returns s. File is the syslog at the top of the file, nil if there is none.
func (e *effective) server(s *Server, file *Syslog) display {
	o := e.keys(ofServer, s.Mode.modes(), &target{server: s})
	maps.Copy(o, e.keys(ofRoute, s.Mode.modes(), &target{route: &s.Unrouted})) // for requests that match no route
	e.edits(o, "response_headers", s.Unrouted.ResponseHeaders, HeaderEdits{})
	if l := e.logIf(s.Unrouted.LogIf, s.Mode); l != nil {
		o["log_if"] = l
	}
	if slices.ContainsFunc(s.Listen, Listen.speaksHTTP2) {
		o["http2"] = e.keys(ofHTTP2, inHTTP, &target{http2: &s.HTTP2})
	}
	o["name"] = s.Name
	o["listen"] = each(s.Listen, func(l *Listen) display {
		entry := e.keys(ofListen, s.Mode.modes(), &target{listen: l})
		maps.Copy(entry, e.place(l))
		if entry["tls"] = l.TLS; l.Unix != "" {
			delete(entry, "ipv6_only")
			delete(entry, "tcp_keepalive")
		}
		return entry
	})
	if s.FormatLog != "" || s.FormatFields != nil {
		o["format_log"] = s.FormatLog
		if s.FormatFields != nil {
			fields := display{}
			for _, f := range s.FormatFields {
				fields[f.Name] = f.Format
			}
			o["format_log"] = fields
		}
	}
	if s.Syslog != nil {
		syslog := e.keys(ofSyslog, inBoth, &target{syslog: s.Syslog})
		delete(syslog, "error_log") // a key of the top level only
		o["syslog"] = syslog
	} else if file != nil && file.Access {
		o["syslog"] = false
	}
	if t := s.TLS; t.Enabled {
		o["certificates"] = each(t.Certificates, func(p *KeyPair) display { return display{"cert_path": p.CertPath, "key_path": p.KeyPath} })
		o["tls_verify_client"], o["tls_min_version"], o["tls_ticket_rotation"] = t.VerifyClient, t.MinVersion, t.TicketRotation.Milliseconds()
		if t.ClientCAPath != "" {
			o["tls_client_ca_path"] = t.ClientCAPath
		}
	}
	groups := display{}
	names := make(map[*Group]string)
	o["routes"] = each(s.Routes, func(r *Route) display { return e.route(s, r, groups, names) })
	if len(groups) > 0 {
		o["servers"] = groups
	}
	return o
}

// logIf returns l in the form that it has in a file; nil if everything gets a line.
func (e *effective) logIf(l *LogIf, m Mode) any {
	switch {
	case l == nil:
		return nil
	case len(l.Status) == 0 && l.SlowerThan == 0 && !l.Failed && l.Sample == 0:
		return false
	}
	return e.keys(ofLogIf, m.modes(), &target{logIf: l})
}

// route returns r. It adds the groups of r to groups, by name; a group with several uses gets a name for each use.
func (e *effective) route(s *Server, r *Route, groups display, names map[*Group]string) display {
	o := e.keys(ofRoute, s.Mode.modes(), &target{route: r})
	o["name"] = r.Name
	if r.Match != nil {
		o["match"] = e.match(r.Match)
	}
	if l := e.logIf(r.LogIf, s.Mode); l != nil {
		o["log_if"] = l
	} else if s.Unrouted.LogIf != nil {
		o["log_if"] = true
	}
	e.edits(o, "request_headers", r.RequestHeaders, HeaderEdits{})
	e.edits(o, "response_headers", r.ResponseHeaders, s.Unrouted.ResponseHeaders)
	e.fields(o, "headers", r.RequestHeaders.Set, true)
	if w := r.Rewrite; w != nil {
		rewrite := display{}
		for key, value := range map[string]string{"strip_prefix": w.StripPrefix, "add_prefix": w.AddPrefix, "path": w.Path} {
			if value != "" {
				rewrite[key] = value
			}
		}
		if w.HasQuery {
			rewrite["query"] = w.Query
		}
		o["rewrite"] = rewrite
	}
	switch {
	case r.Redirect != nil:
		o["redirect"] = display{"to": r.Redirect.To, "status": r.Redirect.Status}
	case r.Respond != nil:
		respond := display{"status": r.Respond.Status, "body": r.Respond.Body}
		e.fields(respond, "headers", r.Respond.Headers, false)
		o["respond"] = respond
	default:
		var to []display
		for _, t := range r.To {
			name, known := names[t.Group]
			if !known {
				for name = t.Group.Name; groups[name] != nil; {
					name += " of " + r.Name
				}
				names[t.Group], groups[name] = name, e.group(t.Group, s.Mode)
			}
			to = append(to, display{"group": name, "weight": t.Weight})
		}
		o["proxy_to"] = to
		return o
	}
	for _, key := range forHosts { // the route has no group
		delete(o, key)
	}
	return o
}

func (e *effective) match(m *Match) display {
	o := display{}
	for name, list := range map[string][]string{"host": m.Host, "path": m.Path, "path_prefix": m.PathPrefix, "path_regex": m.PathRegex, "method": m.Method, "sni": m.SNI, "scheme": m.Scheme} {
		if list != nil {
			o[name] = list
		}
	}
	if m.Client != nil {
		o["client"] = m.Client
	}
	if m.ListenPort != nil {
		o["listen_port"] = m.ListenPort
	}
	for name, list := range map[string][]FieldMatch{"header": m.Header, "query": m.Query, "cookie": m.Cookie} {
		fields := display{}
		for _, f := range list {
			switch {
			case f.Present != nil:
				fields[f.Name] = *f.Present
			case f.Regex != "":
				fields[f.Name] = display{"regex": e.unless(f.Name, f.Regex)}
			default:
				values := slices.Clone(f.Values)
				for i := range values {
					values[i] = e.unless(f.Name, values[i])
				}
				fields[f.Name] = values
			}
		}
		if len(list) > 0 {
			o[name] = fields
		}
	}
	return o
}

// edits sets the key of o to h, unless h is empty. Outer are the edits of the object around o, which o would inherit: null removes those that are
// not
// in h.
func (e *effective) edits(o display, key string, h, outer HeaderEdits) {
	edits := display{}
	e.fields(edits, "set", h.Set, false)
	e.fields(edits, "add", h.Add, false)
	if len(h.Remove) > 0 {
		edits["remove"] = h.Remove
	}
	if len(edits) > 0 {
		without(edits, "set", h.Set, outer.Set)
		without(edits, "add", h.Add, outer.Add)
		if len(h.Remove) == 0 && len(outer.Remove) > 0 {
			edits["remove"] = nil
		}
		o[key] = edits
	} else if len(outer.Set)+len(outer.Add)+len(outer.Remove) > 0 {
		o[key] = nil
	}
}

// without sets the fields of outer that are not in list to null, in a key of o.
func without(o display, key string, list, outer []Header) {
	fields, _ := o[key].(display)
	for _, h := range outer {
		if slices.ContainsFunc(list, func(mine Header) bool { return strings.EqualFold(mine.Name, h.Name) }) {
			continue
		}
		if fields == nil {
			fields = display{}
			o[key] = fields
		}
		fields[h.Name] = nil
	}
}

// fields sets the key of o to those fields of list that come from "headers", or to the others, if there are any.
func (e *effective) fields(o display, key string, list []Header, kroxy bool) {
	fields := display{}
	for _, h := range list {
		if h.Kroxy == kroxy {
			fields[h.Name] = e.unless(h.Name, h.Value)
		}
	}
	if len(fields) > 0 {
		o[key] = fields
	}
}

func (e *effective) group(g *Group, m Mode) display {
	in := m.modes()
	o := e.keys(ofGroup, in, &target{group: g})
	o["balancing_algo"] = g.Algorithm
	if g.HashKey != "" {
		o["hash_key"] = g.HashKey
	}
	if g.HealthCheck != nil {
		o["health_check"] = e.keys(ofHealthCheck, in, &target{check: g.HealthCheck})
	}
	o["passive_check"] = false
	if g.PassiveCheck.Enabled {
		o["passive_check"] = e.keys(ofPassiveCheck, in, &target{passive: &g.PassiveCheck})
	}
	if g.Queue.Size > 0 {
		o["queue"] = e.keys(ofQueue, in, &target{queue: &g.Queue})
	}
	o["retry"] = false
	if g.Retry.On.Connect {
		o["retry"] = e.keys(ofRetry, in, &target{retry: &g.Retry})
	}
	if g.Sticky != nil {
		o["sticky"] = e.keys(ofSticky, in, &target{sticky: g.Sticky})
	}
	o["proxy_tls_enabled"] = g.ProxyTLS.Enabled
	if t := g.ProxyTLS; t.Enabled {
		o["proxy_tls_verify"] = t.Verify
		for key, text := range map[string]string{
			"proxy_tls_ca_path": t.CAPath, "proxy_tls_server_name": t.ServerName,
			"proxy_tls_cert_path": t.KeyPair.CertPath, "proxy_tls_key_path": t.KeyPair.KeyPath,
		} {
			if text != "" {
				o[key] = text
			}
		}
	}
	o["hosts"] = each(g.Hosts, func(h *Host) display {
		host := e.keys(ofHost, in, &target{host: h})
		host["backup"] = h.Backup
		if !g.shares() && h.Weight > 0 {
			delete(host, "weight")
		}
		switch {
		case h.Unix != "":
			host["unix"] = h.Unix
		case h.Name != "":
			host["host"], host["port"] = h.Name, h.Port
		default:
			host["srv"] = h.SRV
			delete(host, "weight")
		}
		if h.Alias != "" {
			host["name"] = h.Alias
		}
		return host
	})
	return o
}

// secretWords occur in the names of secrets.
var secretWords = []string{"auth", "token", "secret", "passw", "credential", "apikey", "cookie", "session", "signature", "privatekey", "accesskey"}

// namesSecret reports whether a name suggests that its value is secret.
func namesSecret(name string) bool {
	name = fold(name)
	return slices.ContainsFunc(secretWords, func(w string) bool { return strings.Contains(name, w) })
}

// unless returns the value of a field, cookie or argument, or hidden if its name suggests that it is secret.
func (e *effective) unless(name, value string) string {
	if namesSecret(name) && value != "" {
		return hidden
	}
	return value
}

// secretValues returns the values of environment variables whose names suggest that they are secret.
func secretValues(env map[string]string) (list []string) {
	for name, value := range env {
		if value != "" && (namesSecret(name) || strings.HasSuffix(fold(name), "key") || strings.HasSuffix(fold(name), "pass")) {
			list = append(list, value)
		}
	}
	return list
}

// hide hides secrets in all texts.
func (e *effective) hide(key string, v any) any {
	switch v := v.(type) {
	case display:
		for k, inner := range v {
			v[k] = e.hide(k, inner)
		}
	case []display:
		for i := range v {
			e.hide(key, v[i])
		}
	case []string:
		list := make([]string, len(v)) // v may belong to the configuration
		for i := range v {
			list[i] = e.text(v[i])
		}
		return list
	case string:
		return e.text(v)
	}
	return v
}

// text returns a text without passwords of URLs and without secrets from the environment.
func (e *effective) text(s string) string {
	for _, secret := range e.secrets {
		s = strings.ReplaceAll(s, secret, hidden)
	}
	return urlPassword.ReplaceAllString(s, "${1}"+hidden+"@")
}

// urlPassword matches what precedes the host in a URL with a password, anywhere in a text. A password may contain "@".
var urlPassword = regexp.MustCompile(`(://[^/?#\s:@]*:)[^/?#\s]+@`)
