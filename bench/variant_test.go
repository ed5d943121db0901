package bench

import (
	"reflect"
	"testing"
)

func TestVariants(t *testing.T) {
	t.Parallel()
	var all variants
	for s, want := range map[string]*variant{
		"old ../../old":                   {name: "old", tree: "../../old"},
		"pgo-off -pgo=off GOGC=100 -race": {name: "pgo-off", build: []string{"-pgo=off", "-race"}, env: []string{"GOGC=100"}},
		"same":                            {name: "same"},
		"":                                nil,
		"kroxy-ev GOGC=100":               nil,
		"bad word":                        nil,
	} {
		before := len(all)
		err := all.Set(s)
		switch {
		case want == nil:
			if err == nil || len(all) != before {
				t.Errorf("%q: no error, %+v", s, all)
			}
		case err != nil || !reflect.DeepEqual(all[before], *want):
			t.Errorf("%q: error %v, %+v; want %+v", s, err, all[before:], *want)
		}
	}
	if err := all.Set("same GOGC=50"); err == nil {
		t.Error("two variants have one name")
	}
}
