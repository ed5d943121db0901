// Package logformat turns a record of a finished session or exchange into a line of text or of JSON.
//
// A variable is declared once, in variable.go: its name, the places where it may be used, how it is written, and its
// documentation. The names that a configuration may use, the fields that a format needs, the JSON form and the tables in
// docs/logging.md all come from that declaration.
//
// The package does no I/O, reads no clock, and imports no other package of this module. Package accesslog writes the lines.
package logformat
