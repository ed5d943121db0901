// Package browsertest opens pages in a headless Chromium, for tests of what a program serves, and inspects them.
package browsertest

import (
	"context"
	"fmt"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/accessibility"
	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

// Patience is how long a page may take for something that takes a second on an idle machine.
const Patience = 2 * time.Minute

// Browser is a Chromium.
type Browser struct{ ctx context.Context }

// Start starts a browser with additional switches, and stops it when t ends; all subtests of t should share it. It skips t if there is no
// Chromium, and under the race detector, where pages would not show any data races that requests of other clients do not.
func Start(t *testing.T, switches ...string) *Browser {
	t.Helper()
	if raceEnabled {
		t.Skip("not under the race detector: it is about what a page shows")
	}
	path := ""
	for _, name := range []string{"chromium", "chromium-browser", "chromium-headless-shell", "google-chrome"} {
		if p, err := exec.LookPath(name); err == nil {
			path = p
			break
		}
	}
	if path == "" {
		t.Skip("no Chromium here, so nothing looks at the page; bench/setup.sh installs it")
	}
	// As root, Chromium cannot use its sandbox. It only opens our own page.
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(path), chromedp.NoSandbox, chromedp.DisableGPU, chromedp.WSURLReadTimeout(Patience),
		chromedp.Flag("disable-component-update", true), chromedp.Flag("no-proxy-server", true))
	for _, name := range switches {
		options = append(options, chromedp.Flag(name, true))
	}
	allocator, stop := chromedp.NewExecAllocator(context.Background(), options...)
	t.Cleanup(stop)
	first, stopFirst := chromedp.NewContext(allocator)
	t.Cleanup(stopFirst)
	if err := chromedp.Do(first); err != nil {
		t.Fatalf("start %s: %v", path, err)
	}
	return &Browser{first}
}

// Tab is a page in a browser, with what went wrong in it. Its methods end the test if they fail.
type Tab struct {
	t   *testing.T
	ctx context.Context

	mu       sync.Mutex
	wrong    []string // exceptions, and errors and warnings on the console
	expected []string // texts of those that a test causes
	requests []string // addresses
}

// Open opens the page at url in a tab of width x height. When t ends, errors on the console and requests outside of url fail it.
func (browser *Browser) Open(t *testing.T, url string, width, height int64) *Tab {
	t.Helper()
	ctx, stop := chromedp.NewContext(browser.ctx)
	t.Cleanup(stop)
	b := &Tab{t: t, ctx: ctx}
	err := chromedp.Listen(ctx, func(event any) {
		b.mu.Lock()
		defer b.mu.Unlock()
		switch e := event.(type) {
		case *runtime.EventExceptionThrown:
			d := e.ExceptionDetails
			b.wrong = append(b.wrong, fmt.Sprintf("%s:%d: %s %s", d.URL, d.LineNumber+1, d.Text, description(d.Exception)))
		case *runtime.EventConsoleAPICalled:
			if e.Type == runtime.ConsoleAPICalledTypeError || e.Type == runtime.ConsoleAPICalledTypeWarning {
				b.wrong = append(b.wrong, fmt.Sprintf("console: %s", e.Type))
			}
		case *log.EventEntryAdded:
			if e.Entry.Level == log.EntryLevelError || e.Entry.Level == log.EntryLevelWarning {
				b.wrong = append(b.wrong, fmt.Sprintf("%s: %s %s", e.Entry.Source, e.Entry.Text, e.Entry.URL))
			}
		case *network.EventRequestWillBeSent:
			b.requests = append(b.requests, e.Request.URL)
		}
	})
	if err != nil {
		t.Fatalf("open a tab: %v", err)
	}
	b.Run(Command(network.Enable, network.EnableParams{}), Command(log.Enable, cdp.Empty{}),
		chromedp.EmulateViewport(width, height))
	b.Run(chromedp.Navigate(url))
	t.Cleanup(func() { b.check(url) })
	return b
}

func description(o *runtime.RemoteObject) string {
	if o == nil {
		return ""
	}
	return o.Description
}

// Command returns an action that gives the browser a command and discards the answer.
func Command[P, R any](c cdp.Command[P, R], params P) chromedp.Action[chromedp.Void] {
	return chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
		_, err := cdp.Call(ctx, t, c, params)
		return err
	})
}

// Expect makes reports that contain text acceptable.
func (b *Tab) Expect(text string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.expected = append(b.expected, text)
}

// check fails the test for reports and for requests to elsewhere.
func (b *Tab) check(url string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, w := range b.wrong {
		if !slices.ContainsFunc(b.expected, func(text string) bool { return strings.Contains(w, text) }) {
			b.t.Errorf("the page reports: %s", w)
		}
	}
	for _, r := range b.requests {
		if !strings.HasPrefix(r, url) && !strings.HasPrefix(r, "data:") {
			b.t.Errorf("the page asks for %s, which is elsewhere", r)
		}
	}
}

// Run runs actions.
func (b *Tab) Run(actions ...chromedp.Action[chromedp.Void]) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, Patience)
	defer cancel()
	if err := chromedp.Do(ctx, actions...); err != nil {
		b.t.Fatal(err)
	}
}

// Get returns the result of an action.
func Get[T any](b *Tab, action chromedp.Action[T]) T {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, Patience)
	defer cancel()
	v, err := chromedp.Run(ctx, action)
	if err != nil {
		b.t.Fatal(err)
	}
	return v
}

// Value returns the value of a JavaScript expression; a promise is awaited.
func Value[T any](b *Tab, expression string) T {
	b.t.Helper()
	return Get(b, chromedp.Evaluate[T](expression, chromedp.EvalAwaitPromise))
}

// Until waits until a JavaScript expression is true.
func (b *Tab) Until(what, expression string) {
	b.t.Helper()
	promise := fmt.Sprintf(`new Promise((resolve) => {
		const end = performance.now() + %d;
		const look = () => {
			let holds = false;
			try { holds = Boolean(%s); } catch {}
			if (holds || performance.now() > end) resolve(holds); else setTimeout(look, 50);
		};
		look();
	})`, (Patience / 2).Milliseconds(), expression)
	held := Value[bool](b, promise)
	if !held {
		b.t.Fatalf("%s: not so: %s\nthe page: %.2000s", what, expression, Value[string](b, "document.body.innerText"))
	}
}

// Control returns a JavaScript expression for the control with that accessible name.
func Control(name string) string {
	return fmt.Sprintf(`[...document.querySelectorAll('button, input, a')].find((e) => (e.ariaLabel ?? (e.textContent || e.labels?.[0]?.textContent || '')).trim() === %q && e.checkVisibility())`, name)
}

// Click clicks the control with that name, once it exists and is not disabled.
func (b *Tab) Click(name string) {
	b.t.Helper()
	b.Until("there is "+name+", and it can be used", Control(name)+`.ariaDisabled !== 'true'`)
	hit := Value[bool](b, fmt.Sprintf(`(() => {
		const e = %s;
		e.scrollIntoView({ block: 'center', behavior: 'instant' });
		const r = e.getBoundingClientRect();
		if (!e.contains(document.elementFromPoint(r.x + r.width / 2, r.y + r.height / 2))) return false;
		e.focus();
		e.click();
		return true;
	})()`, Control(name)))
	if !hit {
		b.t.Fatalf("something lies over %q", name)
	}
}

// Type presses keys. "\r" is Enter, "\t" Tab, "\x1b" Escape.
func (b *Tab) Type(text string) {
	b.t.Helper()
	b.Run(chromedp.KeyEvent(text))
}

// Write types text into the field with that name, followed by Enter.
func (b *Tab) Write(name, text string) {
	b.t.Helper()
	b.Click(name)
	_ = Value[any](b, Control(name)+".select()")
	b.Type(text + "\r")
}

// Tree returns the nodes of the accessibility tree that are not ignored.
func (b *Tab) Tree() []*accessibility.Node {
	b.t.Helper()
	all := Get(b, func(ctx context.Context, t *chromedp.Target) (accessibility.GetFullAXTreeResult, error) {
		return cdp.Call(ctx, t, accessibility.GetFullAXTree, accessibility.GetFullAXTreeParams{})
	})
	var kept []*accessibility.Node
	for _, n := range all.Nodes {
		if !n.Ignored {
			kept = append(kept, n)
		}
	}
	return kept
}
