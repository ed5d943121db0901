package dashboard_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/accessibility"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"

	"kroxy-ev/cmd/kroxy-ev/internal/admin"
	"kroxy-ev/cmd/kroxy-ev/internal/browsertest"
)

// live is true once a status is shown.
const live = `document.querySelector('#live-text').textContent === 'live'`

// row is a JavaScript expression for the text of a host's row.
func row(host string) string {
	return fmt.Sprintf(`[...document.querySelectorAll('#hosts-table tbody tr')].find((r) => r.querySelector('th').textContent.startsWith(%q))?.textContent`, host)
}

// said is a JavaScript expression for the list of changes.
const said = `document.querySelector('#log').textContent`

func TestPage(t *testing.T) {
	b := browsertest.Start(t)
	for _, c := range []struct {
		name string
		test func(t *testing.T, browser *browsertest.Browser)
	}{
		{"shows all that a status has", shows},
		{"a host goes down and comes back", downAndUp},
		{"hosts are drained and weighed", steers},
		{"a token is asked for", asksForToken},
		{"a reload is refused, another is not", reloads},
		{"the program does not answer", silence},
		{"nothing overflows", fits},
		{"all that is seen can be heard", accessible},
		{"a thousand hosts", thousand},
	} {
		t.Run(c.name, func(t *testing.T) { c.test(t, b) })
	}
}

func shows(t *testing.T, browser *browsertest.Browser) {
	p := start(t, 12, 3)
	evil := `"><img src=x onerror=alert(1)>&amp;'`
	p.change(func(p *program) {
		p.status.Groups[0].Name = evil
		p.status.Groups[0].Hosts[0].Host = evil
		p.status.Groups[0].Hosts[0].LastError = evil
		p.status.Servers[0].Routes[1].Name = evil
		p.status.Certificates[0].NotAfter = p.began.AddDate(0, 0, -1)
	})
	tab := browser.Open(t, p.url, 1440, 900)
	tab.Until("it is live", live)
	tab.Until("rates are known", `/^[1-9]/.test(document.querySelector('.tile .value').textContent)`)
	page := strings.ReplaceAll(browsertest.Value[string](tab, "document.body.innerText"), "\u00a0", " ")
	for _, want := range []string{
		"1.7.0", "4711", "3 d", "serving, 2 workers", "/etc/kroxy-ev/kroxy.jsonc", "9f86d081884c", // the program
		evil, "10.1.0.5:8080", "least_conn", "backup", "4 of 4 usable", "8/200", "12 in 3 groups", // hosts
		"0.0.0.0:80", "[::]:443", "812", "stream", // listeners
		"shop", "4.2 ms", "38 ms", "http.routes[2]", // routes
		"*.shop.example", "expired", "39 days", "/etc/kroxy-ev/api.pem", // certificates
		"added 10.0.0.3:8080", "applied", "failed", `did you mean "web"?`, // reloads
		"4712", "4713", // workers
		"1 certificate expired.",
	} {
		if !strings.Contains(strings.ToLower(page), strings.ToLower(want)) {
			t.Errorf("the page does not say %q", want)
		}
	}
	if n := browsertest.Value[int](tab, `document.querySelectorAll('img, [onerror]').length`); n != 0 {
		t.Errorf("%d elements came out of a name", n)
	}
	if t.Failed() {
		t.Log(page)
	}

	dark := &emulation.MediaFeature{Name: "prefers-color-scheme", Value: "dark"}
	light := browsertest.Value[string](tab, `getComputedStyle(document.body).backgroundColor`)
	tab.Run(browsertest.Command(emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{dark}}))
	if now := browsertest.Value[string](tab, `getComputedStyle(document.body).backgroundColor`); now == light {
		t.Errorf("the page is as light in the dark: %s", now)
	}
}

func downAndUp(t *testing.T, browser *browsertest.Browser) {
	p := start(t, 6, 1)
	tab := browser.Open(t, p.url, 1280, 900)
	tab.Until("all are up", `document.querySelector('#summary-text').textContent === 'All 6 hosts are up.'`)
	host := "10.0.0.1:8080"
	p.change(func(p *program) {
		h, _ := p.host("web", host)
		h.State, h.LastError = admin.StateDown, "connect: connection refused"
	})
	tab.Until("the host is down", row(host)+`.includes('down') && `+row(host)+`.includes('connection refused')`)
	tab.Until("it is said", said+`.includes('10.0.0.1:8080 of web is down: connect: connection refused')`)
	tab.Until("the title says so", `document.title === '1 down · kroxy-ev'`)
	tab.Until("the summary says so", `document.querySelector('#summary-text').textContent === '1 of 6 hosts is down.'`)

	// The filters: only rows with problems, and only rows that contain a text.
	tab.Click("Problems only")
	tab.Until("one is left", `document.querySelector('#hosts-tally').textContent === '1 of 6 shown'`)
	tab.Click("Problems only")
	_ = browsertest.Value[any](tab, `document.querySelector('#filter').focus()`)
	tab.Type("api 10.1")
	tab.Until("a group is left", `document.querySelector('#hosts-tally').textContent === '2 of 6 shown'`)
	p.change(func(p *program) {
		h, _ := p.host("web", host)
		h.State = admin.StateUp
	})
	tab.Until("it is up again", said+`.includes('10.0.0.1:8080 of web is up')`)
	tab.Until("the title is quiet", `document.title === 'kroxy-ev'`)
}

func steers(t *testing.T, browser *browsertest.Browser) {
	p := start(t, 6, 1)
	p.change(func(p *program) { p.status.Groups[2].Hosts[0].Host = "unix:/run/app 1.sock" })
	tab := browser.Open(t, p.url, 1280, 900)
	tab.Click("Drain 10.0.0.1:8080 in web")
	tab.Until("it drains", row("10.0.0.1:8080")+`.includes('drain')`)
	tab.Until("it can be taken back", browsertest.Control("Undrain 10.0.0.1:8080 in web"))
	// A single wrong click does not drain the last usable host of its group. It also works by keyboard.
	tab.Click("Drain 10.0.0.2:8080 in web")
	tab.Until("it asks", `document.querySelector('#ask').open && document.activeElement !== document.body`)
	tab.Click("Cancel")
	tab.Until("it asks no more", `!document.querySelector('#ask').open`)
	_ = browsertest.Value[any](tab, browsertest.Control("Undrain 10.0.0.1:8080 in web")+`.focus()`)
	tab.Type("\r")
	tab.Until("it serves again", browsertest.Control("Drain 10.0.0.1:8080 in web"))
	tab.Until("the focus stays", `document.activeElement === `+browsertest.Control("Drain 10.0.0.1:8080 in web"))

	weight := "Weight of unix:/run/app 1.sock in db"
	tab.Write(weight, "7")
	tab.Until("the weight is told", said+`.includes('unix:/run/app 1.sock of db has weight 7 (was 1)')`)
	tab.Write(weight, "x")
	tab.Until("it is no weight", browsertest.Control(weight)+`.getAttribute('aria-invalid') === 'true' && document.querySelector('#toast').innerText.includes('not a weight')`)
	tab.Type("\x1b")
	tab.Until("it is as it was", browsertest.Control(weight)+`.value === '7'`)

	want := []string{
		`web 10.0.0.1:8080 {"drain":true,"weight":null}`, `web 10.0.0.1:8080 {"drain":false,"weight":null}`, `db unix:/run/app 1.sock {"drain":null,"weight":7}`,
	}
	if got := p.given(); !slices.Equal(got, want) {
		t.Errorf("orders:\n%s\nwant:\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}

	tab.Expect("404")
	_ = browsertest.Value[any](tab, `document.querySelector('#toast-close').click()`)
	p.change(func(p *program) { p.refuse = true })
	tab.Click("Drain 10.1.0.3:8080 in api")
	tab.Until("why not is said", `document.querySelector('#toast').innerText.includes('no such host') && document.querySelector('#toast').innerText.includes('see /api/v1/status')`)
}

func asksForToken(t *testing.T, browser *browsertest.Browser) {
	p := start(t, 3, 1)
	p.change(func(p *program) { p.token = "s3cret" })
	tab := browser.Open(t, p.url, 1280, 900)
	tab.Expect("401")
	const asks = `document.querySelector('#token').open && document.activeElement.id === 'token-value'`
	tab.Until("it asks", asks)
	tab.Type("wrong\r")
	tab.Until("it asks again", asks+` && document.querySelector('#token-why').textContent === 'The token was not accepted.'`)
	tab.Click("Cancel")
	tab.Until("it says what it wants", `document.querySelector('#live-text').textContent === 'token required'`)
	tab.Click("Enter token")
	tab.Until("it asks once more", asks)
	tab.Type("s3cret\r")
	tab.Until("it is live", live)
	tab.Click("Drain 10.0.0.1:8080 in web")
	tab.Click("Drain") // the last one
	tab.Until("it drains", row("10.0.0.1:8080")+`.includes('drain')`)
	if kept := browsertest.Value[string](tab, `Object.values(sessionStorage).join() + '|' + Object.values(localStorage).join() + '|' + document.cookie`); kept != "s3cret||" {
		t.Errorf("kept: %s", kept)
	}
}

func reloads(t *testing.T, browser *browsertest.Browser) {
	p := start(t, 3, 1)
	p.change(func(p *program) {
		p.reload = func() (int, any) {
			return http.StatusUnprocessableEntity, map[string]any{"error": map[string]any{
				"code": "reload_failed", "message": "the configuration cannot be used", "remedy": "mend it", "warnings": []string{"port 81 is odd"},
				"problems": []admin.Problem{{File: "a<b>.json", Line: 14, Column: 17, Path: "http.routes[0].proxy_to", What: `no group named "wbe"`, Remedy: `did you mean "web"?`}},
			}}
		}
	})
	tab := browser.Open(t, p.url, 1280, 900)
	tab.Expect("422")
	tab.Until("it is live", live)
	outcome := `document.querySelector('#reload-outcome').innerText`
	tab.Click("Reload…")
	tab.Click("Reload")
	tab.Until("it is refused", outcome+`.includes('Nothing has changed')`)
	answer := browsertest.Value[string](tab, outcome)
	for _, want := range []string{"a<b>.json", "line 14", "column 17", "http.routes[0].proxy_to", "port 81 is odd", `no group named "wbe"`, `did you mean "web"?`} {
		if !strings.Contains(answer, want) {
			t.Errorf("the outcome does not say %q: %s", want, answer)
		}
	}
	p.change(func(p *program) {
		p.reload = func() (int, any) {
			return http.StatusOK, admin.Outcome{Problems: []admin.Problem{}, Warnings: []string{"port 80 is odd"}, Changes: []string{"web: weight of 10.0.0.1:8080 is 2"}}
		}
	})
	tab.Click("Reload")
	tab.Until("it is taken up", outcome+`.includes('Applied')`)
	answer = browsertest.Value[string](tab, outcome)
	if !strings.Contains(answer, "weight of 10.0.0.1:8080 is 2") || !strings.Contains(answer, "port 80 is odd") {
		t.Errorf("the outcome leaves something out: %s", answer)
	}
	tab.Click("Close")
	tab.Until("it is closed", `!document.querySelector('#reload').open`)
}

func silence(t *testing.T, browser *browsertest.Browser) {
	p := start(t, 3, 1)
	tab := browser.Open(t, p.url, 1280, 900)
	tab.Expect("net::ERR")
	tab.Until("it is live", live)
	p.change(func(p *program) { p.silent = true })
	tab.Until("it says since when", `/^no answer for \d+\s(s|min)/.test(document.querySelector('#live-text').textContent)`)
	tab.Until("what is old looks old", `document.querySelector('main').classList.contains('stale')`)
	tab.Until("it is said", said+`.includes('the proxy cannot be reached')`)
	p.change(func(p *program) { p.silent = false })
	tab.Until("it is live again", live)
	tab.Until("it is said", said+`.includes('the proxy answers again')`)
}

func fits(t *testing.T, browser *browsertest.Browser) {
	p := start(t, 6, 2)
	p.change(func(p *program) {
		long := strings.Repeat("a-very-long-name.", 12) + "example"
		p.status.Groups[0].Hosts[0].Host = long + ":8080"
		p.status.Groups[0].Hosts[0].LastError = long
		p.status.Groups[1].Name = long
		p.status.Servers[0].Routes[0].Name = long
		p.status.Certificates[0].Names = []string{long, long}
		p.status.Certificates[0].Path = long
		p.status.Path = long
		p.status.Reloads[0].Changes = []string{long}
	})
	tab := browser.Open(t, p.url, 400, 800)
	tab.Until("it is live", live)
	for _, width := range []int64{400, 320, 700, 1000, 1060, 1280, 1920} {
		tab.Run(chromedp.EmulateViewport(width, 800))
		tab.Until(fmt.Sprintf("it is %d wide", width), fmt.Sprintf("innerWidth === %d", width))
		if wide := browsertest.Value[int64](tab, `document.documentElement.scrollWidth`); wide > width {
			t.Errorf("at %d pixels the page is %d wide: %s", width, wide, browsertest.Value[string](tab,
				`[...document.querySelectorAll('body *')].filter((e) => e.getBoundingClientRect().right > innerWidth + 1).map((e) => e.tagName + '.' + e.className).slice(0, 8).join(' ')`))
		}
	}
	// In the narrow layout, where rows are cards, the controls exist and are large enough for a thumb.
	tab.Run(chromedp.EmulateViewport(400, 800))
	tab.Until("controls are large", browsertest.Control("Drain 10.0.0.2:8080 in web")+`.getBoundingClientRect().height >= 24`)
}

// accessible examines the page as a screen reader sees it.
func accessible(t *testing.T, browser *browsertest.Browser) {
	p := start(t, 6, 2)
	p.change(func(p *program) { p.status.Groups[0].Hosts[0].State = admin.StateDown })
	tab := browser.Open(t, p.url, 1280, 900)
	tab.Until("it is live", live)
	for _, width := range []int64{1280, 400} {
		tab.Run(chromedp.EmulateViewport(width, 900))
		tab.Until(fmt.Sprintf("it is %d wide", width), fmt.Sprintf("innerWidth === %d", width))
		count := map[string]int{}
		for _, n := range tab.Tree() {
			role, name := text(n.Role), text(n.Name)
			count[role]++
			switch role {
			case "button", "link", "textbox", "searchbox", "checkbox", "table", "region", "log", "navigation", "columnheader", "rowheader", "heading":
				if strings.TrimSpace(name) == "" {
					t.Errorf("at %d pixels a %s has no name", width, role)
				}
			}
		}
		// 6 hosts and 3 groups, 2 servers, 3 routes, 2 certificates, 2 workers, 2 reloads, and a head for each table.
		for role, least := range map[string]int{
			"main": 1, "navigation": 1, "banner": 1, "search": 1, "log": 1, "table": 6, "row": 26, "columnheader": 40, "rowheader": 20, "cell": 140, "checkbox": 1, "searchbox": 1, "textbox": 6,
		} {
			if count[role] < least {
				t.Errorf("at %d pixels there are %d of %q, want %d", width, count[role], role, least)
			}
		}
	}
	for what, expression := range map[string]string{
		"a language":        `document.documentElement.lang === 'en'`,
		"one first heading": `document.querySelectorAll('h1').length === 1`,
		"states in words":   row("10.0.0.1:8080") + `.includes('down')`,
		"ids that are ids":  `new Set([...document.querySelectorAll('[id]')].map((e) => e.id)).size === document.querySelectorAll('[id]').length`,
		"scopes":            `[...document.querySelectorAll('th')].every((e) => ['col', 'row', 'rowgroup'].includes(e.scope))`,
		"captions":          `[...document.querySelectorAll('table')].every((e) => e.caption?.textContent)`,
		"no style inline":   `document.querySelectorAll('[style], style, script:not([src])').length === 0`,
	} {
		if !browsertest.Value[bool](tab, expression) {
			t.Errorf("the page has not: %s", what)
		}
	}
	// The focus is visible when a user moves through the page with the Tab key.
	tab.Type("\t")
	tab.Until("Tab reaches the way to the hosts", `document.activeElement.classList.contains('skip')`)
	for range 3 {
		tab.Type("\t")
		tab.Until("the focus is seen", `getComputedStyle(document.activeElement).outlineStyle === 'solid' && parseFloat(getComputedStyle(document.activeElement).outlineWidth) >= 2`)
	}
	// Text has the contrast that WCAG 2 requires, in both colour schemes.
	for _, scheme := range []string{"light", "dark"} {
		tab.Run(browsertest.Command(emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}}}))
		for _, c := range browsertest.Value[[]string](tab, contrasts) {
			t.Errorf("%s: %s", scheme, c)
		}
	}
}

// contrasts is a JavaScript expression that lists the colours of text with too little contrast.
const contrasts = `(() => {
	const style = getComputedStyle(document.documentElement);
	const canvas = new OffscreenCanvas(1, 1).getContext('2d', { willReadFrequently: true });
	const luminance = (...layers) => {
		for (const l of layers) { canvas.fillStyle = style.getPropertyValue(l); canvas.fillRect(0, 0, 1, 1); }
		const [r, g, b] = [...canvas.getImageData(0, 0, 1, 1).data].map((v) => v / 255).map((v) => v <= .04045 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4);
		return .2126 * r + .7152 * g + .0722 * b;
	};
	const wrong = [];
	for (const back of [['--back'], ['--raised'], ['--band'], ['--back', '--down-band'], ['--back', '--drain-band']]) {
		for (const text of ['--text', '--muted', '--up', '--down', '--drain']) {
			const [a, b] = [luminance(...back), luminance(text)].sort((x, y) => y - x);
			const ratio = (a + .05) / (b + .05);
			if (ratio < 4.5) wrong.push(text + ' on ' + back.join('+') + ' is ' + ratio.toFixed(2) + ':1');
		}
	}
	return wrong;
})()`

func text(v *accessibility.Value) string {
	if v == nil {
		return ""
	}
	var s string
	_ = json.Unmarshal(v.Value, &s)
	return s
}

func thousand(t *testing.T, browser *browsertest.Browser) {
	p := start(t, 1000, 100)
	tab := browser.Open(t, p.url, 1280, 900)
	tab.Until("all are there", `document.querySelector('#hosts-tally').textContent === '1,000 in 20 groups' && document.querySelector('#routes-tally').textContent === '101'`)
	// Updates happen in place: neither a row nor the focus in it moves.
	weight := "Weight of 10.19.3.250:8080 in group19"
	_ = browsertest.Value[any](tab, `(window.kept = document.querySelectorAll('#hosts-table tbody tr')[900]) && `+browsertest.Control(weight)+`.focus()`)
	p.change(func(p *program) {
		h, _ := p.host("group19", "10.19.3.240:8080")
		h.State = admin.StateDown
	})
	tab.Until("an update came", said+`.includes('10.19.3.240:8080 of group19 is down')`)
	tab.Until("nothing has moved", `window.kept === document.querySelectorAll('#hosts-table tbody tr')[900] && document.activeElement === `+browsertest.Control(weight))
	tab.Click("Problems only")
	tab.Until("what is down is found", `document.querySelector('#hosts-tally').textContent === '1 of 1,000 shown'`)
}
