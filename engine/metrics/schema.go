package metrics

import (
	"fmt"
	"hash/fnv"
	"reflect"
	"sync"

	"kroxy-ev/engine/shared"
)

// Type is the type of a column's cells.
type Type uint8

// The types. A TypeTime is a Timespan, in ns; a TypeMoment is a Moment, in ns since 1970.
const (
	TypeCounter Type = iota
	TypeTime
	TypeGauge
	TypeMoment
	TypeHistogram
)

// Column is a column of a kind, as declared by a field of the kind's struct.
type Column struct {
	Kind Kind
	// Name is the full name of the metric, "kroxy_server_requests_total", and Help its description.
	Name, Help string
	Type       Type
	// Labels are the names of the labels in addition to those of the series. Values has their values for each cell; nil for a cell that is never counted.
	Labels []string
	Values [][]string

	at, cell int // offset of the first cell in the struct, and size of each cell, in words
}

// schema is derived from the structs.
type schema struct {
	columns [kinds][]Column
	gauges  [kinds][]int // offsets of gauges, in words
	words   [kinds]int   // size of each struct, in words
	layout  uint64       // a hash of everything else
}

// declared returns the schema, which is computed when first needed.
var declared = sync.OnceValue(func() *schema {
	s := new(schema)
	h := fnv.New64a()
	for kind, view := range views {
		t := reflect.TypeOf(view)
		s.words[kind] = int(t.Size()) / shared.WordSize
		for i := range t.NumField() {
			f := t.Field(i)
			c := newColumn(Kind(kind), f)
			s.columns[kind] = append(s.columns[kind], c)
			for j := range c.Values {
				if c.Type == TypeGauge {
					s.gauges[kind] = append(s.gauges[kind], c.at+j*c.cell)
				}
			}
			fmt.Fprintln(h, c.Name, c.Type, c.Values, c.at, c.cell)
		}
	}
	s.layout = h.Sum64()
	return s
})

// newColumn returns the column that field f declares.
func newColumn(kind Kind, f reflect.StructField) Column {
	c := Column{Kind: kind, Name: kindNames[kind].prefix + f.Tag.Get("name"), Help: f.Tag.Get("help"), Values: [][]string{{}}, at: int(f.Offset) / shared.WordSize}
	cell := f.Type
	if l, ok := reflect.New(f.Type).Interface().(labelled); ok {
		c.Labels, c.Values = l.labels()
		cell = f.Type.Elem()
	}
	switch cell {
	case reflect.TypeFor[Counter](), reflect.TypeFor[Tally]():
		c.Type = TypeCounter
	case reflect.TypeFor[Timespan]():
		c.Type = TypeTime
	case reflect.TypeFor[Gauge]():
		c.Type = TypeGauge
	case reflect.TypeFor[Moment]():
		c.Type = TypeMoment
	case reflect.TypeFor[Histogram]():
		c.Type = TypeHistogram
	default:
		panic("metrics: " + f.Name + " is of no type that can be counted")
	}
	c.cell = int(cell.Size()) / shared.WordSize
	if len(c.Values)*c.cell*shared.WordSize != int(f.Type.Size()) {
		panic("metrics: " + f.Name + " has not as many cells as labels")
	}
	return c
}

// Columns returns the columns of a kind, in the order of its struct.
func Columns(k Kind) []Column { return declared().columns[k] }

// Sums holds all cells of a series, added up over all rows, for callers that iterate over Columns.
type Sums []uint64

// Value returns cell i of column c: a count, a time in ns, or a gauge. c must not be a histogram.
func (s Sums) Value(c *Column, i int) uint64 { return s[c.at+i*c.cell] }

// Histogram returns cell i of column c, which must be a histogram.
func (s Sums) Histogram(c *Column, i int) *Histogram {
	at := c.at + i*c.cell
	return view[Histogram](s[at : at+c.cell])
}
