package config

import (
	"fmt"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// numbered returns n times a text, with the number of each in place of "#", and commas between them.
func numbered(n int, text string) string {
	var b strings.Builder
	for i := range n {
		if i > 0 {
			b.WriteString(",\n")
		}
		b.WriteString(strings.ReplaceAll(text, "#", strconv.Itoa(i)))
	}
	return b.String()
}

// cpu returns the CPU time that this process has used.
func cpu(t *testing.T) time.Duration {
	t.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		t.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// A file that is 32 times as long takes some 32 times as long, not 1024 times. The test compares CPU times and runs alone (no test here is
// parallel), so
// other processes and the race detector hardly matter.
func TestScale(t *testing.T) {
	const groupB = `"servers":{"b":{"hosts":[{"host":"h","port":1}]}}`
	for _, c := range []struct {
		name string
		n    int // of the short file
		make func(n int) Source
	}{
		{"routes", 150, func(n int) Source {
			return Source{Text: []byte(`{"http":{"headers":{"A":"$host"},"routes":[` + numbered(n, `{"match":{"host":"h#.example","path_prefix":"/p/"},"proxy_to":"b","proxy_read_timeout":5}`) + `]},` + groupB + `}`)}
		}},
		{"groups", 150, func(n int) Source {
			return Source{Text: []byte(`{"http":{"routes":[` + numbered(n, `{"match":{"path":"/#"},"proxy_to":"g#"}`) + `]},"servers":{` + numbered(n, `"g#":{"hosts":[{"host":"h","port":1}]}`) + `}}`)}
		}},
		{"uses of a group", 150, func(n int) Source {
			return Source{Text: []byte(`{"http":{"routes":[` + numbered(n, `{"match":{"path":"/#"},"proxy_to":"b","connect_timeout":#}`) + `]},` + groupB + `}`)}
		}},
		{"hosts and routes", 100, func(n int) Source {
			return Source{Text: []byte(`{"http":{"routes":[` + numbered(n, `{"match":{"path":"/#"},"proxy_to":"b"}`) + `]},"servers":{"b":{"hosts":[` + numbered(n, `{"host":"10.0.0.1","port":8080}`) + `]}}}`)}
		}},
		{"members below a long key", 600, func(n int) Source {
			return Source{Text: []byte(`{"http":{"proxy_to":"b","_note":{"` + strings.Repeat("k", 10*n) + `":{` + numbered(n, `"#":1`) + `}}},` + groupB + `}`)}
		}},
		{"includes", 100, func(n int) Source {
			s := Source{Text: []byte(`{"include":"*.json","http":{"port":1,"routes":[]}}`), Included: map[string][]byte{}, Found: map[string][]string{}}
			for i := range n {
				name := fmt.Sprintf("%d.json", i)
				s.Found["*.json"] = append(s.Found["*.json"], name)
				s.Included[name] = []byte(fmt.Sprintf(`{"servers":{"g%d":{"hosts":[{"host":"h","port":1}]}},"http":{"routes":[{"match":{"path":"/%d"},"proxy_to":"g%d"}]}}`, i, i, i))
			}
			return s
		}},
		{"redirects", 100, func(n int) Source {
			return Source{Text: []byte(`{"http":{"routes":[` + numbered(n, `{"match":{"path_prefix":"/p#","path_regex":"/p#.*"},"redirect":{"to":"/p#/x"}}`) + `]}}`)}
		}},
		{"chain of redirects", 100, func(n int) Source {
			list := make([]string, n)
			for i := range list {
				list[i] = fmt.Sprintf(`{"match":{"path":"/%d"},"redirect":{"to":"/%d"}}`, i, i+1)
			}
			return Source{Text: []byte(`{"http":{"routes":[` + strings.Join(list, ",") + `]}}`)}
		}},
		{"mistakes", 1000, func(n int) Source {
			return Source{Text: []byte(`{"http":{"proxy_to":"b","servers":{"b":{"hosts":[` + numbered(n, `#`) + `]}}}}`)}
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			const times, most = 32, 6 * 32
			took := func(n int) time.Duration {
				s := c.make(n)
				s.Path = "f"
				begin := cpu(t)
				if cfg, _, err := s.Parse(); err == nil {
					for i := range min(n, 1000) { // problems that are found later
						cfg.Problem("http.routes["+strconv.Itoa(n-1-i)+"].match", "w", "r")
					}
				}
				return cpu(t) - begin
			}
			took(c.n)
			short := max(min(took(c.n), took(c.n)), 2*time.Millisecond)
			long := took(times * c.n)
			if long > most*short { // it may include a garbage collection
				long = min(long, took(times*c.n))
			}
			if long > most*short {
				t.Errorf("%v, and %v for a file that is %d times as long", short, long, times)
			}
		})
	}
}
