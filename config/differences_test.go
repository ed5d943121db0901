package config

import (
	"reflect"
	"testing"
)

// Each reported difference is named by a key of the file.
func TestDifferencesNameKeys(t *testing.T) {
	t.Parallel()
	names := make(map[string]bool)
	for _, k := range keys {
		names[k.name] = true
	}
	seen := make(map[reflect.Type]bool)
	var look func(s reflect.Type)
	look = func(s reflect.Type) {
		if s.Kind() == reflect.Pointer {
			s = s.Elem()
		}
		if s.Kind() != reflect.Struct || seen[s] || !known(s) {
			return
		}
		seen[s] = true
		for f := range s.Fields() {
			id := s.Name() + "." + f.Name
			if !f.IsExported() || notCompared[id] || f.Type == reflect.TypeFor[[]byte]() {
				continue
			}
			if key := fieldKey(id, f.Name); !f.Anonymous && key != "" && !names[key] {
				t.Errorf("%s is told as %q, and there is no such key", id, key)
			}
			look(f.Type)
		}
	}
	for _, of := range []any{Config{}, Server{}, Listen{}, Route{}, Group{}, Host{}} {
		look(reflect.TypeOf(of))
	}
}
