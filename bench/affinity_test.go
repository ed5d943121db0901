package bench

import (
	"testing"
)

func TestSplitCores(t *testing.T) {
	t.Parallel()
	c, err := splitCores()
	if err != nil {
		t.Fatal(err)
	}
	if !c.pinned {
		if c.proxy != c.rest {
			t.Error("one CPU, and not shared")
		}
		return
	}
	if c.proxy.Count() != 1 || c.rest.Count() < 1 {
		t.Fatalf("proxy has %d CPUs, the rest %d", c.proxy.Count(), c.rest.Count())
	}
	for cpu := range 1024 {
		if c.proxy.IsSet(cpu) && c.rest.IsSet(cpu) {
			t.Errorf("CPU %d is in both", cpu)
		}
	}
}
