package bench

import (
	"reflect"
	"strings"
	"testing"
	"time"
)

func TestParseH2load(t *testing.T) {
	t.Parallel()
	const report = `starting benchmark...
Application protocol: h2

finished in 1.02s, 3698.00 req/s, 310.96KB/s
requests: 3698 total, 3826 started, 3698 done, 3698 succeeded, 0 failed, 0 errored, 0 timeout
status codes: 3698 2xx, 0 3xx, 0 4xx, 0 5xx
traffic: 310.96KB (318420) total, 176.96KB (181202) headers (space savings 50.51%), 68.62KB (70262) data
                     min         max         mean         sd        +/- sd
time for request:     3.73ms    101.46ms     33.50ms     23.33ms    81.34%
`
	good := result{Ops: 3698, Bytes: 70262, Elapsed: 1020 * time.Millisecond}
	redirected, failed := good, good
	redirected.Ops, redirected.Errors = 3690, 8
	failed.Ops, failed.Errors = 3688, 10
	for name, tc := range map[string]struct {
		old, new string
		want     result
		bad      bool
	}{
		"as it is":   {"", "", good, false},
		"redirected": {"codes: 3698 2xx, 0", "codes: 3690 2xx, 8", redirected, false},
		"failed":     {"3698 succeeded, 0 failed, 0", "3688 succeeded, 10 failed, 3", failed, false},
		"nothing":    {"3698 succeeded", "0 succeeded", result{}, true},
		"cut":        {"traffic", "", result{}, true},
		"huge":       {"(70262)", "(99999999999999999999)", result{}, true},
		"time":       {"in 1.02s", "in 1.0.2s", result{}, true},
	} {
		got, err := parseH2load(strings.Replace(report, tc.old, tc.new, 1))
		if (err != nil) != tc.bad {
			t.Errorf("%s: %v", name, err)
		}
		if (got.Failure != "") != (got.Errors > 0) {
			t.Errorf("%s: %d errors, %q", name, got.Errors, got.Failure)
		}
		if got.Failure = ""; !tc.bad && !reflect.DeepEqual(got, tc.want) {
			t.Errorf("%s: %+v, want %+v", name, got, tc.want)
		}
	}
}

// h2load sends the requests that the rows describe, and what it would negotiate with a server is known.
func TestH2load(t *testing.T) {
	t.Parallel()
	h := &harness{h2load: find("h2load"), dir: t.TempDir()}
	if err := needsH2load(h); err != nil {
		t.Skip(err)
	}
	var err error
	if h.cores, err = splitCores(); err != nil {
		t.Fatal(err)
	}
	for _, secure := range []bool{false, true} {
		addr := h2Host(t, secure, answerH2)
		if secure {
			if err := h.checkH2load(addr); err != nil {
				t.Error(err)
			}
		}
		for name, e := range map[string]h2Exchange{"small": h2Small, "unary": h2Unary} {
			j := job{TLS: secure, Addr: addr, Conns: 2, Streams: 4, H2: e}
			r, err := atLeast(8, lasting(j, func(j job) (result, error) { return calls(h, j) }))
			if err != nil || r.Errors > 0 || r.Ops < 8 {
				t.Errorf("%s, TLS %v: %+v, %v", name, secure, r, err)
			}
			if err := r.checkSize(e.Size, 8); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
}
