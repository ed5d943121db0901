package http1

import "testing"

func TestPrefersPlain(t *testing.T) {
	t.Parallel()
	for accept, want := range map[string]bool{
		"":                                   false,
		"*/*":                                false,
		"text/*":                             false,
		"text/plain":                         true,
		"TEXT/Plain":                         true,
		"text/plain, text/html":              false,
		"text/plain;q=0.5, */*;q=0.1":        true,
		"text/plain;q=0.5, text/html":        false,
		"text/html;q=0.2, text/*;q=0.4":      true,
		"text/html;q=0, */*":                 true,
		"text/plain;q=0, */*":                false,
		"text/plain; charset=utf-8; q=0.001": true,
		"text/plain;q=0.x":                   false,
		"text/plain;q=x":                     false,
		"text/plain;q=2":                     false,
		"text/plain;q=1.5":                   false,
		"application/json":                   false,
		"text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8": false,
		";q=1,,;": false,
	} {
		var r Request
		if _, err := r.Parse([]byte(lines("Accept: " + accept))); err != nil {
			t.Fatal(err)
		}
		if got := r.PrefersPlain(); got != want {
			t.Errorf("%q: %v", accept, got)
		}
	}
}
