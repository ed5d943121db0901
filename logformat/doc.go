// Package logformat turns a record of one finished session or exchange into a line of text or of JSON.
//
// A variable is declared once, in variable.go: its name, the modes that have it, how it is written and a line that
// explains it. What may stand in a configuration, what a format needs to know, the JSON form and the table in
// docs/logging.md come from that declaration.
//
// The package does no I/O, knows no clock, and imports nothing of this module. Package accesslog writes the lines.
package logformat
