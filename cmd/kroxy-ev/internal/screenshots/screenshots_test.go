package screenshots

import (
	"flag"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/goccy/go-json"

	"kroxy-ev/cmd/kroxy-ev/internal/admin"
	"kroxy-ev/cmd/kroxy-ev/internal/browsertest"
	"kroxy-ev/cmd/kroxy-ev/internal/service"
	"kroxy-ev/cmd/kroxy-ev/internal/top"
)

var (
	program = flag.String("program", "", "kroxy-ev, which is shown")
	to      = flag.String("to", "", "the directory of the pictures")
	lasts   = flag.Duration("for", 150*time.Second, "how long there is traffic before they are taken")
)

// The size of the screenshots: of the terminal in characters, of the page in pixels.
const (
	columns, rows = 110, 20
	width, height = 1200, 900
)

func TestScreenshots(t *testing.T) {
	if *to == "" {
		t.Skip("no pictures are wanted; make screenshots takes them")
	}
	browser := browsertest.Start(t)
	s := startScene(t, *program)
	tab := browser.Open(t, s.page, width, height)
	screen := watch(t, s.config)
	picture := browsertest.Get(tab, chromedp.CaptureScreenshot())
	for name, content := range map[string][]byte{"dashboard.png": picture, "top.svg": []byte(svg(screen, columns, rows))} {
		if len(content) > 200_000 {
			t.Errorf("%s has %d bytes; the repository keeps each of its versions", name, len(content))
		}
		if err := os.WriteFile(filepath.Join(*to, name), content, 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// watch observes the program for a while, and returns the final screen of "kroxy-ev top".
func watch(t *testing.T, config string) string {
	t.Helper()
	m := top.New(nil, time.Second).Sized(columns, rows)
	for end := time.Now().Add(*lasts); time.Now().Before(end); time.Sleep(time.Second) {
		text, _, err := service.Status(config)
		var s *admin.Status
		if err == nil {
			err = json.Unmarshal(text, &s)
		}
		if err != nil {
			t.Fatal(err)
		}
		m = m.Fed(top.Sample{Status: s, At: time.Now()})
	}
	return m.Text()
}
