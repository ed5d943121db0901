package http1

import "testing"

// The IANA HTTP Method Registry, except "*" and PRI, which are not methods of requests.
func TestIdempotentMethods(t *testing.T) {
	t.Parallel()
	for method, want := range map[string]bool{
		"ACL": true, "BASELINE-CONTROL": true, "BIND": true, "CHECKIN": true, "CHECKOUT": true, "CONNECT": false, "COPY": true,
		"DELETE": true, "GET": true, "HEAD": true, "LABEL": true, "LINK": true, "LOCK": false, "MERGE": true, "MKACTIVITY": true,
		"MKCALENDAR": true, "MKCOL": true, "MKREDIRECTREF": true, "MKWORKSPACE": true, "MOVE": true, "OPTIONS": true,
		"ORDERPATCH": true, "PATCH": false, "POST": false, "PROPFIND": true, "PROPPATCH": true, "PUT": true, "QUERY": true,
		"REBIND": true, "REPORT": true, "SEARCH": true, "TRACE": true, "UNBIND": true, "UNCHECKOUT": true, "UNLINK": true,
		"UNLOCK": true, "UPDATE": true, "UPDATEREDIRECTREF": true, "VERSION-CONTROL": true,
		// Not in the registry: methods are case-sensitive, and unknown ones are not idempotent.
		"get": false, "PURGE": false, "GETS": false, "P": false, "PRI": false,
	} {
		if got := idempotent([]byte(method)); got != want {
			t.Errorf("%s: %v, want %v", method, got, want)
		}
	}
}
