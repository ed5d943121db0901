package proxy

import (
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"syscall"
	"testing"

	"kroxy-ev/config"
	"kroxy-ev/engine"
)

func TestFileBudget(t *testing.T) {
	t.Parallel()
	for _, files := range []int{16, 48, 128, 1024, 20_000, 1 << 20, 1 << 24} {
		for _, reactors := range []int{1, 2, 8} {
			for _, limit := range []int{0, 1, 1000, 1 << 30} {
				for _, keep := range []int{0, 64, 1 << 40} {
					for _, listeners := range []int{1, 5, 100} {
						b := fileBudget(files, reactors, listeners, limit, keep)
						if b.connections < 1 || limit > 0 && b.connections > limit || b.files < 2*b.connections || b.idle > keep || b.idle < 0 {
							t.Errorf("%d files, %d reactors, %d listeners, limit %d, keep %d: %+v", files, reactors, listeners, limit, keep, b)
						}
						// A reactor has an epoll set, a timer, a wake-up descriptor and its own listening sockets.
						own := 3 + 2*listeners
						if used := b.files + (2*b.pipes+b.idle+2*b.spent+own)*reactors; files >= 128 && own*reactors < files/2 && used > files-16 {
							t.Errorf("%d files, %d reactors, %d listeners, limit %d, keep %d: %d files are given away", files, reactors, listeners, limit, keep, used)
						}
					}
				}
			}
		}
	}
	if b := fileBudget(1<<20, 1, 1, 0, 64); b.connections < 500_000 || b.pipes != maxPipes || b.idle != 64 {
		t.Errorf("a million files give %+v", b)
	}
}

// If what is configured does not fit, that is reported with a limit that is just sufficient.
func TestShortage(t *testing.T) {
	t.Parallel()
	for mode, more := range map[string]string{"stream": "", "http": `"upstream_keepalive":1000,`} {
		text := `{"` + mode + `":{"proxy_to":"a","servers":{"a":{"hosts":[{"host":"h","port":1}]}},` + more + `"max_connections":%d}}`
		for _, reactors := range []int{1, 2, 8} {
			for limit, files := range map[int]int{0: 128, 1: 16, 40: 1024, 1000: 1024, 100_000: 65536, 1 << 30: mostFiles} {
				cfg, _, err := config.Parse("f", fmt.Appendf(nil, text, limit))
				if err != nil {
					t.Fatal(err)
				}
				room := fileBudget(files, reactors, 1, limit, keepsIdle(cfg)).connections
				list := shortage(cfg, files, reactors, false)
				if limit <= room {
					if len(list) > 0 {
						t.Errorf("%d files, %d reactors, limit %d: %v", files, reactors, limit, list)
					}
					continue
				}
				if len(list) != 1 {
					t.Fatalf("%d files, %d reactors, limit %d: %v", files, reactors, limit, list)
				}
				want := fmt.Sprintf("%d connections do not fit into the limit of %d open files: %d are served at once, more wait", limit, files, room)
				if list[0].What != want || list[0].Path != mode+".max_connections" || !strings.HasSuffix(list[0].Remedy, fmt.Sprintf("write at most %d", room)) {
					t.Errorf("got %s, want %s", list[0], want)
				}
				enough := 0
				if n, _ := fmt.Sscanf(list[0].Remedy, "raise the limit to %d ", &enough); n != 1 {
					if limit < 1<<30 {
						t.Errorf("no remedy: %s", list[0])
					}
					continue
				}
				if more := shortage(cfg, enough, reactors, false); len(more) > 0 || len(shortage(cfg, enough-1, reactors, false)) != 1 {
					t.Errorf("%d reactors: %d files are not what it takes for %d connections: %v", reactors, enough, limit, more)
				}
			}
		}
	}
}

// File descriptors are reserved for health checks and the admin endpoint: as many as can be open at once, and none if nothing is checked, nor in
// workers.
func TestFilesForChecks(t *testing.T) {
	t.Parallel()
	for hosts, want := range map[int]int{1: 1, 3: 3, 300: 256} {
		list := strings.TrimSuffix(strings.Repeat(`{"host":"h","port":1},`, hosts), ",")
		for check, want := range map[string]int{"true": want, "false": 0} {
			text := fmt.Sprintf(`{"http":{"proxy_to":"a","health_check":%s,"servers":{"a":{"hosts":[%s]},"unused":{"hosts":[%[2]s]}}}}`, check, list)
			cfg, _, err := config.Parse("f", []byte(text))
			if err != nil {
				t.Fatal(err)
			}
			for _, admin := range []int{0, 2, 300} {
				cfg.Admin = []config.Admin{{Listen: make([]config.Listen, admin)}}
				want := 1024 - want - min(admin*(AdminConnections+3), 1024/8)
				if free := freeFiles(cfg, 1024, false); free != want {
					t.Errorf("%d hosts, health_check %s, %d listeners of admin: %d of 1024 files are free, want %d", hosts, check, admin, free, want)
				}
				if free := freeFiles(cfg, 1024, true); free != 1024 {
					t.Errorf("%d of 1024 files are free in a worker", free)
				}
			}
		}
	}
}

func TestPauseLogIsQuiet(t *testing.T) {
	t.Parallel()
	for reason, remedy := range map[error]string{engine.ErrLimit: "raise max_connections", syscall.EMFILE: "raise the limit on open files"} {
		var out strings.Builder
		p := pauseLog{log: slog.New(slog.NewTextHandler(&out, nil)), limit: 7}
		for range 1000 {
			p.report(reason)
		}
		if n := strings.Count(out.String(), "\n"); n != 1 {
			t.Errorf("%d lines for 1000 pauses, want 1", n)
		}
		for _, part := range []string{remedy, "max_connections=7", reason.Error()} {
			if !strings.Contains(out.String(), part) {
				t.Errorf("the line lacks %q: %s", part, out.String())
			}
		}
		p.last = p.last.Add(-quietPauses)
		if p.report(errors.New("again")); strings.Count(out.String(), "\n") != 2 || !strings.Contains(out.String(), "pauses=1000") {
			t.Errorf("the next line does not tell of the 1000 pauses since: %s", out.String())
		}
	}
}
