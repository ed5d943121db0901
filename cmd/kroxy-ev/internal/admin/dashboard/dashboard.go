// Package dashboard is the page that the admin endpoint shows at /: what the program does now and did in the last minutes, with buttons
// to drain a host, to change its weight and to reload. The page is made in the browser from /api/v1/status; here are only its files.
package dashboard

import "embed"

// Files has index.html, which is served at /, and what it takes from assets/NAME. The page needs no token, what it reads may.
//
//go:embed index.html *.css *.js
var Files embed.FS

// Policy is the Content-Security-Policy that the page works under: nothing comes from elsewhere, nothing is inline, nobody frames it.
const Policy = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; " +
	"base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'"
