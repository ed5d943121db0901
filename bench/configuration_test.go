package bench

import (
	"reflect"
	"testing"
)

func TestKeepConfiguration(t *testing.T) {
	t.Parallel()
	h := &harness{}
	p := peer{name: "a", mode: modeHTTP}
	h.keepConfiguration(p, "x", command{argv: []string{"run", "it"}, env: []string{"A=1"}}, []byte("first"))
	h.keepConfiguration(p, "x", command{}, []byte("second"))
	h.keepConfiguration(p, "y", command{}, []byte("other file"))
	p.mode = modeHTTPS
	h.keepConfiguration(p, "x", command{}, []byte("other mode"))
	want := []configuration{{modeHTTP, "a", "x", "A=1 run it", "first"}, {modeHTTP, "a", "y", "", "other file"}, {modeHTTPS, "a", "x", "", "other mode"}}
	if !reflect.DeepEqual(h.configurations, want) {
		t.Errorf("kept %+v", h.configurations)
	}
}
