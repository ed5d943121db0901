package readout

import (
	"reflect"
	"strconv"
	"strings"
)

// Line returns a text as one line, without characters that could control a terminal.
func Line(text string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\n' || r == '\t':
			return ' '
		case !strconv.IsPrint(r):
			return -1
		}
		return r
	}, text)
}

// Clean applies Line to all texts in what v points to: structs, lists and pointers. Maps are left alone.
func Clean(v any) { clean(reflect.ValueOf(v).Elem()) }

func clean(v reflect.Value) {
	switch v.Kind() {
	case reflect.String:
		v.SetString(Line(v.String()))
	case reflect.Pointer:
		if !v.IsNil() {
			clean(v.Elem())
		}
	case reflect.Slice:
		for i := range v.Len() {
			clean(v.Index(i))
		}
	case reflect.Struct:
		for i := range v.NumField() {
			if v.Type().Field(i).IsExported() {
				clean(v.Field(i))
			}
		}
	}
}
