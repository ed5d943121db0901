// Package screenshots makes the pictures of README: of the dashboard, docs/img/dashboard.png, and of "kroxy-ev top", docs/img/top.svg.
// Its test does, which runs a proxy with hosts and clients of its own for a while, on ports of 127.0.0.1, if it is told where the pictures
// go. "make screenshots" tells it.
package screenshots
