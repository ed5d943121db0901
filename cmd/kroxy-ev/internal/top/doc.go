// Package top is the live view of a running program in a terminal: a model that is fed statuses and keys, and drawn as text. Only Run uses a
// terminal.
package top
