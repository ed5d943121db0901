package bench

import (
	"testing"
)

func TestParseRollup(t *testing.T) {
	t.Parallel()
	const real = "00400000-7fff0000 ---p 00000000 00:00 0    [rollup]\nRss:        2048 kB\nPss:        1000 kB\nPss_Anon:    900 kB\n"
	if m, err := parseRollup(real); err != nil || m != (memory{pss: 1000 << 10, rss: 2048 << 10}) {
		t.Errorf("got %+v, %v", m, err)
	}
	for _, bad := range []string{"", "Rss: 1 kB\n", "Rss: 1 kB\nPss: x kB\n", "Rss: 1 kB\nPss_Anon: 1 kB\n"} {
		if m, err := parseRollup(bad); err == nil {
			t.Errorf("parseRollup(%q) = %+v, want an error", bad, m)
		}
	}
}
