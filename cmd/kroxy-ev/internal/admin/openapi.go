package admin

import (
	"net/http"
	"reflect"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/goccy/go-json"
	"github.com/valyala/fasthttp"
)

// object is a JSON object of the document.
type object = map[string]any

// openAPIDocument returns the OpenAPI 3.1 description of the API, made from endpoints and the types of their answers.
var openAPIDocument = sync.OnceValue(func() []byte {
	types := schemas{}
	paths := object{}
	for pattern, e := range endpoints {
		path := pattern
		var parameters []object
		for _, name := range e.arguments {
			path = strings.Replace(path, "*", "{"+name+"}", 1)
			parameters = append(parameters, object{"name": name, "in": "path", "required": true, "schema": object{"type": "string"},
				"description": "percent-encoded; a slash is %2F"})
		}
		operation := object{"summary": e.summary, "operationId": strings.Trim(strings.Map(word, pattern), "_"), "responses": e.responses(types)}
		if parameters != nil {
			operation["parameters"] = parameters
		}
		if e.open {
			operation["security"] = []object{{}}
		}
		if e.method == fasthttp.MethodPost {
			operation["requestBody"] = object{"required": e.takes != nil, "content": object{jsonType: object{"schema": types.request(e.takes)}}}
		}
		paths[path] = object{strings.ToLower(e.method): operation}
	}
	text, err := json.MarshalIndent(object{
		"openapi": "3.1.0",
		"info": object{
			"title": "kroxy-ev", "version": "1",
			"description": "Shows and changes the state of a running kroxy-ev. The Host of a request must name this machine, and pages of other origins have no access. All error responses are an Error.",
		},
		"paths":    paths,
		"security": []object{{"token": []string{}}, {}},
		"components": object{
			"schemas":         types,
			"securitySchemes": object{"token": object{"type": "http", "scheme": "bearer", "description": "the token in token_file, if the configuration has one"}},
		},
	}, "", "  ")
	if err != nil {
		panic("admin: the OpenAPI document is not JSON: " + err.Error()) // it is made of strings
	}
	return append(text, '\n')
})

// word replaces the separators of a path in an operation's name.
func word(r rune) rune {
	if r == '/' || r == '.' || r == '*' {
		return '_'
	}
	return r
}

// responses describes the responses of e.
func (e *endpoint) responses(types schemas) object {
	ok := object{"description": "success"}
	if e.gives != nil {
		ok["content"] = object{jsonType: object{"schema": types.of(reflect.TypeOf(e.gives))}}
	} else {
		content := object{}
		for _, kind := range e.kinds {
			content[kind] = object{}
		}
		ok["content"] = content
	}
	all := object{"200": ok}
	failures := append([]int{fasthttp.StatusBadRequest, fasthttp.StatusForbidden, fasthttp.StatusMethodNotAllowed, fasthttp.StatusMisdirectedRequest, fasthttp.StatusInternalServerError}, e.failures...)
	if !e.open {
		failures = append(failures, fasthttp.StatusUnauthorized)
	}
	if e.method == fasthttp.MethodPost {
		failures = append(failures, fasthttp.StatusUnsupportedMediaType, fasthttp.StatusRequestEntityTooLarge, fasthttp.StatusUnprocessableEntity)
	}
	for _, status := range failures {
		all[strconv.Itoa(status)] = object{"description": strings.ToLower(http.StatusText(status)), "content": object{jsonType: object{"schema": types.of(reflect.TypeFor[Error]())}}}
	}
	return all
}

// schemas are the types in answers, by name.
type schemas object

// request returns the schema of a request body; what is nil if the body may be empty.
func (s schemas) request(what any) object {
	if what == nil {
		return object{"type": "object", "properties": object{}, "additionalProperties": false}
	}
	schema := s.structure(reflect.TypeOf(what))
	delete(schema, "required") // omitted fields stay unchanged
	schema["minProperties"] = 1
	return schema
}

// of returns the schema of a type.
func (s schemas) of(t reflect.Type) object {
	switch {
	case t == reflect.TypeFor[time.Time]():
		return object{"type": "string", "format": "date-time"}
	case t.Kind() == reflect.Pointer:
		return object{"anyOf": []object{s.of(t.Elem()), {"type": "null"}}}
	case t.Kind() == reflect.Slice:
		return object{"type": "array", "items": s.of(t.Elem())}
	case t.Kind() == reflect.Map:
		return object{"type": "object", "additionalProperties": s.of(t.Elem())}
	case t.Kind() == reflect.Struct:
		if s[t.Name()] == nil {
			s[t.Name()] = object{} // the type may contain itself
			s[t.Name()] = s.structure(t)
		}
		return object{"$ref": "#/components/schemas/" + t.Name()}
	case t.Kind() == reflect.Interface:
		return object{}
	case t.Kind() == reflect.String:
		return object{"type": "string"}
	case t.Kind() == reflect.Bool:
		return object{"type": "boolean"}
	case t.Kind() == reflect.Float64:
		return object{"type": "number"}
	}
	return object{"type": "integer"}
}

// structure returns the schema of the struct itself.
func (s schemas) structure(t reflect.Type) object {
	properties, required := object{}, []string{}
	for _, f := range reflect.VisibleFields(t) {
		name, options, _ := strings.Cut(f.Tag.Get("json"), ",")
		if f.Anonymous || !f.IsExported() || name == "-" {
			continue
		}
		if properties[name] = s.of(f.Type); options != "omitempty" {
			required = append(required, name)
		}
	}
	return object{"type": "object", "properties": properties, "required": required, "additionalProperties": false}
}
