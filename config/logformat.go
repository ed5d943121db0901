package config

import (
	"unicode/utf8"

	"kroxy-ev/logformat"
)

// formatLog decodes format_log: a format string, or an object of format strings.
func (o object) formatLog() (text string, fields []logformat.Field) {
	const key, example = "format_log", `{ "client": "$client_addr", "took": "$processing_time" }`
	n, path := o.child(key)
	if n == nil || n.kind != kindObject {
		if n != nil {
			o.variables(n, path)
		}
		if n == nil {
			return "", nil
		}
		return o.str(n, path), nil
	}
	if len(n.members) == 0 {
		o.fail(n, path, "there are no fields in it", "write "+example+`, or "json" for all fields`)
	}
	fields = []logformat.Field{}
	for i := range n.members {
		m := &n.members[i]
		if m.repeated {
			continue
		}
		at := keyPath(path, m.key)
		o.variables(&m.value, at)
		fields = append(fields, logformat.Field{Name: m.key, Format: o.str(&m.value, at)})
	}
	return "", fields
}

// variables checks the variables of a format string.
func (o object) variables(n *node, path string) { o.template(n, path, o.mode().LogMode()) }

// template checks that the variables of a string are known in that place.
func (o object) template(n *node, path string, place logformat.Mode) {
	if n.kind != kindString {
		return
	}
	format := n.text()
	// raw and pos advance through the format, so that even a long one is read only once.
	raw, pos, done := n.raw[1:], n.pos, 0
	if !n.fromEnv() {
		pos.column++
	}
	for from, to := range logformat.Variables(format) {
		if !n.fromEnv() {
			passed := rawLength(raw, from-done)
			pos.column += utf8.RuneCount(raw[:passed])
			raw, done = raw[passed:], from
		}
		if name := format[from+1 : to]; !logformat.Known(name, place) {
			what, remedy := unknownVariable(name, place)
			o.failAt(pos, path, what, remedy)
		}
	}
}

func unknownVariable(name string, place logformat.Mode) (what, remedy string) {
	known := logformat.Names(place)
	remedy = "the variables are " + list(withDollars(known))
	switch {
	case place == logformat.Stream && logformat.Known(name, logformat.HTTP), place == logformat.OnSession && logformat.Known(name, logformat.OnRequest):
		return quote("$"+name) + ` is known in "http" only`, remedy
	case logformat.Known(name, logformat.HTTP|logformat.Stream):
		return quote("$"+name) + " is not known yet when this is written", remedy
	}
	if ours := foreignVariables[name]; ours != "" && logformat.Known(ours, place) {
		return "unknown variable " + quote("$"+name), "here it is called " + quote("$"+ours)
	}
	if near := nearest(name, known); near != nil {
		remedy = didYouMean(withDollars(near))
	}
	return "unknown variable " + quote("$"+name), remedy
}

// foreignVariables maps nginx's variables to those of this program.
var foreignVariables = map[string]string{
	"remote_addr": "client_addr", "remote_port": "client_port", "realip_remote_addr": "client_addr", "uri": "path", "document_uri": "path",
	"args": "query", "query_string": "query", "server_protocol": "protocol", "time_local": "time_iso8601", "body_bytes_sent": "bytes_sent_downstream",
	"request_time": "processing_time", "ssl_protocol": "tls_version",
	"ssl_cipher": "tls_cipher", "ssl_server_name": "tls_sni", "ssl_client_s_dn": "tls_client_subject", "server_name": "server",
}

// mistaken warns of nginx's variables in a text where unknown variables are plain text, as in "headers": hosts would get the name.
func (o object) mistaken(n *node, path string) {
	if n.kind != kindString {
		return
	}
	format := n.text()
	for from, to := range logformat.Variables(format) {
		name := format[from+1 : to]
		if ours := foreignVariables[name]; ours != "" && !logformat.Known(name, logformat.Kroxy) && logformat.Known(ours, logformat.Kroxy) {
			o.warn(n.pos, path, quote("$"+name)+" is not a variable, so hosts get that text", "here it is called "+quote("$"+ours))
		}
	}
}

func withDollars(names []string) []string {
	out := make([]string, len(names))
	for i, name := range names {
		out[i] = "$" + name
	}
	return out
}

// rawLength returns how many bytes inside a string literal decode to the first n
// bytes of its text, where n is a length of whole characters.
func rawLength(raw []byte, n int) int {
	at := 0
	for n > 0 {
		size, decoded := 1, 1
		if raw[at] == '\\' {
			size = 2
			if raw[at+1] == 'u' {
				size = 6
				// Half of a surrogate pair alone decodes to U+FFFD, but together
				// with the other half to one character of 12 raw bytes.
				if pair := raw[at:min(at+12, len(raw))]; len(pair) == 12 && pair[6] == '\\' && pair[7] == 'u' &&
					utf8.RuneCountInString(unescape(pair)) == 1 {
					size = 12
				}
				decoded = len(unescape(raw[at : at+size]))
			}
		}
		at += size
		n -= decoded
	}
	return at
}

func unescape(raw []byte) string { return text([]byte(`"` + string(raw) + `"`)) }
