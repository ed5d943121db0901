package main_test

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"kroxy-ev/cmd/kroxy-ev/internal/browsertest"
)

// The page of the real program in a real browser. Package admin/dashboard tests what the page shows.
func TestDashboard(t *testing.T) {
	t.Parallel()
	browser := browsertest.Start(t)
	token := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(token, []byte("s3cret\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	goes := endpoint{"127.0.0.1", reservePort(t)}
	ln, err := net.Listen("tcp4", fmt.Sprintf("127.0.0.1:%d", goes.Port))
	if err != nil {
		t.Fatal(err)
	}
	dying := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "B") })}
	go func() { _ = dying.Serve(ln) }()
	t.Cleanup(func() { _ = dying.Close() })
	stays := serve(t, "127.0.0.1", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "A") })

	port := reservePort(t)
	p := start(t, setup{mode: "http", multi: true, hosts: append(endpoints(stays), goes), settings: settings{
		"workers_num": 2, "admin": map[string]any{"listen": []any{map[string]any{"port": port}}, "token_file": token},
	}})
	stop := make(chan struct{})
	var clients sync.WaitGroup
	clients.Go(func() {
		c := p.client()
		for {
			select {
			case <-stop:
				return
			case <-time.After(10 * time.Millisecond):
				if res, err := c.Get(p.url("/")); err == nil {
					_, _ = io.Copy(io.Discard, res.Body)
					_ = res.Body.Close()
				}
			}
		}
	})
	t.Cleanup(func() {
		close(stop)
		clients.Wait()
	})

	tab := browser.Open(t, fmt.Sprintf("http://127.0.0.1:%d/", port), 1280, 900)
	tab.Expect("401")
	tab.Until("it asks for the token", `document.querySelector('#token').open && document.activeElement.id === 'token-value'`)
	tab.Type("s3cret\r")
	tab.Until("it is live", `document.querySelector('#live-text').textContent === 'live'`)
	tab.Until("both hosts are up", `document.querySelector('#summary-text').textContent === 'All 2 hosts are up.'`)
	tab.Until("there are rates", `/^[1-9]/.test(document.querySelector('.tile .value').textContent)`)
	for _, want := range []string{fmt.Sprint(p.pid()), fmt.Sprintf("0.0.0.0:%d", p.port), p.file, "2 workers", "backend"} {
		if text := browsertest.Value[string](tab, "document.body.textContent"); !strings.Contains(text, want) {
			t.Errorf("the page does not show %q", want)
		}
	}

	row := func(e endpoint) string {
		return fmt.Sprintf(`[...document.querySelectorAll('#hosts-table tbody tr')].find((r) => r.querySelector('th').textContent.startsWith('%s:%d')).textContent`, e.Host, e.Port)
	}
	tab.Click(fmt.Sprintf("Drain 127.0.0.1:%d in backend", stays.Port))
	tab.Until("it drains", row(stays.endpoint)+`.includes('drain')`)
	tab.Click(fmt.Sprintf("Undrain 127.0.0.1:%d in backend", stays.Port))
	tab.Until("it serves again", row(stays.endpoint)+`.includes('up')`)
	tab.Write(fmt.Sprintf("Weight of 127.0.0.1:%d in backend", stays.Port), "5")
	tab.Until("its weight is known", fmt.Sprintf(`document.querySelector('#log').textContent.includes('127.0.0.1:%d of backend has weight 5 (was 1)')`, stays.Port))

	killed := time.Now()
	_ = dying.Close()
	tab.Until("the killed host is down", row(goes)+`.includes('down') && `+row(goes)+`.includes('connections to it fail')`)
	t.Logf("down %.1f s after it was killed", time.Since(killed).Seconds())

	outcome := `document.querySelector('#reload-outcome').textContent`
	p.replace([]byte("{\n  \"http\": { \"port\": 70000 }\n}\n"))
	tab.Expect("422")
	tab.Click("Reload…")
	tab.Click("Reload")
	tab.Until("the reload is refused", outcome+`.includes('line 2') && `+outcome+`.includes('http.port')`)
	p.rewrite(setup{mode: "http", hosts: append(endpoints(stays), goes), settings: settings{
		"workers_num": 2, "read_timeout": 54321, "admin": map[string]any{"listen": []any{map[string]any{"port": port}}, "token_file": token},
	}})
	tab.Click("Reload")
	tab.Until("the reload is taken up", outcome+`.includes('Applied') && `+outcome+`.includes('read_timeout')`)
	tab.Click("Close")
	tab.Until("it is in the history", `document.querySelector('#reloads-table').textContent.includes('applied')`)
}
