// Package readout formats the program's figures for people: numbers, tables, and the whole status as text. It is pure.
package readout
