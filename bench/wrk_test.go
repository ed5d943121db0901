package bench

import (
	"testing"
	"time"
)

func TestParseWrk(t *testing.T) {
	t.Parallel()
	const head = `Running 2s test @ http://127.0.0.1:8080/
  1 threads and 64 connections
  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency     2.53ms    1.21ms  44.12ms   97.31%
    Req/Sec    25.43k     1.73k   28.60k    85.00%
`
	const tail = `Requests/sec:  25221.80
Transfer/sec:      4.01MB
`
	for name, tc := range map[string]struct {
		in   string
		want result
		bad  bool
	}{
		"plain":    {in: head + "  50586 requests in 2.01s, 8.05MB read\n" + tail, want: result{Ops: 50586, Bytes: 8441036, Elapsed: 2010 * time.Millisecond}},
		"minutes":  {in: head + "  7 requests in 1.50m, 8.05MB read\n" + tail, want: result{Ops: 7, Bytes: 8441036, Elapsed: 90 * time.Second}},
		"millis":   {in: head + "  7 requests in 950.00ms, 8.05KB read\n" + tail, want: result{Ops: 7, Bytes: 8243, Elapsed: 950 * time.Millisecond}},
		"sockets":  {in: head + "  10 requests in 1.00s, 1.00KB read\n  Socket errors: connect 1, read 20, write 300, timeout 4000\n" + tail, want: result{Ops: 10, Bytes: 1024, Errors: 4321, Elapsed: time.Second, Failure: "  Socket errors: connect 1, read 20, write 300, timeout 4000"}},
		"statuses": {in: head + "  10 requests in 1.00s, 1.00KB read\n  Non-2xx or 3xx responses: 3\n" + tail, want: result{Ops: 7, Bytes: 1024, Errors: 3, Elapsed: time.Second, Failure: "  Non-2xx or 3xx responses: 3"}},
		"bytes":    {in: head + "  7 requests in 1.00s, 512.00B read\n" + tail, want: result{Ops: 7, Bytes: 512, Elapsed: time.Second}},
		"nothing":  {in: head + "  0 requests in 1.00s, 0.00B read\n" + tail, bad: true},
		"only bad": {in: head + "  3 requests in 1.00s, 1.00KB read\n  Non-2xx or 3xx responses: 3\n" + tail, bad: true},
		"refused":  {in: "unable to connect to 127.0.0.1:1 Connection refused\n", bad: true},
		"empty":    {in: "", bad: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := parseWrk(tc.in)
			if (err != nil) != tc.bad {
				t.Fatalf("error %v, want one: %v", err, tc.bad)
			}
			if !tc.bad && got != tc.want {
				t.Errorf("got %+v, want %+v", got, tc.want)
			}
		})
	}
}
