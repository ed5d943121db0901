// Package screenshots makes the pictures in README: the dashboard, docs/img/dashboard.png, and "kroxy-ev top", docs/img/top.svg. Its test does
// this if it is told where to put the pictures, as "make screenshots" does. It runs a proxy with its own hosts and clients for a while, on
// ports of 127.0.0.1.
package screenshots
