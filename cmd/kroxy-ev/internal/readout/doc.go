// Package readout is what the program's figures look like to people: numbers, tables, and the whole status as text. It is pure.
package readout
