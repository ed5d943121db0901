package config

import (
	"regexp"
	"slices"

	"github.com/goccy/go-json"
)

// schema is a JSON Schema, draft 2020-12.
type schema map[string]any

// Schema returns the JSON Schema (draft 2020-12) of configuration files. It does
// not express constraints between values, or those that depend on
// the machine.
func Schema() []byte {
	s := objectSchema(placeOf(ofFile, inBoth))
	s["$schema"] = "https://json-schema.org/draft/2020-12/schema"
	s["title"] = "kroxy-ev configuration"
	defs := schema{}
	for _, p := range places {
		if p.level != ofFile {
			defs[p.id()] = objectSchema(p)
		}
	}
	s["$defs"] = defs
	s["anyOf"] = []schema{{"required": []string{"http"}}, {"required": []string{"stream"}}, {"required": []string{"include"}}}
	text, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		panic("config: the schema is not JSON: " + err.Error()) // cannot happen: it is made of strings and numbers
	}
	return append(text, '\n')
}

// id returns the name of p in a schema.
func (p *place) id() string {
	names := map[level]string{
		ofServer: "server", ofRoute: "route", ofGroup: "group", ofHost: "host", ofListen: "listen", ofMatch: "match", ofField: "field",
		ofTarget: "target", ofRedirect: "redirect", ofRespond: "respond", ofRewrite: "rewrite", ofEdits: "edits", ofCertificate: "certificate",
		ofHealthCheck: "health_check", ofPassiveCheck: "passive_check", ofQueue: "queue", ofRetry: "retry", ofSticky: "sticky", ofHTTP2: "http2", ofResolver: "resolver",
		ofLogIf: "log_if", ofSyslog: "syslog", ofTracing: "tracing", ofAdmin: "admin", ofAdminListen: "admin_listen",
	}
	switch {
	case p.twin() == nil:
		return names[p.level]
	case p.modes == inHTTP:
		return "http_" + names[p.level]
	default:
		return "stream_" + names[p.level]
	}
}

// insecure matches keys that look like security settings. It covers most of what
// looksSecure does, as far as patterns can.
const insecure = `(^|[_-])(m?tls|ssl|allow|deny|auth($|[^o]|o($|[^r])|ori))|verify|user|proxy_?(tls|ssl)`

func objectSchema(p *place) schema {
	properties := schema{}
	for _, k := range p.keys {
		if _, there := properties[k.name]; !there {
			v := k.form.schema(p.modes)
			if p.isSection() || p.level == ofEdits || p.level == ofRewrite || k.upTo < p.level && k.of != ofProcess {
				v = anyOf(v, schema{"type": "null"}) // null removes what outer objects have
			}
			v["description"] = plain(k.doc)
			if usual := plainDefault(k.form); usual != nil {
				v["default"] = usual
			}
			properties[k.name] = v
		}
	}
	s := schema{"type": "object", "properties": properties}
	names := p.names()
	if p.strict {
		s["patternProperties"] = schema{"^[_/#$]": true}
		s["additionalProperties"] = false
	} else {
		s["propertyNames"] = anyOf(schema{"enum": names}, schema{"pattern": "^[_/#$]"}, schema{"not": schema{"pattern": insecure}})
	}
	switch p.level {
	case ofTracing:
		s["required"] = []string{"otlp_http"}
	case ofHost:
		s["oneOf"] = []schema{{"required": []string{"host", "port"}, "not": hasAny("unix", "srv")},
			{"required": []string{"unix"}, "not": hasAny("host", "port", "srv")}, {"required": []string{"srv"}, "not": hasAny("host", "port", "unix", "weight")}}
	case ofAdmin:
		s["required"] = []string{"listen"}
	case ofListen, ofAdminListen:
		s["oneOf"] = []schema{{"required": []string{"port"}, "not": hasAny("unix", "mode")}, {"required": []string{"unix"}, "not": hasAny("port", "address", "ipv6_only")}}
	case ofGroup:
		s["required"] = []string{"hosts"}
	case ofTarget:
		s["required"] = []string{"group"}
	case ofField:
		s["required"] = []string{"regex"}
	case ofRedirect:
		s["required"] = []string{"to"}
	case ofRoute, ofServer:
		s["oneOf"] = exactlyOneOf(p)
	}
	return s
}

// plainDefault returns the default of a value in the form that it has in a file;
// nil if there is none.
func plainDefault(f form) any {
	switch f := f.(type) {
	case boolean:
		return f.usual
	case duration:
		if f.usual >= f.low {
			return f.usual
		}
	case size:
		return f.usual
	case worded:
		if f.usual != "" {
			return f.usual
		}
	case sameSite:
		return f.fallback()
	case integer:
		if f.usual >= f.low {
			return f.usual
		}
	case logLevel:
		return f.usual
	case algorithm:
		return f.usual
	case setHost:
		return f.usual
	case protocol:
		return f.usual
	case keepalive:
		return "auto"
	}
	return nil
}

// exactlyOneOf returns the schemas of which a route or a server must match exactly one.
func exactlyOneOf(p *place) []schema {
	var all []schema
	what := actions
	if p.level == ofServer {
		what = append(slices.Clip(what), "routes")
	}
	for _, a := range what {
		if p.key(a) != nil {
			all = append(all, schema{"required": []string{a}})
		}
	}
	return all
}

// hasAny returns the schema of objects with any of these keys.
func hasAny(keys ...string) schema {
	var list []schema
	for _, k := range keys {
		list = append(list, schema{"required": []string{k}})
	}
	return anyOf(list...)
}

func anyOf(list ...schema) schema { return schema{"anyOf": list} }

func ref(l level, m modes) schema { return schema{"$ref": "#/$defs/" + placeOf(l, m).id()} }

// plain returns Markdown without links.
func plain(markdown string) string { return links.ReplaceAllString(markdown, "$1") }

var links = regexp.MustCompile(`\[([^]]*)\]\([^)]*\)`)

// Schemas of custom forms.

func serversSchema(m modes) func(modes) schema {
	return func(modes) schema {
		return anyOf(ref(ofServer, m), schema{"type": "array", "items": ref(ofServer, m), "minItems": 1})
	}
}

func adminSchema(m modes) schema {
	return anyOf(ref(ofAdmin, m), schema{"type": "array", "items": ref(ofAdmin, m), "minItems": 1}, schema{"const": false}, schema{"type": "null"})
}

func arrayOf(l level) func(modes) schema {
	return func(m modes) schema { return schema{"type": "array", "items": ref(l, m), "minItems": 1} }
}

func objectOf(l level) func(modes) schema {
	return func(m modes) schema { return anyOf(ref(l, m)) }
}

func oneOrMore(one func(modes) schema) func(modes) schema {
	return func(m modes) schema { return anyOf(one(m), schema{"type": "array", "items": one(m), "minItems": 1}) }
}

// anySchema is for a label that Kroxy never read, so that existing files may have anything there.
func anySchema(modes) schema { return schema{} }

// certificatesSchema is for a list that may be empty, because certificates can be given in another way.
func certificatesSchema(m modes) schema {
	return schema{"type": "array", "items": ref(ofCertificate, m)}
}

func textSchema(modes) schema { return schema{"type": "string"} }

func textsSchema(m modes) schema { return oneOrMore(textSchema)(m) }

func groupsSchema(m modes) schema {
	return schema{"type": "object", "additionalProperties": ref(ofGroup, m), "minProperties": 1}
}

func hostsSchema(m modes) schema { return arrayOf(ofHost)(m) }

func formatLogSchema(modes) schema {
	return anyOf(schema{"type": "string"}, schema{"type": "object", "additionalProperties": schema{"type": "string"}, "minProperties": 1})
}

// fieldsSchema is for header fields: names and values; null removes a field.
func fieldsSchema(modes) schema {
	return schema{
		"type": "object", "propertyNames": schema{"pattern": "^[!#$%&'*+.^_`|~0-9A-Za-z-]+$"},
		"additionalProperties": anyOf(schema{"type": "string", "pattern": "^[^\u0000-\u0008\u000a-\u001f\u007f]*$"}, schema{"type": "null"}),
	}
}

func proxyToSchema(m modes) schema {
	return anyOf(schema{"type": "string", "minLength": 1}, schema{"type": "array", "items": ref(ofTarget, m), "minItems": 1})
}

func pathSchema(modes) schema { return schema{"type": "string", "pattern": "^/[^?#]*$|" + reference} }

func schemeSchema(modes) schema { return schema{"enum": []string{"http", "https"}} }

func portsSchema(m modes) schema {
	return oneOrMore(func(m modes) schema { return portForm(required).schema(m) })(m)
}

func modeSchema(modes) schema {
	return schema{"type": "string", "pattern": "^0?[0-7]{1,3}$|" + reference}
}

func redirectStatusSchema(modes) schema {
	return anyOf(schema{"enum": []int{301, 302, 303, 307, 308}}, schema{"type": "string", "pattern": reference})
}

func fieldsOfMatchSchema(m modes) schema {
	return schema{"type": "object", "minProperties": 1, "additionalProperties": anyOf(
		schema{"type": "boolean"}, textsSchema(m), ref(ofField, m))}
}
