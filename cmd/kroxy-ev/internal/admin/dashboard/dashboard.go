// Package dashboard is the page that the admin endpoint serves at /: what the program does now and did in the last minutes, with buttons to
// drain a host, to change its weight and to reload. The page is made in the browser from /api/v1/status; this package only has its files.
package dashboard

import "embed"

// Files has index.html, which is served at /, and its assets, which are served at assets/NAME. They need no token; the data may need one.
//
//go:embed index.html *.css *.js
var Files embed.FS

// Policy is the Content-Security-Policy of the page: nothing comes from elsewhere, nothing is inline, and the page cannot be framed.
const Policy = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; " +
	"base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'"
